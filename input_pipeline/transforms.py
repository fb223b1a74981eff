"""Host transforms: from one example's image to uint8 `[S, S, 3]`. Geometry only; colour and flips are the device's.

A transform is a frozen value, called as `transform(image, draws, out)` with the encoded file or array, as many uniform
random numbers as it asks for, and the array to fill. What it does follows from these alone; where the pixels went is
what it returns, for boxes and masks to follow (targets.py). Those here cut a part out, as classifiers want it; those of
canvas.py put the image into a rectangle, as detectors and segmentation want it.
"""

import dataclasses
import functools
import math
from typing import Protocol

import numpy as np

from input_pipeline.decode import decode, decode_crop
from input_pipeline.placement import Placement, of_window
from input_pipeline.resize import resize_and_cut, resize_fast

_TRIES = 10


class HostTransform(Protocol):
    """What a pipeline needs of a transform."""

    image_size: int | tuple[int, int]  # of the output: a square's side, or height and width
    draws: int  # random numbers an example takes; 0 where the transform is deterministic

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        """Fills `out`, uint8 `[image_size, image_size, 3]`, by `draws`, float64 in [0, 1); returns where pixels went.

        Raises UnreadableError.
        """


def train(
    image_size: int,
    crop: str = 'none',
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    resize: tuple[int, int] = (256, 256),
    antialias: bool = True,
) -> HostTransform:
    """The host's part of training augmentation.

    Args:
      image_size: side of the square that comes out, in pixels.
      crop: `random_resized` (Szegedy et al. 2015: a random part of random area and shape), or `none` or `pad`: the
        shortest side resized to `image_size` and the centre cut out (a device pads and crops afterwards); or `random`:
        the shortest side resized to between the numbers of `resize`, a random square cut out (AlexNet, VGG).
      scale: least and greatest share of the area, `random_resized` only.
      ratio: least and greatest width over height, `random_resized` only.
      resize: least and greatest shortest side in pixels, `random` only.
      antialias: whether random parts that shrink are blurred first; else they are plainly bilinear.

    Raises:
      ValueError: for another crop or impossible numbers.
    """
    if crop in ('none', 'pad'):
        return CentreCrop(image_size, image_size)
    if crop == 'random':
        return RandomCrop(image_size, tuple(resize), antialias)
    if crop != 'random_resized':
        raise ValueError(f"augmentation crop {crop!r} is not one of 'none', 'pad', 'random', 'random_resized'")
    return RandomResizedCrop(image_size, tuple(scale), tuple(ratio), antialias)


def evaluate(image_size: int, resize: int = 0) -> HostTransform:
    """Shortest side to `resize` pixels (0: `image_size`), then the central square of `image_size` pixels.

    Raises:
      ValueError: where `resize` is smaller than `image_size`.
    """
    return CentreCrop(image_size, resize or image_size)


@dataclasses.dataclass(frozen=True)
class CentreCrop:
    """The central square. An image whose shortest side already is `resize` keeps its pixels bit for bit."""

    image_size: int
    resize: int
    draws: int = dataclasses.field(default=0, init=False)

    def __post_init__(self):
        if self.image_size < 1:
            raise ValueError(f'image_size must be at least 1, not {self.image_size}')
        if self.resize < self.image_size:
            raise ValueError(f'resize {self.resize} must be at least image_size {self.image_size}')

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        pixels, size = decode(image), self.image_size
        height, width = pixels.shape[:2]
        short = min(height, width)
        # torchvision's arithmetic: the long side is rounded down, the crop's corner to the nearest even.
        new_height, new_width = self.resize * height // short, self.resize * width // short
        top, left = round((new_height - size) / 2), round((new_width - size) / 2)
        if short == self.resize:
            out[:] = pixels[top : top + size, left : left + size]
        else:
            resize_and_cut(pixels, new_height, new_width, top, left, out)
        return Placement(new_height / height, new_width / width, -top, -left, height, width)


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """A random square of the image whose shortest side is resized to a random length (Krizhevsky et al. 2012: 256;
    Simonyan and Zisserman 2014, "scale jittering": 256 to 512)."""

    image_size: int
    resize: tuple[int, int] = (256, 256)
    antialias: bool = True
    draws: int = dataclasses.field(default=3, init=False)

    def __post_init__(self):
        if not 1 <= self.image_size <= self.resize[0] <= self.resize[1]:
            raise ValueError(
                f'resize {self.resize} must be two sides, least first, of at least image_size {self.image_size}'
            )

    def window(self, height: int, width: int, draws: np.ndarray) -> tuple[int, int, int, int]:
        """Top, left, height and width of the square, in pixels of a `height` x `width` image.

        The square is cut before it is resized: the same part, without resizing what is thrown away.
        """
        scale, y, x = draws.tolist()
        side = self.resize[0] + int(scale * (self.resize[1] - self.resize[0] + 1))
        size = max(1, round(self.image_size * min(height, width) / side))
        return int(y * (height - size + 1)), int(x * (width - size + 1)), size, size

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        window = functools.partial(self.window, draws=draws)
        return _cut(image, window, self.image_size, self.antialias, out)


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """A part of random area and shape, resized to a square (Szegedy et al. 2015; torchvision's sampling)."""

    image_size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    antialias: bool = True
    draws: int = dataclasses.field(default=4 * _TRIES, init=False)

    def __post_init__(self):
        if self.image_size < 1:
            raise ValueError(f'image_size must be at least 1, not {self.image_size}')
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f'crop scale must satisfy 0 < least <= greatest <= 1, not {self.scale}')
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f'crop ratio must satisfy 0 < least <= greatest, not {self.ratio}')

    def window(self, height: int, width: int, draws: np.ndarray) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part to keep, in pixels of a `height` x `width` image.

        Area uniform in `scale`, log of the ratio uniform in `ratio`, ten tries; then the largest central part whose
        ratio is allowed. Never empty.
        """
        log_least, log_greatest = math.log(self.ratio[0]), math.log(self.ratio[1])
        for first in range(0, len(draws), 4):
            area, log_ratio, y, x = draws[first : first + 4].tolist()
            target = height * width * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            shape = math.exp(log_least + log_ratio * (log_greatest - log_least))
            w, h = round(math.sqrt(target * shape)), round(math.sqrt(target / shape))
            if 0 < w <= width and 0 < h <= height:
                return int(y * (height - h + 1)), int(x * (width - w + 1)), h, w
        w, h = width, height
        if width / height < self.ratio[0]:
            h = min(height, max(1, round(width / self.ratio[0])))
        elif width / height > self.ratio[1]:
            w = min(width, max(1, round(height * self.ratio[1])))
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        window = functools.partial(self.window, draws=draws)
        return _cut(image, window, self.image_size, self.antialias, out)


def _cut(image: bytes | np.ndarray, window, size: int, antialias: bool, out: np.ndarray) -> Placement:
    """Resizes the part that `window(height, width)` chooses into `out`."""
    part, window, (height, width) = decode_crop(image, window, size)
    resize_fast(part, out, antialias)
    return of_window(window, (size, size), height, width)

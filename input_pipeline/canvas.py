"""Host transforms that put an image, or much of it, into a rectangle of fixed size: for detectors and segmentation.

What the image does not cover is filled: with zeros, or the data set's mean (`DatasetInfo.mean_pixel`), which is zero
once it is normalised. Masks have the ignored label there.
"""

import dataclasses
import math

import numpy as np

from input_pipeline.decode import decode_crop
from input_pipeline.placement import Placement, sides
from input_pipeline.resize import resize_fast

Size = int | tuple[int, int]
Pixel = tuple[int, int, int]
BLACK = (0, 0, 0)


def _put(image: bytes | np.ndarray, plan, out: np.ndarray, fill: Pixel) -> Placement:
    """Resizes a part of the image into a part of `out`, and fills the rest.

    Args:
      plan: from the upright image's height and width to, for rows and for columns, (first pixel of the part, its
        length, first pixel in `out`, length there).
    """
    axes = []

    def window(height: int, width: int) -> tuple[int, int, int, int]:
        axes[:] = rows, columns = plan(height, width)
        return rows[0], columns[0], rows[1], columns[1]

    part, (top, left, h, w), (height, width) = decode_crop(image, window, out.shape[:2])
    (_, _, row, rows), (_, _, column, columns) = axes
    if (rows, columns) != out.shape[:2]:
        out[:] = fill
    resize_fast(part, out[row : row + rows, column : column + columns])
    y, x = rows / h, columns / w
    return Placement(y, x, row - top * y, column - left * x, height, width)


def _check(image_size: Size, fill: Pixel) -> None:
    if min(sides(image_size)) < 1:
        raise ValueError(f'image_size must be at least 1, not {image_size}')
    if len(fill) != 3 or not all(isinstance(c, int) and 0 <= c <= 255 for c in fill):
        raise ValueError(f'fill must be three whole numbers of 0..255, not {fill}')


def _scaled(length: int, scale: float, most: int) -> tuple[int, int, int, int]:
    """A whole axis at a scale, from the first pixel of the output on."""
    return 0, length, 0, min(most, max(1, round(length * scale)))


@dataclasses.dataclass(frozen=True)
class Letterbox:
    """The whole image as large as it fits, its shape kept, in the upper left corner."""

    image_size: Size
    fill: Pixel = BLACK
    draws: int = dataclasses.field(default=0, init=False)

    def __post_init__(self):
        _check(self.image_size, self.fill)

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        rows, columns = out.shape[:2]

        def plan(height, width):
            scale = min(rows / height, columns / width)
            return _scaled(height, scale, rows), _scaled(width, scale, columns)

        return _put(image, plan, out, self.fill)


@dataclasses.dataclass(frozen=True)
class ShortestSide:
    """The whole image, its shortest side of a given length unless the longest would pass another: 600 and 1,000 in Fast
    R-CNN (Girshick 2015, section 4); in the upper left corner of a canvas of fixed size, and never larger than that.

    Attributes:
      image_size: the canvas.
      shortest: pixels; or several lengths, of which each example draws one (He et al. 2014, section 2.3).
      longest: pixels.
    """

    image_size: Size
    shortest: int | tuple[int, ...] = 600
    longest: int = 1000
    fill: Pixel = BLACK

    def __post_init__(self):
        _check(self.image_size, self.fill)
        if not self._lengths or min(self._lengths) < 1 or max(self._lengths) > self.longest:
            raise ValueError(f'shortest {self.shortest} must lie between 1 and longest {self.longest}')

    @property
    def _lengths(self) -> tuple[int, ...]:
        return self.shortest if isinstance(self.shortest, tuple) else (self.shortest,)

    @property
    def draws(self) -> int:
        return 1 if len(self._lengths) > 1 else 0

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        rows, columns = out.shape[:2]
        shortest = self._lengths[int(draws[0] * len(self._lengths)) if self.draws else 0]

        def plan(height, width):
            scale = min(
                shortest / min(height, width), self.longest / max(height, width), rows / height, columns / width
            )
            return _scaled(height, scale, rows), _scaled(width, scale, columns)

        return _put(image, plan, out, self.fill)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Both sides to those of the output, whatever the image's shape, as YOLO does (Redmon et al. 2016).

    Attributes:
      jitter: each edge of the image is moved by up to so much of the side, in or out: 0.2 for the paper's "random
        scaling and translations of up to 20%", as darknet's data layer draws them. 0 is not random.
    """

    image_size: Size
    jitter: float = 0.0
    fill: Pixel = BLACK

    def __post_init__(self):
        _check(self.image_size, self.fill)
        if not 0 <= self.jitter < 0.5:
            raise ValueError(f'jitter must lie in 0 up to, but not including, 0.5, not {self.jitter}')

    @property
    def draws(self) -> int:
        return 4 if self.jitter else 0

    def _axis(self, length: int, size: int, first: float, last: float) -> tuple[int, int, int, int]:
        before, after = (int((2 * u - 1) * self.jitter * length) for u in (first, last))
        span = length - before - after  # of the window, which may reach beyond the image
        start, stop = max(before, 0), min(length - after, length)
        at = min(round((start - before) * size / span), size - 1)
        end = max(round((stop - before) * size / span), at + 1)
        return start, stop - start, at, end - at

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        rows, columns = out.shape[:2]
        top, bottom, left, right = draws.tolist() if self.draws else (0.5,) * 4

        def plan(height, width):
            return self._axis(height, rows, top, bottom), self._axis(width, columns, left, right)

        return _put(image, plan, out, self.fill)


@dataclasses.dataclass(frozen=True)
class PadOrCrop:
    """Pixels as they are: the centre of what is larger than the output, what is smaller in its upper left corner."""

    image_size: Size
    fill: Pixel = BLACK
    draws: int = dataclasses.field(default=0, init=False)

    def __post_init__(self):
        _check(self.image_size, self.fill)

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        rows, columns = out.shape[:2]

        def axis(length, size):
            kept = min(length, size)
            return (length - kept) // 2, kept, 0, kept

        return _put(image, lambda height, width: (axis(height, rows), axis(width, columns)), out, self.fill)


@dataclasses.dataclass(frozen=True)
class RandomScaleCrop:
    """The image at a random scale; where it is larger than the output a random part of it, else all of it anywhere.

    Attributes:
      scale: least and greatest, of the image's own pixels; its logarithm is uniform.
    """

    image_size: Size
    scale: tuple[float, float] = (0.5, 2.0)
    fill: Pixel = BLACK
    draws: int = dataclasses.field(default=3, init=False)

    def __post_init__(self):
        _check(self.image_size, self.fill)
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f'scale must satisfy 0 < least <= greatest, not {self.scale}')

    @staticmethod
    def _axis(length: int, size: int, scale: float, at: float) -> tuple[int, int, int, int]:
        full = max(1, round(length * scale))
        if full <= size:
            return 0, length, int(at * (size - full + 1)), full
        kept = min(length, max(1, round(size / scale)))
        return int(at * (length - kept + 1)), kept, 0, size

    def __call__(self, image: bytes | np.ndarray, draws: np.ndarray, out: np.ndarray) -> Placement:
        rows, columns = out.shape[:2]
        drawn, y, x = draws.tolist()
        scale = math.exp(math.log(self.scale[0]) + drawn * math.log(self.scale[1] / self.scale[0]))

        def plan(height, width):
            return self._axis(height, rows, scale, y), self._axis(width, columns, scale, x)

        return _put(image, plan, out, self.fill)

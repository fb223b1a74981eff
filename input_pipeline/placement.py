"""Where an example's pixels went, so that boxes and masks go there too, and predictions come back.

Coordinates are continuous: pixel i covers i to i + 1, an image of W pixels lies between 0 and W.
"""

import functools
from typing import NamedTuple

import numpy as np


class Placement(NamedTuple):
    """How the pixels of an upright source image map to those of the output: y' = y_scale * y + y_offset, x likewise.

    `height` and `width` are the upright source's, in pixels. The order of the fields is that of a batch's `placement`.
    """

    y_scale: float
    x_scale: float
    y_offset: float
    x_offset: float
    height: int
    width: int


def sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of what a transform makes, whose `image_size` is a square's side or both."""
    return image_size if isinstance(image_size, tuple) else (image_size, image_size)


def of_window(window: tuple[int, int, int, int], size: tuple[int, int], height: int, width: int) -> Placement:
    """The placement of a part of a `height` x `width` image (top, left, its height, its width) that fills `size`."""
    top, left, h, w = window
    y_scale, x_scale = size[0] / h, size[1] / w
    return Placement(y_scale, x_scale, -top * y_scale, -left * x_scale, height, width)


def boxes_to_output(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes x0, y0, x1, y1 in 0..1 of the source, `[n, 4]`, in pixels of the output; float64, not clipped."""
    y, x, dy, dx, height, width = placement
    return boxes * np.array([width * x, height * y] * 2) + np.array([dx, dy] * 2)


def boxes_to_source(boxes: np.ndarray, placement) -> np.ndarray:
    """Boxes in pixels of the output, `[..., n, 4]`, in pixels of the upright source; clipped to it.

    Args:
      boxes: x0, y0, x1, y1.
      placement: a Placement, or `[..., 6]`, a batch's `placement`.
    """
    y, x, dy, dx, height, width = np.moveaxis(np.asarray(placement, np.float64), -1, 0)[..., None]
    scale, offset = np.stack([x, y, x, y], -1), np.stack([dx, dy, dx, dy], -1)
    return np.clip((np.asarray(boxes) - offset) / scale, 0, np.stack([width, height, width, height], -1))


def mask_to_output(mask: np.ndarray, placement: Placement, out: np.ndarray, outside: int) -> None:
    """Fills `out` `[H, W]` from `mask` (the source's height and width) by the nearest pixel; `outside` beyond it."""
    y, x, dy, dx, height, width = placement
    rows, no_row = _nearest(y, dy, height, out.shape[0])
    columns, no_column = _nearest(x, dx, width, out.shape[1])
    np.take(mask.take(rows, axis=0), columns, axis=1, out=out, mode='clip')
    out[no_row] = outside
    out[:, no_column] = outside


def mask_to_source(mask: np.ndarray, placement: Placement, outside: int) -> np.ndarray:
    """A mask of the output `[H, W]` at the upright source's size, by the nearest pixel; `outside` where none is.

    What a network predicts for a transformed image is written over the original so.
    """
    y, x, dy, dx, height, width = placement
    back = Placement(1 / y, 1 / x, -dy / y, -dx / x, mask.shape[0], mask.shape[1])
    out = np.empty((int(height), int(width)), mask.dtype)
    mask_to_output(mask, back, out, outside)
    return out


@functools.lru_cache(maxsize=512)
def _nearest(scale: float, offset: float, length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Source index of each of `count` output pixels' centres, clipped to `length`, and which of them lie outside."""
    at = np.floor((np.arange(count) + 0.5 - offset) / scale).astype(np.int64)
    return np.clip(at, 0, length - 1), (at < 0) | (at >= length)

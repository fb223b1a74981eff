"""A source whose images are cut to their objects: what a classifier of breeds sees who is told where the dog is."""

import hashlib
import math
from typing import Any

import numpy as np

from input_pipeline.decode import decode_crop, decode_labels
from input_pipeline.placement import Placement, boxes_to_output
from input_pipeline.source import Changed, Source
from input_pipeline.targets import checked

_ROUNDING = 1e-3  # pixels


class CroppedToBoxes(Changed):
    """Another source's examples, each cut to the smallest rectangle around all its boxes, with a margin.

    Boxes and masks are cut along; an image without boxes stays whole. Whatever reads the source sees the cut images,
    pictures and predictions as well.

    Args:
      parent: the source.
      margin: of the rectangle's sides, added on each of the four, within the image.

    Raises:
      ValueError: the source has no boxes, or the margin is negative.
    """

    def __init__(self, parent: Source, margin: float = 0.1):
        parent.info.require('boxes')
        if not margin >= 0:
            raise ValueError(f'the margin around boxes must not be negative: {margin}')
        super().__init__(parent)
        self._margin = margin

    def read(self, i: int) -> dict[str, Any]:
        example = self._parent.read(i)
        boxes, right, _ = checked(example['boxes'])
        if not right.any():
            return example
        # Without a size to come, nothing is shrunk while decoding; the decoder's memory is this thread's next image's.
        part, window, (height, width) = decode_crop(
            example['image'], lambda h, w: _around(boxes[right], h, w, self._margin), (1 << 30, 1 << 30)
        )
        top, left, h, w = window
        where = Placement(1, 1, -top, -left, height, width)
        moved = boxes_to_output(np.asarray(example['boxes'], np.float64), where) / [w, h, w, h]
        cut = {'image': part.copy(), 'boxes': moved.astype(np.float32)}
        if 'segmentation' in example:
            cut['segmentation'] = decode_labels(example['segmentation'])[top : top + h, left : left + w]
        return {**example, **cut}

    def fingerprint(self) -> str:
        return hashlib.sha256(f'{self._parent.fingerprint()}|boxes|{self._margin}'.encode()).hexdigest()[:16]


def _around(boxes: np.ndarray, height: int, width: int, margin: float) -> tuple[int, int, int, int]:
    """Top, left, height and width in whole pixels of the boxes' common rectangle with a margin; never empty."""
    (x0, y0), (x1, y1) = boxes[:, :2].min(0) * (width, height), boxes[:, 2:].max(0) * (width, height)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    # Outwards to whole pixels; what rounding alone puts beyond one does not ask for the next.
    left, top = max(0, math.floor(x0 - dx + _ROUNDING)), max(0, math.floor(y0 - dy + _ROUNDING))
    right, bottom = min(width, math.ceil(x1 + dx - _ROUNDING)), min(height, math.ceil(y1 + dy - _ROUNDING))
    left, top = min(left, width - 1), min(top, height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return top, left, bottom - top, right - left

"""What a source's examples bring besides pixels, in arrays of fixed shape that moved with the pixels.

A target is a frozen value. A pipeline takes one or several (`targets=`); each adds its arrays to a batch of B examples:

- `Labels`: `label` int32 `[B]`.
- `Boxes(N)`: `boxes` float32 `[B, N, 4]` x0, y0, x1, y1 in pixels of the output, zeros for padding; `box_labels` int32
  `[B, N]`, -1 for padding; `box_difficult` and `box_crowd` bool `[B, N]`; `box_count` int32 `[B]`, the objects in view
  before those beyond N were cut; `placement` float32 `[B, 6]` (placement.Placement), to map predictions back.
- `Proposals(P)`: `proposals` float32 `[B, P, 4]`, as `boxes`, best first, zeros for padding; of proposals.Proposed.
- `Masks`: `segmentation` uint8 `[B, H, W]`, a class or the ignored label.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from input_pipeline.datasets import DatasetInfo
from input_pipeline.decode import decode_labels
from input_pipeline.placement import Placement, boxes_to_output, mask_to_output

# Of an image's side: what rounding alone may put a box outside by.
_TOLERANCE = 1e-4
IGNORED = 255
Arrays = dict[str, np.ndarray]
Size = tuple[int, int]


class Target(Protocol):
    """One kind of target.

    Attributes:
      needs: what a data set must provide (`DatasetInfo.provides`).
    """

    needs: str

    def allocate(self, count: int, size: Size) -> Arrays:
        """Arrays for `count` examples of height and width `size`, filled as for padding."""

    def fill(
        self, arrays: Arrays, row: int, example: dict[str, Any], placement: Placement, size: Size, info: DatasetInfo
    ) -> dict[str, int]:
        """Writes row `row` of what `allocate` made; returns how many objects have which fault, none in general.

        Args:
          example: what the source read.
          placement: where its pixels went.
          size: the output's height and width.
          info: the data set's entry, for its classes.

        Raises:
          ValueError: a class outside the data set's. UnreadableError: this one example cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class Labels:
    """The class of each image."""

    needs: str = dataclasses.field(default='labels', init=False, repr=False)

    def allocate(self, count: int, size: Size) -> Arrays:
        return {'label': np.zeros(count, np.int32)}

    def fill(self, arrays, row, example, placement, size, info) -> dict[str, int]:
        arrays['label'][row] = example['label']
        return {}


LABELS = Labels()


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The objects whose centres are in view, clipped to what is.

    Boxes that cannot be right are left out and counted: `not_finite`, `inverted`, `zero_area`, `outside` the image.
    Counted as well: those that stick out of the image and are `clipped` to it, and, `beyond_padding`, those that do not
    fit into N, the last ones of the example.
    """

    max_boxes: int
    needs: str = dataclasses.field(default='boxes', init=False, repr=False)

    def __post_init__(self):
        if self.max_boxes < 1:
            raise ValueError(f'max_boxes must be at least 1, not {self.max_boxes}')

    def allocate(self, count: int, size: Size) -> Arrays:
        n = self.max_boxes
        return {
            'boxes': np.zeros((count, n, 4), np.float32),
            'box_labels': np.full((count, n), -1, np.int32),
            'box_difficult': np.zeros((count, n), bool),
            'box_crowd': np.zeros((count, n), bool),
            'box_count': np.zeros(count, np.int32),
            # The identity of an image of the output's own size: harmless where padding is mapped back.
            'placement': np.tile(np.float32([1, 1, 0, 0, *size]), (count, 1)),
        }

    def fill(self, arrays, row, example, placement, size, info) -> dict[str, int]:
        boxes, right, faults = checked(example['boxes'])
        labels = np.asarray(example['box_labels'])
        wrong = labels[(labels < 0) | (labels >= info.num_classes)]
        if len(wrong):
            raise ValueError(f'label {wrong[0]} of a box is not one of the classes 0..{info.num_classes - 1}')
        moved, seen = _in_view(boxes, placement, size)
        kept = np.flatnonzero(right & seen)
        arrays['placement'][row] = placement
        arrays['box_count'][row] = len(kept)
        if len(kept) > self.max_boxes:
            faults['beyond_padding'] = len(kept) - self.max_boxes
            kept = kept[: self.max_boxes]
        arrays['boxes'][row, : len(kept)] = moved[kept]
        arrays['box_labels'][row, : len(kept)] = labels[kept]
        for name in ('box_difficult', 'box_crowd'):
            if name in example:
                arrays[name][row, : len(kept)] = np.asarray(example[name])[kept]
        return faults


def checked(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Boxes `[n, 4]` in 0..1, clipped to the image; bool `[n]`, which of them can be right; and the faults' numbers."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    right, faults = np.ones(len(boxes), bool), {}
    with np.errstate(invalid='ignore'):
        extent, clipped = boxes[:, 2:] - boxes[:, :2], np.clip(boxes, 0, 1)
        found = {
            'not_finite': ~np.isfinite(boxes).all(1),
            'inverted': (extent < 0).any(1),
            'zero_area': (extent == 0).any(1),
            'outside': ~(clipped[:, 2:] > clipped[:, :2]).all(1),
            'clipped': (np.abs(clipped - boxes) > _TOLERANCE).any(1),
        }
    for kind, rows in found.items():
        rows = rows & right
        if rows.any():
            faults[kind] = int(rows.sum())
        if kind != 'clipped':
            right &= ~rows
    return np.where(right[:, None], clipped, 0.0), right, faults


@dataclasses.dataclass(frozen=True)
class Proposals:
    """The first proposals whose centres are in view, clipped to what is; of a source with them (proposals.Proposed)."""

    max_proposals: int
    needs: str = dataclasses.field(default='boxes', init=False, repr=False)

    def __post_init__(self):
        if self.max_proposals < 1:
            raise ValueError(f'max_proposals must be at least 1, not {self.max_proposals}')

    def allocate(self, count: int, size: Size) -> Arrays:
        return {'proposals': np.zeros((count, self.max_proposals, 4), np.float32)}

    def fill(self, arrays, row, example, placement, size, info) -> dict[str, int]:
        moved, seen = _in_view(np.asarray(example['proposals'], np.float64), placement, size)
        kept = moved[seen][: self.max_proposals]
        arrays['proposals'][row, : len(kept)] = kept
        return {}


def _in_view(boxes: np.ndarray, placement: Placement, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Boxes `[n, 4]` in 0..1 in pixels of the output, clipped to it; and bool `[n]`, whose centres it shows."""
    moved, extent = boxes_to_output(boxes, placement), np.array([size[1], size[0]])
    centre = (moved[:, :2] + moved[:, 2:]) / 2
    moved = np.clip(moved, 0, [*extent, *extent]).astype(np.float32)
    return moved, (centre >= 0).all(1) & (centre <= extent).all(1) & (moved[:, 2:] > moved[:, :2]).all(1)


@dataclasses.dataclass(frozen=True)
class Masks:
    """The class of each pixel: of the nearest pixel of the source's mask; `ignore` where the mask says so, or outside.

    Attributes:
      ignore: 255, or another number that is no class.
    """

    ignore: int = IGNORED
    needs: str = dataclasses.field(default='masks', init=False, repr=False)

    def __post_init__(self):
        if not 0 <= self.ignore <= 255:
            raise ValueError(f'the ignored label of masks must lie in 0..255, not {self.ignore}')

    def allocate(self, count: int, size: Size) -> Arrays:
        return {'segmentation': np.full((count, *size), self.ignore, np.uint8)}

    def fill(self, arrays, row, example, placement, size, info) -> dict[str, int]:
        mask, out = decode_labels(example['segmentation']), arrays['segmentation'][row]
        if mask.shape != (placement.height, placement.width):
            height, width = mask.shape
            raise ValueError(
                f'a mask of {width} x {height} pixels for an image of {placement.width} x {placement.height} (as '
                'shown, EXIF orientation applied)'
            )
        mask_to_output(mask, placement, out, IGNORED)
        codes, known = mask_codes(info)
        if not cv2.LUT(out, known).all():
            value = int(out[known[out] == 0][0])
            raise ValueError(f'value {value} of a mask is none of the {len(info.mask_names)} classes and not ignored')
        cv2.LUT(out, codes, dst=out)
        if self.ignore != IGNORED:
            out[out == IGNORED] = self.ignore
        return {}


@functools.lru_cache(maxsize=64)
def _mask_codes(count: int, values: tuple[int, ...], void: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    codes, known = np.full(256, IGNORED, np.uint8), np.zeros(256, np.uint8)
    values = values or tuple(range(count))
    codes[list(values)] = np.arange(len(values))
    known[[*values, *void, IGNORED]] = 1
    return codes, known


def mask_codes(info: DatasetInfo) -> tuple[np.ndarray, np.ndarray]:
    """uint8 `[256]`, the class (or 255) of each value in a data set's masks; uint8 `[256]`, 1 where it may occur."""
    return _mask_codes(len(info.mask_names), tuple(info.mask_values), tuple(info.mask_void))


def as_targets(targets: Target | Sequence[Target], info: DatasetInfo) -> tuple[Target, ...]:
    """One or several targets (none: pixels alone) as a tuple, checked against what a data set has.

    Raises:
      ValueError: one that the data set cannot serve.
    """
    targets = tuple(targets) if isinstance(targets, Sequence) else (targets,)
    for target in targets:
        info.require(target.needs)
    return targets

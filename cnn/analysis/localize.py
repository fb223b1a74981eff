"""Objects found by a classifier alone: the hottest place of its heat map, the region around it, and their scores.

Pointing game (Zhang et al. 2016, arXiv:1608.00507): is the hottest pixel on the object? CorLoc (Deselaers et al. 2012):
is the box of the hottest region one of the object's, with an intersection over union above one half? The box is that of
Zhou et al. 2016 (arXiv:1512.04150): the largest connected region of what is above a fifth of the map's maximum.

Boxes are x0, y0, x1, y1 in pixels, where pixel i covers i to i + 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cnn.ops import boxes as ops

# Zhou et al. 2016, section 3.2, and the overlap of PASCAL VOC.
SHARE, OVERLAP = 0.2, 0.5
# Pixels by which the hottest may miss the box: Zhang et al. 2016, section 4.1.
TOLERANCE = 15.0


class Found(NamedTuple):
    """Where a map says the object is: the hottest pixel's centre x, y, and a box; None where nothing is above zero."""

    peak: tuple[float, float] | None
    box: tuple[float, float, float, float] | None


def find(heat: np.ndarray, *, share: float = SHARE) -> Found:
    """The object in a map over an image's pixels, float `[H, W]`; what is not above zero speaks for nothing.

    Args:
      share: of the maximum, above which a pixel belongs to the region.
    """
    heat = np.asarray(heat, np.float64)
    most = heat.max(initial=0.0)
    if not most > 0:
        return Found(None, None)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    regions, count = ndimage.label(heat > share * most, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    rows, columns = ndimage.find_objects(regions)[int(sizes.argmax())]
    box = (columns.start, rows.start, columns.stop, rows.stop)
    return Found((x + 0.5, y + 0.5), tuple(map(float, box)))


def points_at(peak: Sequence[float] | None, truth: np.ndarray, *, tolerance: float = TOLERANCE) -> bool:
    """Whether a point x, y lies in one of the boxes `[n, 4]`, or no further than `tolerance` pixels from one."""
    truth = np.asarray(truth, np.float64).reshape(-1, 4)
    if peak is None or not len(truth):
        return False
    point = np.asarray(peak, np.float64)
    beside = np.maximum(np.maximum(truth[:, :2] - point, point - truth[:, 2:]), 0)
    return bool((np.hypot(beside[:, 0], beside[:, 1]) <= tolerance).any())


def overlap(box: Sequence[float] | None, truth: np.ndarray) -> float:
    """The largest intersection over union of a box with one of `[n, 4]`; 0 for none."""
    truth = np.asarray(truth, np.float32).reshape(-1, 4)
    if box is None or not len(truth):
        return 0.0
    return float(np.asarray(ops.iou(np.asarray([box], np.float32), truth)).max())


def scores(found: Sequence[Found], truth: Sequence[np.ndarray], *, tolerance: float = TOLERANCE) -> dict[str, float]:
    """`pointing`, `corloc` and `mean_overlap`, 0 to 1, over the images that have a box; NaN where none has."""
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if len(t)]
    if not pairs:
        return dict.fromkeys(('pointing', 'corloc', 'mean_overlap'), float('nan'))
    overlaps = [overlap(f.box, t) for f, t in pairs]
    return {
        'pointing': float(np.mean([points_at(f.peak, t, tolerance=tolerance) for f, t in pairs])),
        'corloc': float(np.mean([value > OVERLAP for value in overlaps])),
        'mean_overlap': float(np.mean(overlaps)),
    }


def of_centre(height: int, width: int) -> Found:
    """What one finds without looking: the image's centre, and all of it. A map has to be better than that."""
    return Found((width / 2, height / 2), (0.0, 0.0, float(width), float(height)))

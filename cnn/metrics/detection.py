"""A detector's scores over a whole set: average precision of PASCAL VOC and COCO, class by class and overall."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnn.metrics import coco_ap, voc_ap
from cnn.metrics.voc_ap import Image


class ImageBoxes(NamedTuple):
    """An `Image` as a tuple: detections, and objects. See voc_ap.Image."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


def unpadded(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    truth_labels: np.ndarray,
    difficult: np.ndarray | None = None,
    crowd: np.ndarray | None = None,
) -> ImageBoxes:
    """One image's padded arrays, without what is labelled below 0.

    Args:
      boxes, scores, labels: `[D, 4]`, `[D]`, `[D]`; truth, truth_labels: `[N, 4]`, `[N]`.
      difficult, crowd: bool `[N]`, or None for none.
    """
    found, there = np.asarray(labels) >= 0, np.asarray(truth_labels) >= 0
    marks = (np.zeros(len(there), bool) if mark is None else np.asarray(mark, bool) for mark in (difficult, crowd))
    return ImageBoxes(
        *(np.asarray(x)[found] for x in (boxes, scores, labels)),
        *(np.asarray(x)[there] for x in (truth, truth_labels, *marks)),
    )


def scores(images: Sequence[Image], num_classes: int, *, eleven_point: bool = False) -> dict[str, float]:
    """`map_50` by VOC's rule, and COCO's numbers (`map_coco` and the others of coco_ap.NAMES), 0 to 1.

    Args:
      images: sorted, so that equal scores do not depend on how images came in batches.
      eleven_point: of `map_50`: the rule of 2007 in place of that of 2010.
    """
    curves = voc_ap.curves(images, num_classes)
    map_50 = voc_ap.mean_average_precision(curves, eleven_point=eleven_point)
    return {'map_50': map_50} | coco_ap.scores(images, num_classes)


def class_scores(images: Sequence[Image], num_classes: int, *, eleven_point: bool = False) -> dict[str, np.ndarray]:
    """For each class `ap_50` (NaN without objects), `recall_50`, `objects` and `detections`: arrays `[C]`."""
    curves = voc_ap.curves(images, num_classes)
    return {
        'ap_50': np.array([voc_ap.average_precision(curve, eleven_point=eleven_point) for curve in curves]),
        'recall_50': np.array([curve.hits.sum() / curve.objects if curve.objects else np.nan for curve in curves]),
        'objects': np.array([curve.objects for curve in curves]),
        'detections': np.array([len(curve.hits) for curve in curves]),
    }

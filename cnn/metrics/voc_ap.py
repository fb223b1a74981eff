"""Average precision as PASCAL VOC defines it (Everingham et al. 2010; the development kit's VOCevaldet and VOCap).

Detections of a class are taken from the highest score down over all images. Each looks at the object of its class that
it overlaps most, in its image: from a threshold on it finds that object, unless another did before; then, or below the
threshold, it is a false alarm. One on an object marked difficult counts as neither, and difficult objects need not be
found. So do crowds, whose boxes hold many objects, by the share of the detection inside.

Everything here is float64 on the host, on images of ragged numbers of boxes.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

HIT, MISS, IGNORED = 1, 0, -1
# Recalls at which the kit of 2007 reads the precision.
_ELEVEN = np.linspace(0, 1, 11)


class Image(Protocol):
    """What is judged of an image. Boxes are x0, y0, x1, y1 in continuous pixels (cnn/ops/boxes.py).

    Attributes:
      boxes: `[n, 4]`, detections in any order; scores `[n]`; labels int `[n]`, 0 to C - 1.
      truth: `[m, 4]`, objects; truth_labels int `[m]`; difficult, crowd bool `[m]`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


class Curve(NamedTuple):
    """One class over all images, detection by detection from the highest score down; ignored ones are left out.

    Attributes:
      scores: float64 `[n]`.
      hits: bool `[n]`.
      precision, recall: float64 `[n]`, of the detections up to each; recall is NaN without objects.
      objects: those that count.
    """

    scores: np.ndarray
    hits: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    objects: int


def overlaps(a: np.ndarray, b: np.ndarray, *, of_a: bool = False) -> np.ndarray:
    """Intersection over union, or over the area of `a`: float64 `[n, m]` of boxes `[n, 4]` and `[m, 4]`.

    As cnn.ops.boxes.iou and covered, but in float64 on ragged arrays, for which nothing should be compiled.
    """
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    common = sides[..., 0] * sides[..., 1]
    area_a, area_b = (np.prod(np.maximum(x[..., 2:] - x[..., :2], 0), -1) for x in (a, b))
    whole = np.broadcast_to(area_a if of_a else area_a + area_b - common, common.shape)
    return np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)


def judge(image: Image, threshold: float = 0.5) -> np.ndarray:
    """HIT, MISS or IGNORED for each detection of one image, in the order given: int `[n]`."""
    verdict = np.full(len(image.scores), MISS)
    crowd, difficult = np.asarray(image.crowd, bool), np.asarray(image.difficult, bool)
    labels, truth_labels = np.asarray(image.labels), np.asarray(image.truth_labels)
    of_class = labels[:, None] == truth_labels
    iou = np.where(of_class & ~crowd, overlaps(image.boxes, image.truth), -1.0)
    in_crowd = np.where(of_class & crowd, overlaps(image.boxes, image.truth, of_a=True), -1.0)
    taken = np.zeros(len(truth_labels), bool)
    if not len(truth_labels):
        return verdict
    for d in np.argsort(-np.asarray(image.scores, np.float64), kind='stable'):
        best = iou[d].argmax()
        if iou[d, best] >= threshold:
            if difficult[best]:
                verdict[d] = IGNORED
            elif not taken[best]:
                verdict[d], taken[best] = HIT, True
        if verdict[d] == MISS and in_crowd[d].max() >= threshold:
            verdict[d] = IGNORED
    return verdict


def count_objects(images: Iterable[Image], num_classes: int) -> np.ndarray:
    """Objects of each class that count, int `[C]`."""
    total = np.zeros(num_classes, np.int64)
    for image in images:
        counts = ~(np.asarray(image.difficult, bool) | np.asarray(image.crowd, bool))
        total += np.bincount(np.asarray(image.truth_labels)[counts], minlength=num_classes)
    return total


def curves(images: Sequence[Image], num_classes: int, *, threshold: float = 0.5) -> list[Curve]:
    """The curve of each class. Equal scores go by the order of images and, in an image, of detections."""
    verdicts = [judge(image, threshold) for image in images]
    verdict = np.concatenate([*verdicts, np.zeros(0, int)])
    labels, scores = (
        np.concatenate([*(np.asarray(getattr(image, name)) for image in images), np.zeros(0, kind)])
        for name, kind in (('labels', np.int64), ('scores', np.float64))
    )
    objects, found = count_objects(images, num_classes), []
    for label in range(num_classes):
        mine = (labels == label) & (verdict != IGNORED)
        order = np.argsort(-scores[mine].astype(np.float64), kind='stable')
        hits = verdict[mine][order] == HIT
        total = np.cumsum(hits)
        recall = total / objects[label] if objects[label] else np.full(len(hits), np.nan)
        found.append(Curve(scores[mine][order], hits, total / np.arange(1, len(hits) + 1), recall, int(objects[label])))
    return found


def average_precision(curve: Curve, *, eleven_point: bool = False) -> float:
    """The area under the curve, 0 to 1, where a recall's precision is the largest at that recall or above (VOC2010 on).

    NaN without objects.

    Args:
      eleven_point: the mean of these precisions at the recalls 0, 0.1 ... 1 (VOC2007).
    """
    if not curve.objects:
        return float('nan')
    largest = np.maximum.accumulate(curve.precision[::-1])[::-1]
    if eleven_point:
        # A recall that rounding leaves just under a tenth has reached it.
        at = np.searchsorted(curve.recall, _ELEVEN - 1e-9)
        return float(np.append(largest, 0.0)[at].mean())
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * largest))


def mean_average_precision(found: Sequence[Curve], *, eleven_point: bool = False) -> float:
    """The mean over the classes that have objects, 0 to 1; NaN where none has."""
    values = [average_precision(curve, eleven_point=eleven_point) for curve in found if curve.objects]
    return float(np.mean(values)) if values else float('nan')

"""What kind of mistakes a detector makes (Hoiem et al. 2012), as the YOLO paper reports it (arXiv:1506.02640, 2.3).

Of each class the N highest scores are looked at, N being the number of its objects. Each is
  correct       right class, overlap of at least 0.5, the first on its object;
  localisation  right class, overlap above 0.1 but no hit; a second one on the same object as well;
  similar       another class of the same group, overlap above 0.1;
  other         a class of another group, overlap above 0.1;
  background    no object overlaps by more.
"""

from collections.abc import Sequence

import numpy as np

from cnn.metrics.voc_ap import HIT, IGNORED, Image, count_objects, judge, overlaps

KINDS = ('correct', 'localisation', 'similar', 'other', 'background')
# Of PASCAL VOC's classes, as Hoiem et al. have them: vehicles, animals with people, furniture, and what flies.
VOC_GROUPS = (
    ('aeroplane', 'bicycle', 'boat', 'bus', 'car', 'motorbike', 'train'),
    ('bird', 'cat', 'cow', 'dog', 'horse', 'person', 'sheep'),
    ('chair', 'diningtable', 'sofa'),
    ('aeroplane', 'bird'),
)


def similarity(names: Sequence[str], groups: Sequence[Sequence[str]] = VOC_GROUPS) -> np.ndarray:
    """Which classes share a group: bool `[C, C]`, False on the diagonal. Names that no group has are alone."""
    member = np.array([[name in group for group in groups] for name in names], int).reshape(len(names), len(groups))
    return (member @ member.T > 0) & ~np.eye(len(names), dtype=bool)


def error_split(
    images: Sequence[Image],
    num_classes: int,
    *,
    similar: np.ndarray | None = None,
    threshold: float = 0.5,
    least: float = 0.1,
) -> np.ndarray:
    """How many of each class's N highest scores are of each of KINDS: int `[C, 5]`.

    Detections that VOC's rule ignores are passed over. A row sums to less than N where there are fewer detections.

    Args:
      similar: bool `[C, C]` (`similarity`); none are similar where it is left out.
    """
    similar = np.zeros((num_classes, num_classes), bool) if similar is None else similar
    kinds, labels, scores = [], [], []
    for image in images:
        kind = _kinds(image, similar, threshold, least)
        kept = kind >= 0
        kinds.append(kind[kept])
        labels.append(np.asarray(image.labels)[kept])
        scores.append(np.asarray(image.scores, np.float64)[kept])
    split = np.zeros((num_classes, len(KINDS)), np.int64)
    if not images:
        return split
    kinds, labels, scores = (np.concatenate(x) for x in (kinds, labels, scores))
    for label, objects in enumerate(count_objects(images, num_classes)):
        mine = np.flatnonzero(labels == label)
        first = mine[np.argsort(-scores[mine], kind='stable')[:objects]]
        split[label] = np.bincount(kinds[first], minlength=len(KINDS))
    return split


def shares(split: np.ndarray) -> dict[str, float]:
    """The mean over the classes of each kind's share, 0 to 1, as in the paper's figure; empty classes are left out."""
    counts = np.asarray(split, np.float64)
    counts = counts[counts.sum(1) > 0]
    if not len(counts):
        return dict.fromkeys(KINDS, float('nan'))
    return dict(zip(KINDS, (counts / counts.sum(1, keepdims=True)).mean(0).tolist(), strict=True))


def _kinds(image, similar, threshold, least):
    """The kind of each detection of an image, -1 for ignored ones."""
    labels, truth_labels = np.asarray(image.labels), np.asarray(image.truth_labels)
    verdict = judge(image, threshold)
    kind = np.full(len(labels), KINDS.index('background'))
    iou = overlaps(image.boxes, image.truth)
    close = iou > least
    same = labels[:, None] == truth_labels
    alike = similar[labels][:, truth_labels] if len(labels) else same
    # From the weakest claim to the strongest.
    for name, pairs in (('other', ~same & ~alike), ('similar', alike), ('localisation', same)):
        kind[(close & pairs).any(1)] = KINDS.index(name)
    kind[verdict == HIT] = KINDS.index('correct')
    kind[verdict == IGNORED] = -1
    return kind

"""NumPy's own boxes, losses and greedy suppression, box by box, to hold the detectors' tasks to."""

import numpy as np


def iou(a, b):
    """Of two boxes."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return common / (sum(areas) - common) if common else 0.0


def encode(box, anchor, stds=(1, 1, 1, 1)):
    (w, h), (wa, ha) = ((x[2] - x[0], x[3] - x[1]) for x in (box, anchor))
    shift = [(box[i] + box[i + 2] - anchor[i] - anchor[i + 2]) / 2 for i in (0, 1)]
    return np.array([shift[0] / wa, shift[1] / ha, np.log(w / wa), np.log(h / ha)]) / stds


def decode(deltas, anchor, stds=(1, 1, 1, 1)):
    d, wa, ha = np.asarray(deltas) * stds, anchor[2] - anchor[0], anchor[3] - anchor[1]
    x, y = (anchor[0] + anchor[2]) / 2 + d[0] * wa, (anchor[1] + anchor[3]) / 2 + d[1] * ha
    w, h = wa * np.exp(d[2]), ha * np.exp(d[3])
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def smooth_l1(x, sigma):
    x = np.abs(x)
    return float(np.where(x < 1 / sigma**2, 0.5 * (sigma * x) ** 2, x - 0.5 / sigma**2).sum())


def cross_entropy(logits, label):
    shifted = logits - logits.max()
    return float(np.log(np.exp(shifted).sum()) - shifted[label])


def suppressed(boxes, scores, threshold):
    """Places of the boxes that greedy suppression keeps, highest score first."""
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if all(iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(int(i))
    return kept

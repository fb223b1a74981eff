"""The last step of a detector, against class after class of the greedy loop."""

import functools

import jax
import numpy as np

from cnn.ops import detections
from tests.ops.test_nms import crowded, greedy

select = jax.jit(detections.select, static_argnames=('iou_threshold', 'score_threshold', 'count'))
choose = functools.partial(select, iou_threshold=0.3, score_threshold=0.4)


def wanted(boxes, scores, valid, count):
    """All of (score, class, region) that stay, best first; boxes `[R, C, 4]`."""
    found = []
    for c in range(scores.shape[1]):
        chosen = (scores[:, c] > 0.4) & valid
        found += [(scores[i, c], c, i) for i in greedy(boxes[:, c], scores[:, c], 0.3, chosen)]
    return sorted(found, key=lambda f: -f[0])[:count]


def check(found, boxes, scores, valid, count):
    found = detections.Detections(*map(np.asarray, found))
    for b in range(len(scores)):
        expected = wanted(boxes[b], scores[b], valid[b], count)
        labels = found.labels[b]
        np.testing.assert_array_equal(labels, [c for _, c, _ in expected] + [-1] * (count - len(expected)))
        for k, (score, c, i) in enumerate(expected):
            assert float(found.scores[b, k]) == score
            np.testing.assert_array_equal(found.boxes[b, k], boxes[b, i, c])
        assert not np.any(found.boxes[b][labels < 0])
        assert not np.any(found.scores[b][labels < 0])


def test_boxes_of_each_class_and_boxes_of_all():
    rng = np.random.default_rng(0)
    scores = rng.random((2, 24, 3)).astype(np.float32)
    by_class = np.stack([crowded(72, seed)[0].reshape(24, 3, 4) for seed in range(2)])
    valid = rng.random((2, 24)) < 0.8
    # Fewer than there are, and more than there can be.
    check(choose(by_class, scores, count=12, valid=valid), by_class, scores, valid, 12)
    shared = by_class[:, :, 0]
    spread = np.broadcast_to(shared[:, :, None], by_class.shape)
    check(choose(shared, scores, count=200, valid=valid), spread, scores, valid, 200)


def test_no_region_is_no_detection():
    found = choose(np.zeros((2, 0, 4), np.float32), np.zeros((2, 0, 3), np.float32), count=4)
    np.testing.assert_array_equal(found.labels, np.full((2, 4), -1))
    found = choose(np.ones((1, 3, 4), np.float32), np.full((1, 3, 2), 0.4, np.float32), count=4)
    np.testing.assert_array_equal(found.labels, np.full((1, 4), -1))

"""Suppression in blocks equals the plain greedy loop, whatever the boxes."""

import functools

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn.ops import nms


@functools.partial(jax.jit, static_argnames=('iou_threshold', 'count', 'tile', 'inclusive'))
def suppressed(boxes, scores, valid=None, labels=None, **options):
    return nms.nms(boxes, scores, valid=valid, labels=labels, **options)


def greedy(boxes, scores, threshold, valid=None, labels=None, extra=0):
    """Box by box, highest score first, the first of equals; in float32, as the code under test."""
    threshold, kept = np.float32(threshold), []
    boxes = np.asarray(boxes, np.float32)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2] + extra, 0)
    area = sides[:, 0] * sides[:, 1]
    for i in np.argsort(-np.asarray(scores), kind='stable'):
        if valid is not None and not valid[i]:
            continue
        for k in kept:
            common = np.minimum(boxes[i, 2:], boxes[k, 2:]) - np.maximum(boxes[i, :2], boxes[k, :2]) + extra
            common = np.prod(np.maximum(common, 0))
            union = area[i] + area[k] - common
            same = labels is None or labels[i] == labels[k]
            if same and union > 0 and common / union > threshold:
                break
        else:
            kept.append(i)
    return kept


def check(kept, wanted, count):
    number = min(len(wanted), count)
    np.testing.assert_array_equal(np.asarray(kept.valid), np.arange(count) < number)
    np.testing.assert_array_equal(np.asarray(kept.index), np.pad(wanted[:number], (0, count - number)).astype(int))


def crowded(count, seed):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 200, (count, 2))
    return np.float32(np.concatenate([start, start + rng.uniform(10, 120, (count, 2))], 1)), np.float32(
        rng.random(count)
    )


# Sizes are fixed, so that each is compiled once: what varies is what is in the arrays, and how much of it is real.
ROOM = 21
# Small whole numbers: overlaps and scores tie, sides are zero or inverted, and float32 is exact.
SMALL = st.integers(0, 3), st.integers(0, 3), st.integers(-1, 6), st.integers(-1, 6)
ROW = st.tuples(*SMALL, st.integers(0, 4), st.integers(0, 1), st.integers(0, 5))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(data=st.lists(ROW, max_size=ROOM), threshold=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_equals_the_greedy_loop_for_any_boxes(data, threshold):
    rows = np.zeros((ROOM, 7), np.float32)
    rows[: len(data)] = np.asarray(data, np.float32).reshape(-1, 7)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
    scores, labels, valid = rows[:, 4], rows[:, 5].astype(np.int32), rows[:, 6] > 0
    kept = suppressed(boxes, scores, valid, labels, iou_threshold=threshold, count=ROOM, tile=8)
    check(kept, greedy(boxes, scores, threshold, valid, labels), ROOM)


def test_many_boxes_over_many_tiles():
    boxes, scores = crowded(300, 0)
    for threshold, count, tile in ((0.3, 320, 64), (0.7, 40, 256)):
        kept = suppressed(boxes, scores, iou_threshold=threshold, count=count, tile=tile)
        check(kept, greedy(boxes, scores, threshold), count)


def test_inclusive_boxes():
    # Pixels 0..9 and 5..14: 5 of 15 by their last pixels, 4 of 14 if they ended at 9 and 14.
    boxes, scores = np.float32([[0, 0, 9, 9], [5, 0, 14, 9]]), np.float32([1, 2])
    for inclusive, number in ((True, 1), (False, 2)):
        kept = suppressed(boxes, scores, iou_threshold=0.3, count=2, inclusive=inclusive)
        assert int(kept.valid.sum()) == number
    boxes, scores = np.round(crowded(60, 1)[0]), crowded(60, 1)[1]
    kept = suppressed(boxes, scores, iou_threshold=0.3, count=60, inclusive=True, tile=16)
    check(kept, greedy(boxes, scores, 0.3, extra=1), 60)


def test_batches_are_images_one_by_one():
    parts = [crowded(70, seed) for seed in range(6)]
    boxes, scores = (np.stack(x).reshape(2, 3, 70, *x[0].shape[1:]) for x in zip(*parts, strict=True))
    kept = suppressed(boxes, scores, iou_threshold=0.5, count=30, tile=32)
    assert kept.index.shape == kept.valid.shape == (2, 3, 30)
    kept = nms.Kept(*map(np.asarray, kept))
    for b, c in np.ndindex(2, 3):
        check(nms.Kept(kept.index[b, c], kept.valid[b, c]), greedy(boxes[b, c], scores[b, c], 0.5), 30)


def test_long_chains():
    # Each box overlaps the next alone: every other one is kept, which takes as many rounds as there are boxes.
    start = np.arange(100, dtype=np.float32) * 5
    boxes = np.stack([start, 0 * start, start + 9, 0 * start + 9], 1)
    kept = suppressed(boxes, -start, iou_threshold=0.2, count=100, tile=100)
    check(kept, list(range(0, 100, 2)), 100)


def test_what_is_not_finite_is_never_kept():
    boxes = np.float32([[0, 0, 9, 9], [0, 0, 9, 9], [np.nan, 0, 9, 9], [50, 50, np.inf, 60], [20, 20, 30, 30]])
    scores = np.float32([np.nan, 0.5, 0.9, 0.8, -np.inf])
    kept = suppressed(boxes, scores, iou_threshold=0.5, count=4)
    check(kept, [1], 4)


def test_nothing_at_all():
    for boxes, valid, count in ((np.zeros((0, 4)), None, 3), (np.ones((4, 4)), np.zeros(4, bool), 3)):
        kept = suppressed(boxes, np.zeros(len(boxes)), valid, iou_threshold=0.5, count=count)
        check(kept, [], count)
    kept = suppressed(np.zeros((2, 0, 4)), np.zeros((2, 0)), iou_threshold=0.5, count=3)
    assert kept.index.shape == (2, 3)


def test_no_gradient_and_none_needed():
    def loss(boxes):
        kept = nms.nms(boxes, boxes[:, 0], iou_threshold=0.5, count=5)
        return (boxes[kept.index] * kept.valid[:, None]).sum()

    boxes, wanted = crowded(20, 3)[0], np.zeros((20, 4))
    wanted[greedy(boxes, boxes[:, 0], 0.5)[:5]] = 1
    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(boxes), wanted)

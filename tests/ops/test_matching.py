"""Who answers for which object, by hand and against a loop."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn.ops import boxes, matching

match = jax.jit(matching.match, static_argnames=('positive', 'negative', 'best_too'))
RPN = {'positive': 0.7, 'negative': (0.0, 0.3), 'best_too': True}


def judged(iou, valid, usable, ignored, positive, negative, best_too):
    """The rule of section 3.1.2 of the Faster R-CNN paper, candidate by candidate."""
    count, objects = iou.shape
    label, index = np.full(count, -1), np.zeros(count, int)
    real = [m for m in range(objects) if valid[m]]
    for n in range(count):
        if not usable[n]:
            continue
        best = max((iou[n, m] for m in real), default=0.0)
        index[n] = next((m for m in real if iou[n, m] == best and best > 0), 0)
        if negative[0] <= best < negative[1] and not ignored[n]:
            label[n] = 0
        if real and best >= positive:
            label[n] = 1
        for m in real:
            top = max(iou[k, m] for k in range(count) if usable[k])
            if best_too and top > 0 and iou[n, m] == top:
                label[n] = 1
    return label, index


def test_against_a_loop():
    rng = np.random.default_rng(0)
    for best_too in (True, False):
        # Tenths, so that there are ties; many zeros.
        iou = np.float32(np.round(rng.random((20, 12, 5)) ** 3, 1))
        valid, usable, ignored = rng.random((20, 5)) < 0.6, rng.random((20, 12)) < 0.8, rng.random((20, 12)) < 0.3
        usable[:, 0] = True
        found = match(
            iou, valid, positive=0.7, negative=(0.1, 0.5), best_too=best_too, usable=usable, ignored=ignored
        )
        found = matching.Match(*map(np.asarray, found))
        for b in range(20):
            label, index = judged(
                iou[b], valid[b], usable[b], ignored[b], np.float32(0.7), np.float32([0.1, 0.5]), best_too
            )
            np.testing.assert_array_equal(found.label[b], label)
            seen = found.iou[b] > 0
            np.testing.assert_array_equal(found.index[b][seen], index[seen])


def test_thresholds_ties_and_the_best_of_an_object():
    iou = np.float32([[0.7, 0.0], [0.5, 0.0], [0.29, 0.0], [0.3, 0.4], [0.0, 0.4], [0.0, 0.0]])
    found = match(iou, np.array([True, True]), **RPN)
    # 0.7 is positive, 0.3 no longer negative; both of equal overlap are the second object's best.
    np.testing.assert_array_equal(found.label, [1, -1, 0, 1, 1, 0])
    np.testing.assert_array_equal(found.index, [0, 0, 0, 1, 1, 0])
    np.testing.assert_allclose(found.iou, [0.7, 0.5, 0.29, 0.4, 0.4, 0])
    # An object that nothing overlaps has no best.
    alone = match(iou[:3], np.array([True, True]), **RPN)
    np.testing.assert_array_equal(alone.label, [1, -1, 0])


def test_without_objects_everything_is_negative():
    iou = np.zeros((2, 4, 3), np.float32)
    for valid in (np.zeros((2, 3), bool), np.zeros((2, 0), bool)):
        found = match(iou[..., : valid.shape[-1]], valid, **RPN)
        np.testing.assert_array_equal(found.label, np.zeros((2, 4)))
        np.testing.assert_array_equal(found.iou, np.zeros((2, 4)))
    # Fast R-CNN's lower bound leaves out what overlaps nothing.
    found = match(iou, np.ones((2, 3), bool), positive=0.5, negative=(0.1, 0.5))
    np.testing.assert_array_equal(found.label, -np.ones((2, 4)))


def test_what_lies_on_a_crowd_is_not_negative():
    candidates = np.float32([[10, 10, 20, 20], [10, 10, 90, 90], [60, 60, 70, 70]])
    objects, crowd = np.float32([[0, 0, 50, 50], [0, 0, 0, 0]]), np.array([True, False])
    covered = jax.jit(boxes.covered)(candidates, objects)
    # All of the first candidate lies in the crowd, 1600 of 6400 pixels of the second, nothing of the third.
    on_crowd = matching.on_ignored(covered, crowd, 0.5)
    np.testing.assert_array_equal(on_crowd, [True, False, False])
    found = match(jax.jit(boxes.iou)(candidates, objects), ~crowd & np.array([True, False]), **RPN, ignored=on_crowd)
    np.testing.assert_array_equal(found.label, [-1, 0, 0])


def test_what_an_index_takes():
    values, index = jnp.arange(24).reshape(2, 3, 4), jnp.array([[2, 0], [1, 1]])
    np.testing.assert_array_equal(matching.take(values, index)[0, 0], [8, 9, 10, 11])
    np.testing.assert_array_equal(matching.take(values, index)[1, 1], [16, 17, 18, 19])
    np.testing.assert_array_equal(matching.take(values[..., 0], index), [[8, 0], [16, 16]])
    np.testing.assert_array_equal(matching.take(values[0], index[0]), [[8, 9, 10, 11], [0, 1, 2, 3]])

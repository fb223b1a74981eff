"""What the head of Fast R-CNN learns and says: sampled regions by hand, losses and detections against NumPy."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.tasks import fast_rcnn, regions
from cnn.tasks.detection import Scene
from cnn.tasks.regions import RegionOptions, Regions
from tests.tasks import boxes_by_hand as by_hand

KEY = jax.random.key(0)
STDS = (0.1, 0.1, 0.2, 0.2)
# An object of class 4, one of class 2, a crowd of class 0.
OBJECTS = np.float32([[10, 10, 30, 30], [50, 50, 60, 70], [0, 60, 40, 100]])
PROPOSALS = np.float32(
    [
        [10, 10, 30, 28],  # 0.9 of the first
        [12, 10, 30, 40],  # 18 x 20 in common of 400 + 540 - 360: 0.62 of the first
        [10, 10, 30, 70],  # a third of it: background
        [50, 50, 60, 71],  # nearly the second
        [80, 80, 90, 90],  # overlaps nothing: neither, at a lower limit of 0.1
        [5, 70, 25, 95],  # in the crowd: neither
        [26, 26, 46, 46],  # 16 of 784: neither
        [0, 0, 0, 0],  # padding
    ]
)


def scene_of():
    """Two images, the second without any object."""
    boxes = np.stack([OBJECTS, np.zeros_like(OBJECTS)])
    valid = np.array([[True, True, False], [False] * 3])
    crowd = np.array([[False, False, True], [False] * 3])
    return Scene(
        images=jnp.zeros((2, 100, 100, 3)), window=jnp.float32([[0, 0, 100, 100]] * 2), row=jnp.arange(2),
        boxes=jnp.asarray(boxes), labels=jnp.int32([[4, 2, 0], [-1, -1, -1]]), valid=jnp.asarray(valid),
        ignored=jnp.asarray(crowd), crowd=jnp.asarray(crowd),
    )  # fmt: skip


def chosen(**options):
    boxes = jnp.stack([PROPOSALS] * 2)
    choose = jax.jit(lambda b, v: regions.choose(KEY, b, v, scene_of(), RegionOptions(**options)))
    return choose(boxes, jnp.any(boxes != 0, -1))


def test_regions_are_labelled_by_overlap_and_truth_is_among_them():
    # Room for all: eleven candidates, a share of one.
    found, recalled = chosen(batch=12, positive_share=1.0)
    rows = {tuple(box): i for i, box in enumerate(np.asarray(found.boxes[0])) if found.counts[0, i]}
    labels = {box: int(found.labels[0, i]) for box, i in rows.items()}
    expected = {tuple(PROPOSALS[0]): 5, tuple(PROPOSALS[1]): 5, tuple(PROPOSALS[2]): 0, tuple(PROPOSALS[3]): 3,
                tuple(OBJECTS[0]): 5, tuple(OBJECTS[1]): 3}  # fmt: skip
    assert labels == expected
    for box, i in rows.items():
        answers = {5: OBJECTS[0], 3: OBJECTS[1]}
        target = by_hand.encode(answers[labels[box]], box, STDS) if labels[box] else np.zeros(4)
        np.testing.assert_allclose(found.targets[0, i], target, rtol=1e-4, atol=1e-4)
    # Without objects nothing overlaps by 0.1, so there is nothing to learn.
    assert not found.counts[1].any()
    assert not found.targets[1].any()
    np.testing.assert_array_equal(recalled, [2, 0])


def test_a_quarter_are_objects_and_background_may_overlap_nothing():
    found, _ = chosen(batch=4, background_low=0.0, add_truth=False)
    np.testing.assert_array_equal(found.labels[0, 1:], [0, 0, 0])
    assert int(found.labels[0, 0]) in (3, 5)
    # The third, fifth and seventh: neither the crowd's nor padding.
    background = {tuple(box) for box in np.asarray(found.boxes[0, 1:])}
    assert background == {tuple(PROPOSALS[i]) for i in (2, 4, 6)}
    assert found.counts[1].all()
    assert not found.labels[1].any()


def test_losses_are_means_over_an_images_regions():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 4)).astype(np.float32)
    deltas, targets = (rng.normal(size=s).astype(np.float32) for s in ((3, 4, 4, 4), (3, 4, 4)))
    labels = np.int32([[2, 0, 1, 0], [0, 0, 0, 0], [3, 3, 0, 0]])
    counts = np.array([[True, True, True, False], [False] * 4, [True] * 4])
    options = RegionOptions(sigma=2.0, weight=0.5)
    given = Regions(jnp.zeros((3, 4, 4)), jnp.asarray(labels), jnp.asarray(targets), jnp.asarray(counts))

    def total(logits, deltas):
        losses = regions.losses(logits, deltas, given, options)
        return sum(x.sum() for x in losses), losses

    differentiate = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
    (_, (of_class, of_box)), gradients = differentiate(logits, deltas)
    for i in range(3):
        rows, number = np.flatnonzero(counts[i]), max(counts[i].sum(), 1)
        expected = sum(by_hand.cross_entropy(logits[i, r], labels[i, r]) for r in rows) / number
        assert float(of_class[i]) == pytest.approx(expected, rel=1e-5)
        moved = [by_hand.smooth_l1(deltas[i, r, labels[i, r]] - targets[i, r], 2.0) for r in rows if labels[i, r]]
        assert float(of_box[i]) == pytest.approx(0.5 * sum(moved) / number, rel=1e-5)
    # Only the deltas of the true class learn, and background's never do.
    taught = {tuple(at) for at in np.argwhere(np.abs(gradients[1]).sum(-1) > 0)}
    assert taught == {(0, 0, 2), (0, 2, 1), (2, 0, 3), (2, 1, 3)}


def test_detections_are_moved_clipped_and_suppressed_by_class():
    boxes = np.float32([[10, 10, 30, 30], [12, 10, 32, 30], [60, 60, 80, 80], [1, 1, 9, 9]])
    deltas = np.zeros((1, 4, 3, 4), np.float32)
    deltas[0, 2, 2] = [5, 0, 0, 0]  # class 1: half its width to the right, to 70..90, cut at 85
    probabilities = np.float32([[0.1, 0.7, 0.2], [0.2, 0.55, 0.25], [0.1, 0.05, 0.85], [0.0, 1.0, 0.0]])
    found = jax.jit(
        lambda d: regions.detect(
            jnp.log(probabilities + 1e-9)[None], d, boxes[None], jnp.array([[True, True, True, False]]),
            jnp.float32([[0, 0, 85, 85]]), RegionOptions(), nms_threshold=0.3, score_threshold=0.15, count=5,
        )
    )(deltas)  # fmt: skip
    # Of class 0 the second is suppressed by the first, of class 1 the first by the second; the last is padding.
    np.testing.assert_allclose(found.scores[0], [0.85, 0.7, 0.25, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(found.labels[0], [1, 0, 1, -1, -1])
    expected = [[70, 60, 85, 80], [10, 10, 30, 30], [12, 10, 32, 30]]
    np.testing.assert_allclose(found.boxes[0, :3], expected, rtol=1e-5)


@pytest.mark.parametrize('field', [{'positive': -0.1}, {'stds': (1, 1, 1, 0)}, {'batch': 0}])
def test_options_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=r'config\.roi'):
        RegionOptions(**field)


def test_boxes_that_are_not_learnt_stay_where_they_were_proposed():
    boxes = jnp.float32([[[0, 0, 10, 10], [20, 20, 40, 30]]])
    logits, deltas = jnp.float32([[[0, 5, 0], [0, 0, 4]]]), jnp.full((1, 2, 3, 4), 3.0)
    found = regions.detect(
        logits, deltas, boxes, jnp.ones((1, 2), bool), jnp.float32([[0, 0, 100, 100]]), RegionOptions(regress=False),
        nms_threshold=0.3, score_threshold=0.5, count=2,
    )  # fmt: skip
    np.testing.assert_array_equal(found.boxes, boxes)
    np.testing.assert_array_equal(found.labels, [[0, 1]])


@pytest.mark.parametrize('learnt', [True, False])
@pytest.mark.parametrize('moved', [True, False])
def test_fast_r_cnn_moves_boxes_where_it_learnt_to_and_is_asked_to(monkeypatch, learnt, moved):
    """config.roi.regress and config.linear.regress, which evaluation may turn off."""
    scene = types.SimpleNamespace(window=None)
    task = types.SimpleNamespace(
        proposals=lambda _: fast_rcnn.Proposals(jnp.zeros((1, 2, 4)), jnp.ones((1, 2), bool)),
        _said=lambda *_: (None, None, {}), nms_threshold=0.3, score_threshold=0.0, max_detections=5,
        linear=fast_rcnn.LinearOptions(classifier='softmax', regress=moved), roi=RegionOptions(regress=learnt),
    )  # fmt: skip
    monkeypatch.setattr(regions, 'detect', lambda *given, **_: given[5])
    assert fast_rcnn.FastRCNN.detect(task, {}, scene).regress == (learnt and moved)

"""The RPN's proposals and losses against NumPy, image by image and anchor by anchor; sliding windows by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models.detectors import rpn
from cnn.models.detectors.rpn import Judged
from cnn.tasks import proposals
from cnn.tasks.detection import Scene
from cnn.tasks.proposals import ProposalOptions
from tests.tasks import boxes_by_hand as by_hand

KEY = jax.random.key(0)
SIDE = 64


def judged_of(batch, seed=0, cells=4):
    """Random numbers at anchors of 16 and 32 pixels every 16 pixels, from a network's own anchors."""
    network = rpn.create(4, stride=16, first_centre=7.5, ratios=(1.0,), scales=(1.0, 2.0))
    found, _ = network.init_with_output(KEY, jnp.zeros((1, cells, cells, 3)))
    rng, number = np.random.default_rng(seed), len(found.anchors)
    logits = rng.normal(size=(batch, number, 2)).astype(np.float32)
    deltas = rng.normal(scale=0.3, size=(batch, number, 4)).astype(np.float32)
    return Judged(logits, deltas, np.asarray(found.anchors))


def scene_of(objects, windows=None, ignored=(), crowd=()):
    """A scene of an image for each list of boxes; `ignored` and `crowd` are (image, place) pairs."""
    batch, most = len(objects), max(max(map(len, objects)), 1)
    boxes, real = np.zeros((batch, most, 4), np.float32), np.zeros((batch, most), bool)
    for i, those in enumerate(objects):
        boxes[i, : len(those)], real[i, : len(those)] = np.reshape(those, (-1, 4)), True
    out, crowds = np.zeros_like(real), np.zeros_like(real)
    for at in (*ignored, *crowd):
        out[at] = True
    for at in crowd:
        crowds[at] = True
    if windows is None:
        windows = [[0, 0, SIDE, SIDE]] * batch
    return Scene(
        images=jnp.zeros((batch, SIDE, SIDE, 3)),
        window=jnp.float32(windows),
        row=jnp.arange(batch),
        boxes=jnp.asarray(boxes),
        labels=jnp.where(real, 1, -1),
        valid=jnp.asarray(real & ~out),
        ignored=jnp.asarray(real & out),
        crowd=jnp.asarray(crowds),
    )


def test_anchors_are_centred_on_their_cells():
    anchors = judged_of(1).anchors
    assert anchors.shape == (32, 4)
    # Of stride 16 the first cell covers pixels 0 to 16: its centre is 8; the next one to the right's is 24.
    np.testing.assert_array_equal(anchors[:3], [[0, 0, 16, 16], [-8, -8, 24, 24], [16, 0, 32, 16]])


@pytest.mark.parametrize('train', [True, False])
def test_proposals_are_the_greedy_ones(train):
    # In the last image nothing is large enough.
    judged, windows = judged_of(3), [[0, 0, 64, 64], [10, 5, 60, 40], [0, 0, 8, 8]]
    options = ProposalOptions(train_before=20, train_after=6, test_before=12, test_after=4, nms_threshold=0.3,
                              min_size=9.0)  # fmt: skip
    before, after = (20, 6) if train else (12, 4)
    found = jax.jit(lambda j, w: proposals.propose(j, w, options, train=train))(judged, jnp.float32(windows))
    assert found.boxes.shape == (3, after, 4)
    assert not found.valid[2].any()
    for i, (x0, y0, x1, y1) in enumerate(windows):
        pairs = zip(judged.deltas[i], judged.anchors, strict=True)
        boxes = np.clip([by_hand.decode(d, a) for d, a in pairs], [x0, y0, x0, y0], [x1, y1, x1, y1])
        scores = judged.logits[i, :, 1] - judged.logits[i, :, 0]
        large = ((boxes[:, 2:] - boxes[:, :2]) >= 9).all(1)
        assert not large.all()
        scores = np.where(large, scores, -np.inf)
        order = np.argsort(-scores)[: min(before, large.sum())]
        kept = order[by_hand.suppressed(boxes[order], scores[order], 0.3)][:after]
        number = int(found.valid[i].sum())
        assert number == len(kept)
        np.testing.assert_allclose(found.boxes[i, :number], boxes[kept], rtol=1e-4, atol=1e-4)
        assert not found.boxes[i, number:].any()


def losses_by_hand(judged, scene, i, options):
    """The two losses of image i where every anchor that has a label is drawn."""
    truth = [box for box, real in zip(np.asarray(scene.boxes[i]), scene.valid[i], strict=True) if real]
    crowds = [box for box, is_one in zip(np.asarray(scene.boxes[i]), scene.crowd[i], strict=True) if is_one]
    x0, y0, x1, y1 = np.asarray(scene.window[i])
    inside = [n for n, a in enumerate(judged.anchors) if a[0] >= x0 and a[1] >= y0 and a[2] <= x1 and a[3] <= y1]
    overlap = {n: [by_hand.iou(judged.anchors[n], box) for box in truth] for n in inside}
    best = [max((overlap[n][m] for n in inside), default=0) for m in range(len(truth))]
    of_object = of_box = count = 0
    for n in inside:
        anchor, largest = judged.anchors[n], max(overlap[n], default=0.0)
        is_best = any(o == b > 0 for o, b in zip(overlap[n], best, strict=True))
        size = (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
        in_crowd = any(
            max(min(anchor[2], c[2]) - max(anchor[0], c[0]), 0) * max(min(anchor[3], c[3]) - max(anchor[1], c[1]), 0)
            >= size / 2
            for c in crowds
        )
        if largest >= options.positive or is_best:
            target = by_hand.encode(truth[int(np.argmax(overlap[n]))], anchor)
            of_object += by_hand.cross_entropy(judged.logits[i, n], 1)
            of_box += by_hand.smooth_l1(judged.deltas[i, n] - target, options.sigma)
        elif largest < options.negative and not in_crowd:
            of_object += by_hand.cross_entropy(judged.logits[i, n], 0)
        else:
            continue
        count += 1
    return of_object / max(count, 1), options.weight * of_box / max(count, 1), count


OBJECTS = [
    [[14, 2, 30, 17], [30, 28, 63, 60], [1, 40, 9, 46]],  # one of them far from every anchor
    [],
    [[0, 0, 15, 17], [20, 20, 64, 64]],  # the second is a crowd
    [[3, 3, 20, 20]],
    [[2, 2, 9, 9]],  # in an image that no anchor fits into
]
WINDOWS = [[0, 0, 64, 64], [0, 0, 64, 64], [0, 0, 64, 64], [0, 0, 40, 50], [0, 0, 10, 10]]


def test_losses_are_those_of_every_labelled_anchor():
    judged, options = judged_of(5), ProposalOptions(batch=64, weight=1.5)
    scene = scene_of(OBJECTS, WINDOWS, crowd=[(2, 1)])

    def total(logits, deltas):
        losses = proposals.losses(KEY, Judged(logits, deltas, judged.anchors), scene, options)
        return sum(x.sum() for x in losses), losses

    differentiate = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
    (_, (of_object, of_box)), gradients = differentiate(judged.logits, judged.deltas)
    expected = [losses_by_hand(judged, scene, i, options) for i in range(5)]
    np.testing.assert_allclose(of_object, [e[0] for e in expected], rtol=1e-4)
    np.testing.assert_allclose(of_box, [e[1] for e in expected], rtol=1e-4, atol=1e-7)
    # 16 anchors of 16 pixels and 4 of 32 lie inside. Nothing to find: all are background. In the crowd, none is.
    assert expected[1][2] == 20
    assert of_box[1] == 0
    assert expected[2][2] < 20
    assert of_object[4] == of_box[4] == 0
    assert all(np.isfinite(g).all() and g[:4].any() and not g[4].any() for g in gradients)


def test_a_sample_is_half_objects_at_most():
    judged, options = judged_of(1), ProposalOptions(batch=8, positive=0.3)
    scene = scene_of([[[16 * x + 1, 16 * y + 1, 16 * x + 15, 16 * y + 15] for x in range(4) for y in range(4)]])
    even = Judged(jnp.zeros_like(judged.logits), judged.deltas, judged.anchors)

    def positives(logits):
        return proposals.losses(KEY, even._replace(logits=logits), scene, options)[0].sum()

    # At logits of zero each drawn anchor pushes by a half over their number: objects up, background down.
    pushes = jax.jit(jax.grad(positives))(even.logits)[0, :, 1]
    assert int((pushes < 0).sum()) == 4
    assert int((pushes > 0).sum()) <= 4


def test_windows_slide():
    scene = scene_of([[], []], [[0, 0, 64, 64], [0, 0, 40, 20]])
    found = jax.jit(lambda s: proposals.sliding(s, stride=32, scales=(2.0,)))(scene)
    # Centred on 16 and 48 of 64 pixels, 32 pixels wide; in the second image cut to what it covers.
    np.testing.assert_array_equal(found.boxes[0], [[0, 0, 32, 32], [32, 0, 64, 32], [0, 32, 32, 64], [32, 32, 64, 64]])
    np.testing.assert_array_equal(found.boxes[1, :2], [[0, 0, 32, 20], [32, 0, 40, 20]])
    np.testing.assert_array_equal(found.valid, [[True] * 4, [True, True, False, False]])


@pytest.mark.parametrize('field', [{'positive': 1.5}, {'batch': 0}, {'sigma': 0.0}, {'test_after': 0}])
def test_options_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=r'config\.rpn'):
        ProposalOptions(**field)

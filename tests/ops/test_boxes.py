"""Boxes by hand and by laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import boxes

# Compiled whole: operation by operation each costs a compilation.
iou = jax.jit(boxes.iou, static_argnames='inclusive')
covered = jax.jit(boxes.covered)
encode = jax.jit(boxes.encode, static_argnames=('means', 'stds', 'inclusive'))
decode = jax.jit(boxes.decode, static_argnames=('means', 'stds', 'inclusive'))


def some(count, seed=0, extent=100.0):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, extent, (count, 2))
    return np.concatenate([start, start + rng.uniform(1, extent, (count, 2))], 1).astype(np.float32)


def counted(a, b, side=40):
    """Overlaps of integer boxes by counting pixels of masks."""
    y, x = np.mgrid[:side, :side]

    def masks(boxes):
        return np.stack([(x >= x0) & (x < x1) & (y >= y0) & (y < y1) for x0, y0, x1, y1 in boxes])

    a, b = masks(a)[:, None], masks(b)
    return (a & b).sum((2, 3)), (a | b).sum((2, 3)), a.sum((2, 3))


def test_overlaps_by_counting_pixels():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 40, (25, 2, 2)), 1)
    every = np.float32(np.concatenate([corners[:, 0], corners[:, 1]], 1))
    a, b = every[:15], every[10:]
    common, union, own = counted(a, b)
    np.testing.assert_array_equal(boxes.intersection(a, b), common)
    np.testing.assert_allclose(iou(a, b), common / np.maximum(union, 1), rtol=1e-6)
    np.testing.assert_allclose(covered(a, b), common / np.maximum(own, 1), rtol=1e-6)
    # The same boxes by their last pixels inside.
    last = np.float32([0, 0, 1, 1])
    np.testing.assert_array_equal(iou(a - last, b - last, inclusive=True), iou(a, b))


def test_overlap_by_hand():
    a, b = np.float32([[0, 0, 4, 4]]), np.float32([[2, 1, 6, 3], [4, 0, 8, 4], [5, 5, 5, 5], [3, 3, 1, 1]])
    # 4 of 16 + 8 - 4 pixels; edges that touch, a point and an inverted box share nothing.
    np.testing.assert_allclose(iou(a, b), [[0.2, 0, 0, 0]])
    assert float(covered(b[:1], a)[0, 0]) == 0.5
    np.testing.assert_array_equal(boxes.area(b), [8, 16, 0, 0])
    assert float(boxes.area(b[2], inclusive=True)) == 1


def test_padding_and_nothing_are_finite():
    every = np.concatenate([np.zeros((3, 4), np.float32), some(2)])
    for f in (iou, covered):
        found, gradient = jax.jit(jax.value_and_grad(lambda b, f=f: f(b, b)[:3].sum()))(every)
        assert float(found) == 0
        assert np.isfinite(gradient).all()
        assert f(every, np.zeros((0, 4), np.float32)).shape == (5, 0)
    encoded = encode(every[:, None], every)
    assert np.isfinite(encoded).all()
    assert np.isfinite(decode(encoded, every)).all()
    assert np.isfinite(decode(np.full((5, 4), 1e4, np.float32), every)).all()


def test_coding_by_hand():
    # A box of 20 x 40 around (60, 50) at an anchor of 40 x 20 around (50, 50).
    box, anchor = np.float32([50, 30, 70, 70]), np.float32([30, 40, 70, 60])
    wanted = np.array([0.25, 0, -np.log(2), np.log(2)])
    np.testing.assert_allclose(encode(box, anchor), wanted, atol=1e-6)
    normed = encode(box, anchor, means=(0.05, 0, 0, 0), stds=(0.1, 0.1, 0.2, 0.2))
    np.testing.assert_allclose(normed, (wanted - [0.05, 0, 0, 0]) / [0.1, 0.1, 0.2, 0.2], rtol=1e-5)
    # Caffe's: pixels 0..9 and 5..24 are 10 and 20 wide, their centres 5 and 15.
    inclusive = encode(np.float32([5, 5, 24, 24]), np.float32([0, 0, 9, 9]), inclusive=True)
    np.testing.assert_allclose(inclusive, [1, 1, np.log(2), np.log(2)], rtol=1e-6)


@pytest.mark.parametrize('inclusive', [False, True])
def test_decode_undoes_encode(inclusive):
    a, b = some(50, 1), some(50, 2)
    options = {'means': (0.1, -0.2, 0, 0.3), 'stds': (0.1, 0.1, 0.2, 0.2), 'inclusive': inclusive}
    np.testing.assert_allclose(decode(encode(a, b, **options), b, **options), a, rtol=1e-4, atol=1e-3)
    by_class = np.stack([a, b], 1)
    decoded = decode(encode(by_class, b[:, None], **options), b[:, None], **options)
    np.testing.assert_allclose(decoded, by_class, rtol=1e-4, atol=1e-3)


def test_enlargement_is_limited():
    # 16 pixels become 1000, as in detectron.
    box = decode(np.float32([0, 0, 50, 50]), np.float32([0, 0, 16, 16]))
    np.testing.assert_allclose(box, [-492, -492, 508, 508], rtol=1e-5)


def test_clipping_to_each_image():
    given = jnp.float32([[[-5, 2, 50, 90]], [[-5, 2, 50, 90]]])
    clipped = boxes.clip(given, jnp.array([40, 95]), jnp.array([30, 60]))
    np.testing.assert_array_equal(clipped, [[[0, 2, 30, 40]], [[0, 2, 50, 90]]])
    np.testing.assert_array_equal(boxes.clip(given[0], 40, 30, inclusive=True), [[0, 2, 29, 39]])
    np.testing.assert_array_equal(boxes.at_least(jnp.float32([[0, 0, 16, 16], [0, 0, 15, 40]]), 16), [True, False])


def test_mirror_is_its_own_inverse():
    given = some(9)
    np.testing.assert_array_equal(boxes.mirror(jnp.float32([10, 2, 30, 5]), 100), [70, 2, 90, 5])
    np.testing.assert_allclose(boxes.mirror(boxes.mirror(given, 250.0), 250.0), given, rtol=1e-5)


def test_conversions():
    given = some(9)
    np.testing.assert_allclose(boxes.xyxy_to_cxcywh(jnp.float32([2, 4, 6, 10])), [4, 7, 4, 6])
    np.testing.assert_allclose(boxes.xyxy_to_xywh(jnp.float32([2, 4, 6, 10])), [2, 4, 4, 6])
    np.testing.assert_allclose(boxes.cxcywh_to_xyxy(boxes.xyxy_to_cxcywh(given)), given, rtol=1e-5)
    np.testing.assert_allclose(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(given)), given, rtol=1e-5)


def test_back_to_the_image():
    # An image of 200 x 100 (height, width), halved, with 10 rows above: y' = y / 2 + 10, x' = x / 2.
    placement = np.float32([[0.5, 0.5, 10, 0, 200, 100], [1, 2, 0, -4, 50, 60]])
    given = np.float32([[[5, 20, 25, 60], [-9, 0, 80, 300]]] * 2)
    wanted = [[[10, 20, 50, 100], [0, 0, 100, 200]], [[4.5, 20, 14.5, 50], [0, 0, 42, 50]]]
    to_source = jax.jit(boxes.to_source)
    np.testing.assert_allclose(to_source(given, placement), wanted)
    np.testing.assert_allclose(to_source(given[0], placement[0]), wanted[0])

"""Pooling against windows cut out one by one in NumPy, in both lowerings."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import backend, pool

CASES = [
    # size, window, strides, padding
    ((6, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((7, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((7, 9), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((8, 8), (3, 3), (2, 2), ((0, 1), (0, 1))),
    ((6, 5), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((9, 7), (3, 2), (2, 3), ((0, 2), (1, 0))),
    ((5, 8), (1, 1), (2, 2), ((0, 0), (0, 0))),
    ((9, 9), (2, 2), (3, 3), ((0, 0), (0, 0))),
]


def images(size, dtype=np.float64, key=0):
    return np.random.default_rng(key).normal(size=(2, *size, 3)).astype(dtype)


def windows(x, window, strides, padding, fill):
    """Every window in turn: its place in the output and in the padded input, and its cells `[B, wh, ww, C]`."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    rows, cols = ((n - w) // s + 1 for n, w, s in zip(padded.shape[1:3], window, strides, strict=True))
    for i, j in itertools.product(range(rows), range(cols)):
        place = (slice(i * strides[0], i * strides[0] + window[0]), slice(j * strides[1], j * strides[1] + window[1]))
        yield (i, j), place, padded[:, place[0], place[1]]


def expected_max(x, window, strides, padding):
    places = {at: cells.max((1, 2)) for at, _, cells in windows(x, window, strides, padding, -np.inf)}
    rows, cols = (1 + max(at[axis] for at in places) for axis in (0, 1))
    return np.stack([np.stack([places[i, j] for j in range(cols)], 1) for i in range(rows)], 1)


def expected_gradient(x, g, window, strides, padding):
    """Each window's cotangent added to its first maximum in row-major order."""
    dx = np.zeros(np.pad(x, ((0, 0), *padding, (0, 0))).shape)
    for (i, j), (rows, cols), cells in windows(x, window, strides, padding, -np.inf):
        flat = cells.reshape(len(x), -1, x.shape[3]).argmax(1)
        for b, c in np.ndindex(len(x), x.shape[3]):
            dx[b, rows, cols, c][divmod(flat[b, c], window[1])] += g[b, i, j, c]
    (top, _), (left, _) = padding
    return dx[:, top : top + x.shape[1], left : left + x.shape[2]]


def value_and_cotangent(f, x, g):
    def both(x, g):
        y, vjp = jax.vjp(f, x)
        return y, vjp(g)[0]

    return jax.jit(both)(x, g)


@pytest.mark.parametrize('lowering', ['cpu', 'plain'])
@pytest.mark.parametrize(('size', 'window', 'strides', 'padding'), CASES)
def test_max_pool_and_its_gradient(size, window, strides, padding, lowering):
    x = images(size, np.float32)
    x[0, 1:4] = 1.0  # ties: the first of them gets the gradient
    want = expected_max(x, window, strides, padding)
    g = np.random.default_rng(1).normal(size=want.shape).astype(np.float32)
    with backend.lowering(lowering):
        y, dx = value_and_cotangent(lambda x: pool.max_pool(x, window, strides, padding), x, g)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_allclose(dx, expected_gradient(x, g, window, strides, padding), atol=1e-5)


@pytest.mark.parametrize('lowering', ['cpu', 'plain'])
@pytest.mark.parametrize(('size', 'window', 'strides', 'padding'), CASES)
def test_avg_pool_is_adjoint_to_its_gradient(size, window, strides, padding, lowering):
    x = images(size, np.float32)
    want = {at: cells.mean((1, 2)) for at, _, cells in windows(x, window, strides, padding, 0.0)}
    rows, cols = (1 + max(at[axis] for at in want) for axis in (0, 1))
    g = np.random.default_rng(1).normal(size=(2, rows, cols, 3)).astype(np.float32)
    with backend.lowering(lowering):
        y, dx = value_and_cotangent(lambda x: pool.avg_pool(x, window, strides, padding), x, g)
    for (i, j), cell in want.items():
        np.testing.assert_allclose(y[:, i, j], cell, atol=1e-6)
    np.testing.assert_allclose(np.vdot(y, g), np.vdot(x, dx), rtol=1e-4)


def test_max_pool_in_bfloat16_and_of_negative_images():
    x = -jnp.abs(jnp.asarray(images((6, 6)), jnp.bfloat16)) - 1
    with backend.lowering('cpu'):
        g = jnp.ones((2, 3, 3, 3), jnp.bfloat16)
        y, dx = value_and_cotangent(lambda x: pool.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), x, g)
    assert y.dtype == dx.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.float32(y), expected_max(np.float32(x), (3, 3), (2, 2), ((1, 1), (1, 1))))
    assert float(dx.astype(jnp.float32).sum()) == y.size


def test_max_pool_under_vmap_and_differentiated_twice():
    x = jnp.asarray(images((6, 6)), jnp.float32)
    with backend.lowering('cpu'):
        once = jax.vmap(lambda x: pool.max_pool(x[None], (2, 2), (2, 2))[0])(x)
        np.testing.assert_array_equal(once, expected_max(np.asarray(x), (2, 2), (2, 2), ((0, 0), (0, 0))))
        # sum of squares of the maxima: the second derivative is 2 at each maximum.
        f = jax.grad(lambda x: (pool.max_pool(x, (2, 2), (2, 2)) ** 2).sum())
        twice = jax.grad(lambda x: f(x).sum())(x)
    assert float(twice.sum()) == 2 * once.size


def test_unknown_lowering_is_refused():
    with pytest.raises(ValueError, match='unknown lowering'), backend.lowering('fast'):
        pass

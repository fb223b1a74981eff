"""Batch normalisation against NumPy in float64, its gradient against the published formula, and over replicas."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn.ops import norm


def data(shape=(4, 3, 5, 6), key=0):
    rng = np.random.default_rng(key)
    x = rng.normal(1.5, 2.0, shape).astype(np.float32)
    return x, rng.uniform(0.5, 2, shape[-1]).astype(np.float32), rng.normal(size=shape[-1]).astype(np.float32)


def layer(x, scale, bias, axis_name=None):
    mean, var, _ = norm.batch_moments(x, axis_name)
    return norm.normalize(x, mean, var, scale, bias, 1e-5)


def expected(x, scale, bias, g):
    """Output and the gradients for the cotangent `g`: Ioffe and Szegedy's equations of section 3, in float64."""
    x, scale, bias, g = (np.float64(a) for a in (x, scale, bias, g))
    axes = tuple(range(x.ndim - 1))
    spread = np.sqrt(x.var(axes) + 1e-5)
    standard = (x - x.mean(axes)) / spread
    dstandard = g * scale
    dx = (dstandard - dstandard.mean(axes) - standard * (dstandard * standard).mean(axes)) / spread
    return standard * scale + bias, dx, (g * standard).sum(axes), g.sum(axes)


def test_moments_are_numpys_and_never_negative():
    x, _, _ = data()
    mean, var, count = norm.batch_moments(x)
    assert count == 60
    np.testing.assert_allclose(mean, np.float64(x).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, np.float64(x).var((0, 1, 2)), rtol=1e-4)
    assert (norm.batch_moments(jnp.full((8, 3), 1e3 / 3, jnp.float32))[1] >= 0).all()


def test_output_and_gradients():
    x, scale, bias = data()
    g = data(key=1)[0]

    def both(x, scale, bias, g):
        y, vjp = jax.vjp(layer, x, scale, bias)
        return y, *vjp(g)

    for value, want in zip(jax.jit(both)(x, scale, bias, g), expected(x, scale, bias, g), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_bfloat16_has_float32_statistics():
    x, scale, bias = data()
    narrow = jnp.asarray(x, jnp.bfloat16)
    mean, var, _ = norm.batch_moments(narrow)
    assert mean.dtype == var.dtype == jnp.float32
    np.testing.assert_allclose(var, np.float64(np.float32(narrow)).var((0, 1, 2)), rtol=1e-4)
    y = layer(narrow, scale, bias)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(y), expected(np.float32(narrow), scale, bias, x)[0], atol=0.08)


def test_synchronised_replicas_are_one_batch():
    x, scale, bias = data((8, 2, 3, 6))
    g = data((8, 2, 3, 6), key=1)[0]

    def both(x, g):
        y, vjp = jax.vjp(lambda x: layer(x, scale, bias, 'batch'), x)
        return y, vjp(g)[0], norm.batch_moments(x, 'batch')[2]

    y, dx, count = jax.vmap(both, axis_name='batch')(x.reshape(4, 2, 2, 3, 6), g.reshape(4, 2, 2, 3, 6))
    want = expected(x, scale, bias, g)
    np.testing.assert_allclose(y.reshape(x.shape), want[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx.reshape(x.shape), want[1], rtol=1e-4, atol=1e-5)
    assert set(np.ravel(count)) == {48}

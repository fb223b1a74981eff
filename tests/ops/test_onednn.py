"""oneDNN's calls: products in all four orders, repeatable bits, and work on several devices at once."""

import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import onednn

pytestmark = pytest.mark.usefixtures('calls')


@pytest.fixture
def calls():
    """Elsewhere (another processor or version) there is nothing to test: `available` must then say so."""
    version = tuple(int(part) for part in jax.lib.__version__.split('.')[:2])
    listed = onednn.VERSIONS[0] <= version < onednn.VERSIONS[1] and platform.machine() in ('x86_64', 'AMD64')
    # Where they are promised, their absence or a wrong answer is a failure.
    assert onednn.available() == listed
    if not listed:
        pytest.xfail('this jaxlib does not carry the calls')


@pytest.mark.parametrize('transpose_a', [False, True])
@pytest.mark.parametrize('transpose_b', [False, True])
def test_product_and_gradients(transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    a, b, g = (rng.normal(size=s).astype(np.float32) for s in ((6, 5), (5, 3), (6, 3)))
    y, (da, db) = a @ b, (g @ b.T, a.T @ g)
    if transpose_a:
        a, da = a.T, da.T
    if transpose_b:
        b, db = b.T, db.T

    def both(a, b, g):
        y, vjp = jax.vjp(lambda a, b: onednn.matmul(a, b, transpose_a, transpose_b), a, b)
        return y, *vjp(g)

    for value, want in zip(jax.jit(both)(a, b, g), (y, da, db), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-5)


def branches(x, kernels):
    """Independent convolutions and products that the runtime may run side by side."""
    edges, one = ((1, 1), (1, 1)), (1, 1)
    maps = [onednn.convolution(x, k, one, edges, one) for k in kernels]
    return [onednn.matmul(m.reshape(-1, 8), m.reshape(-1, 8), True, False) for m in maps]


def test_same_bits_every_time_on_every_device():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 9, 4)).astype(np.float32)
    kernels = list(rng.normal(size=(6, 3, 3, 4, 8)).astype(np.float32))
    step = jax.jit(branches)
    first = [np.asarray(m) for m in step(x, kernels)]
    devices = jax.device_count()
    spread = jax.pmap(branches)
    stacked = jax.tree.map(lambda a: jnp.stack([a] * devices), (jnp.asarray(x), kernels))
    for _ in range(20):
        for value, want in zip(step(x, kernels), first, strict=True):
            np.testing.assert_array_equal(value, want)
        for value, want in zip(spread(*stacked), first, strict=True):
            np.testing.assert_array_equal(value, np.stack([want] * devices))


def test_an_unlisted_version_is_not_trusted(monkeypatch):
    onednn.available.cache_clear()
    monkeypatch.setattr(onednn, 'VERSIONS', ((0, 1), (0, 2)))
    assert not onednn.available()
    onednn.available.cache_clear()

"""The causal convolution against sums written out, in both forms, under vmap and differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import backend
from cnn.ops.causal import causal_conv


def by_hand(x, kernel, dilation):
    taps, y = len(kernel), np.zeros((*x.shape[:2], kernel.shape[2]))
    for t in range(x.shape[1]):
        for k in range(taps):
            earlier = t - (taps - 1 - k) * dilation
            if earlier >= 0:
                y[:, t] += x[:, earlier] @ kernel[k]
    return y


@pytest.mark.parametrize('form', ['plain', 'cpu'])
@pytest.mark.parametrize(('times', 'taps', 'dilation'), [(9, 2, 1), (9, 3, 2), (5, 2, 8), (1, 3, 1), (6, 1, 1)])
def test_it_is_the_sum_over_taps(form, times, taps, dilation):
    rng = np.random.default_rng(times)
    x, kernel = rng.normal(size=(2, times, 3)), rng.normal(size=(taps, 3, 4))
    with backend.lowering(form):
        y = causal_conv(jnp.float32(x), jnp.float32(kernel), dilation=dilation)
    np.testing.assert_allclose(y, by_hand(x, kernel, dilation), atol=1e-5)


def test_stacked_models_and_gradients_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    x, kernels = rng.normal(size=(2, 3, 7, 2)).astype(np.float32), rng.normal(size=(2, 2, 2, 3)).astype(np.float32)

    def loss(x, kernel):
        return jnp.square(causal_conv(x, kernel, dilation=2)).sum()

    stacked = jax.jit(jax.vmap(jax.grad(loss, (0, 1))))(x, kernels)
    for e in range(2):
        with backend.lowering('plain'):
            alone = jax.grad(loss, (0, 1))(x[e], kernels[e])
        for a, b in zip(jax.tree.map(lambda g, e=e: g[e], stacked), alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_wrong_channels_and_dilations_are_refused():
    with pytest.raises(ValueError, match='no causal convolution of'):
        causal_conv(jnp.zeros((1, 4, 2)), jnp.zeros((2, 3, 1)))
    with pytest.raises(ValueError, match='dilation 0'):
        causal_conv(jnp.zeros((1, 4, 2)), jnp.zeros((2, 2, 1)), dilation=0)

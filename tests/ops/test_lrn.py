"""Local response normalisation against the paper's sum, written as loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cnn.ops.lrn import local_response_norm


def loops(x, size, alpha, beta, k):
    """Krizhevsky et al. 2012, section 3.3, map by map."""
    y = np.empty_like(x)
    channels = x.shape[-1]
    for i in range(channels):
        low, high = max(0, i - size // 2), min(channels - 1, i + size // 2)
        total = sum(x[..., j] ** 2 for j in range(low, high + 1))
        y[..., i] = x[..., i] / (k + alpha * total) ** beta
    return y


@pytest.mark.parametrize(('size', 'channels', 'beta'), [(5, 8, 0.75), (3, 8, 0.5), (5, 3, 0.75), (1, 4, 0.75)])
def test_matches_the_papers_sum_over_neighbouring_maps(size, channels, beta):
    x = 10 * np.random.default_rng(0).standard_normal((2, 3, 3, channels))
    y = local_response_norm(jnp.asarray(x, jnp.float32), size=size, alpha=0.01, beta=beta, k=2.0)
    np.testing.assert_allclose(y, loops(x, size, 0.01, beta, 2.0), rtol=1e-5, atol=1e-6)


def test_caffes_alpha_is_shared_out_over_the_window():
    x = 10 * np.random.default_rng(1).standard_normal((2, 6))
    y = local_response_norm(jnp.asarray(x, jnp.float32), size=5, alpha=0.1, k=1.0, divide_by_size=True)
    np.testing.assert_allclose(y, loops(x, 5, 0.02, 0.75, 1.0), rtol=1e-5, atol=1e-6)


def test_a_single_response_is_divided_as_computed_by_hand():
    # One channel of 2: 2 / (1 + 1 * 4) ** 0.75.
    y = local_response_norm(jnp.full((1, 1), 2.0), size=5, alpha=1.0, beta=0.75, k=1.0)
    assert float(y[0, 0]) == pytest.approx(2 / 5**0.75, rel=1e-6)


@pytest.mark.parametrize(('size', 'beta', 'shared'), [(5, 0.75, False), (3, 0.5, True), (1, 0.75, False)])
def test_gradient_agrees_with_differences(size, beta, shared):
    x = np.random.default_rng(2).standard_normal((2, 7)).astype(np.float32)
    check_grads(
        lambda v: local_response_norm(v, size=size, alpha=0.5, beta=beta, divide_by_size=shared), (x,), order=1,
        modes=('rev',), atol=2e-3, rtol=2e-3,
    )  # fmt: skip


def test_bfloat16_keeps_its_dtype_and_computes_in_float32():
    x = jnp.asarray([[300.0, -200.0, 100.0]], jnp.bfloat16)
    y = local_response_norm(x, alpha=1e-4)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(np.float32), loops(np.asarray(x, np.float64), 5, 1e-4, 0.75, 2.0), rtol=8e-3)


def test_groups_do_not_see_each_other():
    x = np.random.default_rng(3).standard_normal((2, 3, 12)).astype(np.float32)
    apart = [loops(part, 5, 0.5, 0.75, 2.0) for part in np.split(x, 3, axis=-1)]
    y = local_response_norm(jnp.asarray(x), alpha=0.5, groups=3)
    np.testing.assert_allclose(y, np.concatenate(apart, -1), rtol=1e-5, atol=1e-6)
    check_grads(lambda v: local_response_norm(v, alpha=0.5, groups=3), (x,), order=1, modes=('rev',), atol=2e-3,
                rtol=2e-3)  # fmt: skip
    with pytest.raises(ValueError, match='12 channels are not 5 equal groups'):
        local_response_norm(jnp.asarray(x), groups=5)


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match='odd size, got 4; try 5'):
        local_response_norm(jnp.ones((1, 4)), size=4)

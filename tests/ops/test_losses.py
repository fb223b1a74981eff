"""Cross entropy against SciPy, PyTorch's printed values, and laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from cnn.ops import losses

cross_entropy = jax.jit(losses.softmax_cross_entropy, static_argnames='label_smoothing')
LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-30.0, 40.0, 10.0]], np.float32)
LABELS = np.array([0, 2, 0], np.int32)
# torch.nn.functional.cross_entropy(reduction='none', label_smoothing=...) of PyTorch 2.14 in float64, for LABELS and
# for the distributions SOFT.
SOFT = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], np.float32)
TORCH = {
    0.0: [0.241311297, 1.098612289, 70.0],
    0.1: [0.391311297, 1.098612289, 66.333333333],
    0.3: [0.691311297, 1.098612289, 59.0],
}
TORCH_SOFT = {0.0: [0.991311297, 1.098612289, 70.0], 0.1: [1.066311297, 1.098612289, 66.333333333]}


@pytest.mark.parametrize('smoothing', TORCH)
def test_labels_agree_with_pytorch(smoothing):
    value = cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, TORCH[smoothing], rtol=1e-6)


@pytest.mark.parametrize('smoothing', TORCH_SOFT)
def test_distributions_agree_with_pytorch(smoothing):
    value = cross_entropy(LOGITS, SOFT, label_smoothing=smoothing)
    np.testing.assert_allclose(value, TORCH_SOFT[smoothing], rtol=1e-6)


def test_any_leading_axes_agree_with_scipy():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 4, 7)).astype(np.float32) * 5
    labels = rng.integers(0, 7, (2, 3, 4))
    expected = -np.take_along_axis(special.log_softmax(logits.astype(np.float64), -1), labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-5, atol=1e-6)


def test_stays_finite_and_exact_at_extreme_logits():
    logits = np.array([[1e4, 0.0], [1e4, 0.0], [-1e4, -1e4], [88.0, -88.0]], np.float32)
    value = cross_entropy(logits, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(value, [0.0, 1e4, np.log(2), 176.0], rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda z: cross_entropy(z, np.array([0, 1, 0, 1])).sum()))(logits)
    assert np.isfinite(gradient).all()


def test_small_losses_keep_their_digits():
    # log(1 + exp(-12)) = 6.1442e-6, where a plain difference of float32 numbers near 12 keeps two digits.
    value = cross_entropy(np.array([[112.0, 100.0]], np.float32), np.array([0]))
    np.testing.assert_allclose(value, np.log1p(np.exp(-12.0)), rtol=0.02)


def test_a_class_of_probability_zero_costs_nothing():
    logits = np.array([[0.0, 1.0, -np.inf]], np.float32)
    value = cross_entropy(logits, np.array([[0.5, 0.5, 0.0]], np.float32))
    np.testing.assert_allclose(value, [np.log(1 + np.e) - 0.5], rtol=1e-6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_gradient_is_softmax_minus_targets(smoothing):
    expected = special.softmax(LOGITS, -1) - (SOFT * (1 - smoothing) + smoothing / 3)
    gradient = jax.jit(jax.grad(lambda z: cross_entropy(z, SOFT, label_smoothing=smoothing).sum()))(LOGITS)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_bfloat16_logits_are_computed_in_float32():
    value = cross_entropy(jnp.asarray(LOGITS, jnp.bfloat16), LABELS)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, TORCH[0.0], rtol=1e-6)


def test_smooth_targets_by_hand():
    np.testing.assert_allclose(
        losses.smooth_targets(np.array([1]), 4, label_smoothing=0.2), [[0.05, 0.85, 0.05, 0.05]], rtol=1e-6
    )
    np.testing.assert_allclose(
        losses.smooth_targets(np.array([[0.5, 0.5]], np.float32), 2, label_smoothing=0.5), [[0.5, 0.5]], rtol=1e-6
    )


def test_smoothing_the_targets_or_the_loss_is_the_same():
    direct = cross_entropy(LOGITS, LABELS, label_smoothing=0.3)
    through_targets = cross_entropy(LOGITS, losses.smooth_targets(LABELS, 3, label_smoothing=0.3))
    np.testing.assert_allclose(direct, through_targets, rtol=1e-6)


def test_empty_batch():
    assert cross_entropy(np.zeros((0, 3), np.float32), np.zeros(0, np.int32)).shape == (0,)


def test_smooth_l1_is_a_square_within_one_over_sigma_squared_and_a_line_beyond():
    x = np.float32([0, 0.05, -0.1, 1 / 9, 0.5, -2])
    # By hand, for sigma = 3: 4.5 x^2 up to 1/9, where both pieces are 1/18, then |x| - 1/18.
    np.testing.assert_allclose(
        losses.smooth_l1(x, sigma=3.0), [0, 0.01125, 0.045, 1 / 18, 0.5 - 1 / 18, 2 - 1 / 18], rtol=1e-6
    )
    np.testing.assert_allclose(losses.smooth_l1(x), [0, 0.00125, 0.005, 1 / 162, 0.125, 1.5], rtol=1e-6)

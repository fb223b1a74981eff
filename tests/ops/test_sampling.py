"""Bilinear sampling and deformable convolution: NumPy loops, torchvision's own results, and laws."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops.sampling import bilinear, deformable_conv
from tests.ops import loops

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'deform_conv2d.npz'
ARGUMENTS = {'strides': (2, 1), 'padding': ((1, 1), (2, 2)), 'dilation': (1, 2)}


def case(seed, groups=1, scale=2.0):
    """Inputs of a 3x3 convolution with strides, padding and dilation all different in rows and columns."""
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal((2, 6, 5, 4)), rng.standard_normal((3, 3, 4, 3))
    shape = loops.conv(x, kernel, **ARGUMENTS).shape[:3]
    offsets = scale * rng.standard_normal((*shape, groups * 18))
    mask = rng.random((*shape, groups * 9))
    return [a.astype(np.float32) for a in (x, offsets, kernel, mask)]


@pytest.mark.parametrize('groups', [1, 2])
def test_matches_loops_with_and_without_a_mask(groups):
    x, offsets, kernel, mask = case(0, groups)
    for m in (None, mask):
        y = jax.jit(lambda *a, m=m: deformable_conv(*a, m, **ARGUMENTS))(x, offsets, kernel)
        np.testing.assert_allclose(y, loops.deformable_conv(x, offsets, kernel, m, **ARGUMENTS), rtol=1e-4, atol=1e-4)


def test_matches_torchvisions_results_and_gradients():
    def filled(*shape, seed):
        return np.sin(seed + 1.7 * np.arange(np.prod(shape))).reshape(shape)

    def channels_last(a):
        return jnp.asarray(a.transpose(0, 2, 3, 1), jnp.float32)

    x, offset = channels_last(filled(2, 4, 6, 5, seed=0)), channels_last(3 * filled(2, 36, 3, 5, seed=2))
    mask = channels_last(filled(2, 18, 3, 5, seed=3))
    kernel = jnp.asarray(filled(3, 4, 3, 3, seed=1).transpose(2, 3, 1, 0), jnp.float32)
    golden = dict(np.load(GOLDEN))

    def loss(x, offset, kernel, mask):
        y = deformable_conv(x, offset, kernel, mask, **ARGUMENTS)
        return jnp.square(y).sum(), y

    grads, y = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True))(x, offset, kernel, mask)
    v1 = deformable_conv(x, offset, kernel, **ARGUMENTS)
    close = {'rtol': 1e-3, 'atol': 1e-4}
    np.testing.assert_allclose(v1, golden['v1'].transpose(0, 2, 3, 1), **close)
    np.testing.assert_allclose(y, golden['v2'].transpose(0, 2, 3, 1), **close)
    for grad, name in zip(grads, ('grad_x', 'grad_offset', 'grad_weight', 'grad_mask'), strict=True):
        axes = (2, 3, 1, 0) if name == 'grad_weight' else (0, 2, 3, 1)
        np.testing.assert_allclose(grad, golden[name].transpose(axes), **close, err_msg=name)


def test_with_no_offsets_it_is_the_plain_convolution():
    x, offsets, kernel, _ = case(1)
    y = deformable_conv(x, jnp.zeros_like(offsets), kernel, **ARGUMENTS)
    np.testing.assert_allclose(y, loops.conv(x, kernel, **ARGUMENTS), rtol=1e-4, atol=1e-4)


def test_whole_offsets_read_the_shifted_image():
    x, _, kernel, _ = case(2)
    shifted = np.zeros_like(x)
    shifted[:, :-1, 2:] = x[:, 1:, :-2]
    expected = loops.conv(shifted, kernel)
    offsets = np.zeros((*expected.shape[:3], 18), np.float32)
    offsets[..., 0::2], offsets[..., 1::2] = 1, -2  # a row down, two columns left
    y = deformable_conv(jnp.asarray(x), jnp.asarray(offsets), jnp.asarray(kernel))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_bilinear_by_hand():
    image = jnp.asarray([[0.0, 10.0], [20.0, 30.0]])[None, :, :, None]
    rows, columns = jnp.asarray([[0.0, 0.5, 1.0, -0.5, 5.0, 0.25]]), jnp.asarray([[0.0, 0.5, 1.0, 0.0, 0.0, 1.5]])
    # Corner, centre, corner, half out above (half of 0), far out, half out to the right: (0.75 * 10 + 0.25 * 30) / 2.
    expected = [0.0, 15.0, 30.0, 0.0, 0.0, 7.5]
    np.testing.assert_allclose(bilinear(image, rows, columns)[0, :, 0], expected, atol=1e-6)


def test_far_offsets_read_zero_and_have_no_gradient():
    image = jnp.ones((1, 3, 3, 1))
    for position in (1e12, -1e12):
        value, grad = jax.value_and_grad(lambda p: bilinear(image, p, p).sum())(jnp.full((1, 1), position))
        assert float(value) == 0.0
        assert float(grad[0, 0]) == 0.0


def test_bfloat16_images_are_read_at_float32_positions():
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.standard_normal((1, 300, 4, 2)), jnp.bfloat16)
    rows, columns = jnp.full((1, 1), 270.5), jnp.full((1, 1), 1.0)
    value = bilinear(x, rows, columns)
    assert value.dtype == jnp.bfloat16
    expected = np.asarray(x[0, 270:272, 1].astype(jnp.float32)).mean(0)
    np.testing.assert_allclose(value[0, 0].astype(np.float32), expected, atol=0.02)


def test_wrong_sizes_are_refused_in_one_line():
    x, offsets, kernel, mask = case(4)
    with pytest.raises(ValueError, match=r'offsets .* do not fit: expected \[2, 3, 5, groups \* 18\]'):
        deformable_conv(x, offsets[..., :-1], kernel, **ARGUMENTS)
    with pytest.raises(ValueError, match=r'mask .* does not fit'):
        deformable_conv(x, offsets, kernel, mask[..., :-1], **ARGUMENTS)


def test_an_empty_batch_gives_an_empty_result():
    x, offsets, kernel, _ = case(5)
    assert deformable_conv(x[:0], offsets[:0], kernel, **ARGUMENTS).shape == (0, 3, 5, 3)

"""Enlarging maps: against the plain transposed convolution, places by hand, and the laws of interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops.conv_transpose import conv_transpose
from cnn.ops.upsample import bilinear_taps, enlarge, interpolate, placed

RNG = np.random.default_rng(0)


def noise(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def test_taps_are_those_of_the_reference():
    np.testing.assert_allclose(bilinear_taps(4), [0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(bilinear_taps(3), [0.5, 1, 0.5])
    np.testing.assert_array_equal(bilinear_taps(1), [1])
    # Long et al.'s surgery.upsample_filt(64): centre 31.5, 1 - |i - 31.5| / 32.
    assert bilinear_taps(64)[[0, 31, 63]].tolist() == [1 / 64, 63 / 64, 1 / 64]


@pytest.mark.parametrize(('size', 'factor'), [(4, 2), (3, 2), (7, 4), (8, 4), (5, 2), (1, 1), (2, 3)])
def test_phases_are_the_transposed_convolution(size, factor):
    x, kernel = noise(2, 3, 5, 4), noise(size, size, 3, 4)
    expected = conv_transpose(x, kernel, strides=(factor, factor))
    found = enlarge(x, kernel, factor)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_phases_have_the_transposed_convolutions_gradients():
    x, kernel = noise(1, 3, 4, 2), noise(4, 4, 3, 2)
    weights = noise(*enlarge(x, kernel, 2).shape)
    slow = jax.grad(lambda x, k: (conv_transpose(x, k, strides=(2, 2)) * weights).sum(), (0, 1))(x, kernel)
    fast = jax.grad(lambda x, k: (enlarge(x, k, 2) * weights).sum(), (0, 1))(x, kernel)
    for a, b in zip(slow, fast, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(('size', 'factor'), [(4, 2), (7, 4)])
def test_channels_by_themselves_are_a_diagonal_kernel(size, factor):
    x, kernel = noise(2, 3, 5, 4), noise(size, size, 4)
    dense = kernel[..., None] * jnp.eye(4)
    np.testing.assert_allclose(enlarge(x, kernel, factor), enlarge(x, dense, factor), atol=1e-6)


@pytest.mark.parametrize(('size', 'factor'), [(4, 2), (7, 4), (16, 8)])
def test_fading_interpolation_is_the_transposed_convolution_with_bilinear_taps(size, factor):
    x, taps = noise(1, 3, 4, 2), bilinear_taps(size)
    kernel = np.outer(taps, taps)[..., None, None] * np.eye(2)
    expected = conv_transpose(x, jnp.asarray(kernel, jnp.float32), strides=(factor, factor))
    rows, columns = ((np.arange(n) - (size - 1) / 2) / factor for n in expected.shape[1:3])
    np.testing.assert_allclose(interpolate(x, rows, columns, hold=False), expected, atol=1e-6)


def test_interpolation_by_hand():
    x = jnp.asarray([[0.0, 10.0], [20.0, 30.0]])[None, :, :, None]
    found = interpolate(x, np.array([-1, 0.5, 1]), np.array([0, 0.25, 7]))[0, :, :, 0]
    np.testing.assert_allclose(found, [[0, 2.5, 10], [10, 12.5, 20], [20, 22.5, 30]])


def test_a_plane_is_interpolated_to_itself_and_held_beyond_its_ends():
    y, x = np.mgrid[0:4, 0:5]
    plane = jnp.asarray(2 * y - 3 * x + 1, jnp.float32)[None, :, :, None]
    rows, columns = np.linspace(-1, 4, 11), np.linspace(0, 4, 9)
    expected = 2 * np.clip(rows, 0, 3)[:, None] - 3 * columns + 1
    np.testing.assert_allclose(interpolate(plane, rows, columns)[0, :, :, 0], expected, atol=1e-5)


def test_placing_cuts_and_fills():
    x = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(placed(x, (1, 1), (1, 2))[0, :, :, 0], [[5, 6]])
    np.testing.assert_array_equal(placed(x, (-1, 2), (2, 3))[0, :, :, 0], [[0, 0, 0], [3, 0, 0]])
    np.testing.assert_array_equal(placed(x, (5, -9), (1, 2))[0, :, :, 0], [[0, 0]])

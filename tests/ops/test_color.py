"""Colour changes against torchvision's printed values, the standard library's colorsys, and NumPy."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import color

# As in a training step: compiled, which is also quicker than operation by operation.
color_jitter = jax.jit(color.color_jitter, static_argnames=('brightness', 'contrast', 'saturation', 'hue'))
lighting = jax.jit(color.lighting, static_argnames='std')
shift_hue = jax.jit(color.shift_hue)
KEY = jax.random.key(3)
PIXELS = np.array([[[255, 10, 77], [0, 0, 0]], [[12, 200, 99], [130, 130, 131]]], np.float32)
# torchvision 0.29 adjust_brightness, adjust_contrast and adjust_saturation of PIXELS / 255 in float64, times 255. Its
# grey has 0.2989 for 0.299: up to 0.05 apart.
TORCHVISION = {
    ('brightness', 0.6): [[[153.0, 6.0, 46.2], [0.0, 0.0, 0.0]], [[7.2, 120.0, 59.4], [78.0, 78.0, 78.6]]],
    ('brightness', 1.5): [[[255.0, 15.0, 115.5], [0.0, 0.0, 0.0]], [[18.0, 255.0, 148.5], [195.0, 195.0, 196.5]]],
    ('contrast', 0.6): [
        [[188.3241, 41.3241, 81.5241], [35.3241, 35.3241, 35.3241]],
        [[42.5241, 155.3241, 94.7241], [113.3241, 113.3241, 113.9241]],
    ],
    ('contrast', 1.5): [
        [[255.0, 0.0, 71.3448], [0.0, 0.0, 0.0]],
        [[0.0, 255.0, 104.3448], [150.8448, 150.8448, 152.3448]],
    ],
    ('saturation', 0.6): [
        [[189.347, 42.347, 82.547], [0.0, 0.0, 0.0]],
        [[60.1091, 172.9091, 112.3091], [130.0404, 130.0404, 130.6404]],
    ],
    ('saturation', 1.5): [
        [[255.0, 0.0, 70.0662], [0.0, 0.0, 0.0]],
        [[0.0, 233.8636, 82.3636], [129.9495, 129.9495, 131.4495]],
    ],
}


@pytest.mark.parametrize(('name', 'factor'), TORCHVISION)
def test_blends_agree_with_torchvision(name, factor):
    other = {
        'brightness': np.zeros_like(PIXELS),
        'contrast': color.grey(PIXELS).mean(),
        'saturation': color.grey(PIXELS),
    }[name]
    np.testing.assert_allclose(color.blend(PIXELS, other, factor), TORCHVISION[name, factor], atol=0.06)


@pytest.mark.parametrize('shift', [-0.5, -0.3, 0.0, 0.1, 0.45])
def test_hue_agrees_with_colorsys(shift):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3)).astype(np.float32)
    pixels[:3] = [[0, 0, 0], [255, 255, 255], [9, 9, 200]]
    expected = []
    for pixel in pixels / 255.0:
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, pixel))
        expected.append(colorsys.hsv_to_rgb((hue + shift) % 1.0, saturation, value))
    result = shift_hue(jnp.asarray(pixels), jnp.full(40, shift))
    np.testing.assert_allclose(result, np.array(expected) * 255, atol=2e-3)


def test_jitter_draws_factors_over_their_whole_range():
    images = np.full((500, 1, 1, 3), 100, np.uint8)
    row = jnp.arange(500)
    result = np.asarray(color_jitter(KEY, images, row, brightness=0.4))
    assert result.dtype == np.float32
    factors = result[:, 0, 0, 0] / 100
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4
    # Uniform: mean 1, standard deviation 0.8 / sqrt(12) = 0.231, of the mean 0.0103.
    assert abs(factors.mean() - 1) < 0.04
    assert abs(factors.std() - 0.231) < 0.02
    # A strength above 1 never turns an image into its negative.
    wild = np.asarray(color_jitter(KEY, images, row, brightness=3.0))
    assert wild.min() >= 0
    assert wild.max() <= 255


def test_jitter_composes_in_the_stated_order():
    images = np.random.default_rng(1).integers(0, 256, (6, 4, 5, 3), np.uint8)
    row = jnp.arange(6)
    result = np.asarray(color_jitter(KEY, images, row, brightness=0.4, contrast=0.5, saturation=0.6))
    # Each factor is seen alone on an image where it can be read off without clipping.
    probe = np.zeros((6, 1, 2, 3), np.uint8)
    probe[:, 0, 0], probe[:, 0, 1] = (80, 80, 80), (120, 120, 120)
    bright = np.asarray(color_jitter(KEY, probe, row, brightness=0.4))[:, 0, 0, 0] / 80
    contrast = np.asarray(color_jitter(KEY, probe, row, contrast=0.5))
    contrast = (contrast[:, 0, 1, 0] - contrast[:, 0, 0, 0]) / 40
    probe[:] = (80, 100, 120)
    saturation = np.asarray(color_jitter(KEY, probe, row, saturation=0.6))
    saturation = (saturation[:, 0, 0, 2] - saturation[:, 0, 0, 0]) / 40
    weights = np.array([0.299, 0.587, 0.114])
    for i in range(6):
        x = np.clip(images[i] * float(bright[i]), 0, 255)
        x = np.clip(contrast[i] * x + (1 - contrast[i]) * (x @ weights).mean(), 0, 255)
        x = np.clip(saturation[i] * x + (1 - saturation[i]) * (x @ weights)[..., None], 0, 255)
        np.testing.assert_allclose(result[i], x, atol=0.01)


def test_no_strength_changes_nothing():
    images = np.random.default_rng(2).integers(0, 256, (2, 3, 3, 3), np.uint8)
    np.testing.assert_array_equal(color_jitter(KEY, images, jnp.arange(2)), images.astype(np.float32))


def test_lighting_is_one_offset_an_image_with_the_stated_covariance():
    images = np.random.default_rng(3).integers(0, 256, (4000, 1, 2, 3), np.uint8)
    offsets = np.asarray(lighting(KEY, images, jnp.arange(4000), std=0.1)) - images
    np.testing.assert_allclose(offsets[:, 0, 0], offsets[:, 0, 1], atol=1e-4)
    vectors = np.array(color.LIGHTING_EIGENVECTORS)
    expected = vectors @ np.diag(np.square(color.LIGHTING_EIGENVALUES)) @ vectors.T * (0.1 * 255) ** 2
    covariance = np.cov(offsets[:, 0, 0].T)
    # A variance estimated from 4,000 draws has a relative deviation of sqrt(2 / 4000) = 2.2 %.
    np.testing.assert_allclose(covariance, expected, atol=0.1 * expected.max())
    assert np.abs(offsets.mean((0, 1, 2))).max() < 0.5


def test_lighting_axes_are_orthonormal():
    vectors = np.array(color.LIGHTING_EIGENVECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)


@pytest.mark.parametrize(
    'function',
    [
        lighting,
        lambda key, images, row: color_jitter(
            key, images, row, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
        ),
    ],
    ids=['lighting', 'jitter'],
)
def test_a_color_change_depends_on_key_and_row_alone(function):
    images = np.random.default_rng(4).integers(0, 256, (10, 4, 4, 3), np.uint8)
    whole = np.asarray(function(KEY, images, jnp.arange(10)))
    chosen = np.array([9, 0, 4])
    np.testing.assert_allclose(whole[chosen], function(KEY, images[chosen], chosen), atol=1e-4)
    assert (np.asarray(function(jax.random.key(4), images, jnp.arange(10))) != whole).any()

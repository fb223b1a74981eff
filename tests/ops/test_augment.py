"""Views, erasing and normalisation: ranges, distributions, and results recomputed in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import augment

# As in a training step: compiled, which is also quicker than operation by operation.
normalize = jax.jit(augment.normalize, static_argnames=('mean', 'std', 'dtype'))
random_erasing = jax.jit(augment.random_erasing, static_argnames=('probability', 'area', 'aspect', 'fill', 'attempts'))

KEY = jax.random.key(7)
RNG = np.random.default_rng(0)


def rows(count):
    return jnp.arange(count, dtype=jnp.int32)


def noise(count, height, width):
    return RNG.integers(0, 256, (count, height, width, 3), np.uint8)


def test_normalize_agrees_with_numpy():
    images, mean, std = noise(2, 3, 5), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (images.astype(np.float64) / 255 - mean) / std
    result = normalize(images, mean, std)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=2e-6)
    half = normalize(images, mean, std, dtype=jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), expected, rtol=2**-8)


def test_normalize_takes_float_pixels_and_one_channel():
    assert abs(float(normalize(jnp.full((1, 1, 1, 1), 127.5), (0.5,), (0.25,)).squeeze())) < 1e-6


def test_ten_crops_are_corners_and_centre_and_their_mirror_images():
    image = np.arange(7 * 5).reshape(1, 7, 5, 1).astype(np.uint8)
    crops = np.asarray(augment.ten_crop(image, size=3))[0, ..., 0]
    # Top left pixels by hand: rows of five, so row r and column c hold 5 r + c.
    assert crops[:5, 0, 0].tolist() == [0, 2, 20, 22, 11]
    assert crops[:5, 2, 2].tolist() == [12, 14, 32, 34, 23]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    with pytest.raises(ValueError, match='ten crops of 6 x 6 do not fit in images of 7 x 5'):
        augment.ten_crop(image, size=6)


def hole_of(image):
    """(top, left, height, width) of the zeros of a picture of ones, which must be one rectangle; None without any."""
    y, x = np.nonzero(image[..., 0] == 0)
    if not len(y):
        return None
    top, left, height, width = y.min(), x.min(), np.ptp(y) + 1, np.ptp(x) + 1
    assert len(y) == height * width
    return top, left, height, width


def test_erasing_paints_one_rectangle_within_its_ranges():
    images = np.ones((300, 40, 30, 3), np.float32)
    result = np.asarray(random_erasing(KEY, images, rows(300), probability=0.6))
    holes = [hole for hole in map(hole_of, result) if hole is not None]
    # 180 expected, standard deviation 8.5.
    assert 145 < len(holes) < 215
    top, left, height, width = np.array(holes).T
    share = height * width / 1200
    # Sides are rounded to whole pixels: half a pixel of each side is the slack.
    slack = (height + width) / 2 / 1200 + 0.25 / 1200
    assert (share >= 0.02 - slack).all()
    assert (share <= 1 / 3 + slack).all()
    assert ((height + 0.5) / (width - 0.5) >= 0.3).all()
    assert ((height - 0.5) / (width + 0.5) <= 3.3).all()
    assert share.max() > 0.3
    assert share.min() < 0.06
    # Holes reach all four borders.
    assert top.min() == left.min() == 0
    assert (top + height).max() == 40
    assert (left + width).max() == 30
    channels = result.reshape(-1, 3)
    assert (channels == channels[:, :1]).all()


def test_erasing_keeps_an_image_that_no_rectangle_fits():
    images = np.ones((5, 2, 200, 3), np.float32)
    result = random_erasing(KEY, images, rows(5), probability=1.0, area=(0.9, 0.95), aspect=(1.0, 1.001))
    np.testing.assert_array_equal(result, images)


def test_erasing_fills_with_the_given_value_in_the_images_dtype():
    images = jnp.ones((20, 16, 16, 3), jnp.bfloat16)
    result = random_erasing(KEY, images, rows(20), probability=1.0, fill=-2.0)
    assert result.dtype == jnp.bfloat16
    assert set(np.unique(result.astype(jnp.float32))) == {-2.0, 1.0}


def test_an_example_depends_on_key_and_row_alone():
    def function(key, images, row):
        return random_erasing(key, images, row, probability=0.7)

    images = noise(12, 8, 8)
    whole = np.asarray(function(KEY, images, rows(12)))
    np.testing.assert_array_equal(whole, function(KEY, images, rows(12)))
    chosen = np.array([7, 2, 11])
    np.testing.assert_array_equal(whole[chosen], function(KEY, images[chosen], chosen))
    assert (whole != np.asarray(function(jax.random.key(8), images, rows(12)))).any()


@pytest.mark.parametrize('size', [(1, 1), (1, 9)])
def test_one_pixel_wide_images_survive(size):
    images = noise(4, *size)
    erased = np.asarray(random_erasing(KEY, images, rows(4), probability=1.0))
    # No rectangle is smaller than one pixel in both directions.
    np.testing.assert_array_equal(erased, images)


def test_scaled_views_hold_image_and_mirror_image_at_each_side_and_agree_with_pillow():
    from PIL import Image

    images = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    whole, half = augment.scaled_views(images, sizes=(16, 8))
    np.testing.assert_array_equal(whole[:, 0], images)
    np.testing.assert_array_equal(whole[:, 1], images[:, :, ::-1])
    assert half.shape == (2, 2, 8, 8, 3)
    expected = np.asarray(Image.fromarray(images[0]).resize((8, 8), Image.Resampling.BILINEAR), int)
    assert np.abs(np.asarray(half[0, 0], int) - expected).max() <= 1

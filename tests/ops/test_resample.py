"""Resizing by matrix products against Pillow."""

import jax
import numpy as np
import pytest
from PIL import Image

from cnn.ops import resample

crop_and_resize = jax.jit(resample.crop_and_resize, static_argnames=('height', 'width'))
resize = jax.jit(resample.resize, static_argnames=('height', 'width'))
IMAGES = np.random.default_rng(1).integers(0, 256, (6, 40, 50, 3), np.uint8)


def with_pillow(image, box, size):
    return np.asarray(Image.fromarray(image).crop(box).resize(size, Image.Resampling.BILINEAR), int)


def test_windows_agree_with_pillow():
    # Shrunk, enlarged, one pixel, the whole, and the size itself.
    windows = np.array([[0, 0, 40, 50], [3, 7, 21, 9], [39, 49, 1, 1], [5, 0, 30, 50], [10, 20, 16, 12], [0, 1, 39, 3]])
    result = np.asarray(crop_and_resize(IMAGES, windows, height=16, width=12))
    assert result.dtype == np.uint8
    for image, (top, left, tall, wide), found in zip(IMAGES, windows, result, strict=True):
        expected = with_pillow(image, (left, top, left + wide, top + tall), (12, 16))
        assert np.abs(found - expected).max() <= 1
        assert np.abs(found - expected).mean() < 0.3
    np.testing.assert_array_equal(result[4], IMAGES[4, 10:26, 20:32])


def test_a_window_inside_takes_nothing_from_outside():
    images = np.where(np.arange(50)[:, None] < 20, IMAGES, 255).astype(np.uint8)
    images[:, :, :20] = 100
    result = crop_and_resize(images, np.tile([0, 0, 40, 20], (6, 1)), height=5, width=7)
    np.testing.assert_array_equal(result, 100)


@pytest.mark.parametrize('size', [(13, 50), (40, 50), (80, 31)])
def test_whole_images_agree_with_pillow(size):
    result = np.asarray(resize(IMAGES, height=size[0], width=size[1]), int)
    for image, found in zip(IMAGES, result, strict=True):
        assert np.abs(found - with_pillow(image, (0, 0, 50, 40), size[::-1])).max() <= 1


def test_floats_are_not_rounded():
    ramp = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1)
    # Each result is the mean of a pair but for the triangle's tails: inside the ramp they cancel.
    np.testing.assert_allclose(resize(ramp, height=4, width=1)[0, 1:3, 0, 0], [2.5, 4.5], atol=1e-6)

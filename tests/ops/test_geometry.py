"""Flips and crops: windows found again pixel by pixel, and boxes and masks that stay on what they describe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import geometry

KEY = jax.random.key(7)
RNG = np.random.default_rng(0)
# As in a training step: compiled, which is also quicker than operation by operation.
flip_example = jax.jit(geometry.random_flip, static_argnames='probability')
crop_example = jax.jit(geometry.pad_and_crop, static_argnames='pad')
crop_and_resize = jax.jit(geometry.crop_and_resize, static_argnames=('height', 'width'))
resize = jax.jit(geometry.resize, static_argnames=('height', 'width'))


def random_flip(key, images, row, probability=0.5):
    return flip_example(key, {'image': images}, row, probability=probability)['image']


def pad_and_crop(key, images, row, pad):
    return crop_example(key, {'image': images}, row, pad=pad)['image']


def rows(count):
    return jnp.arange(count, dtype=jnp.int32)


def noise(count, height, width):
    return RNG.integers(0, 256, (count, height, width, 3), np.uint8)


def test_flip_mirrors_about_the_stated_share_and_nothing_else():
    images = noise(400, 2, 3)
    result = np.asarray(random_flip(KEY, images, rows(400), probability=0.3))
    same = (result == images).all((1, 2, 3))
    mirrored = (result == images[:, :, ::-1]).all((1, 2, 3))
    assert (same | mirrored).all()
    assert result.dtype == np.uint8
    # 400 draws at 0.3: 120, standard deviation 9.2.
    assert 80 < (mirrored & ~same).sum() < 160


@pytest.mark.parametrize(('probability', 'expected'), [(0.0, slice(None)), (1.0, slice(None, None, -1))])
def test_flip_never_and_always(probability, expected):
    images = noise(9, 2, 3)
    result = random_flip(KEY, images, rows(9), probability=probability)
    np.testing.assert_array_equal(result, images[:, :, expected])


def test_pad_and_crop_is_a_window_of_the_padded_image_at_every_offset():
    images = noise(300, 5, 4)
    result = np.asarray(pad_and_crop(KEY, images, rows(300), pad=2))
    assert result.dtype == np.uint8
    seen = np.zeros((5, 5), int)
    for image, crop in zip(images, result, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        found = [(y, x) for y in range(5) for x in range(5) if (padded[y : y + 5, x : x + 4] == crop).all()]
        assert len(found) == 1
        seen[found[0]] += 1
    # 25 offsets, 12 each on average: chi squared with 24 degrees of freedom stays below 51.2 in 99.9 % of cases.
    assert seen.min() > 0
    assert ((seen - 12) ** 2 / 12).sum() < 51.2


@pytest.mark.parametrize('function', [random_flip, lambda *a: pad_and_crop(*a, pad=3)], ids=['flip', 'crop'])
def test_an_example_depends_on_key_and_row_alone(function):
    images = noise(12, 8, 8)
    whole = np.asarray(function(KEY, images, rows(12)))
    np.testing.assert_array_equal(whole, function(KEY, images, rows(12)))
    chosen = np.array([7, 2, 11])
    np.testing.assert_array_equal(whole[chosen], function(KEY, images[chosen], chosen))
    assert (whole != np.asarray(function(jax.random.key(8), images, rows(12)))).any()


@pytest.mark.parametrize('size', [(1, 1), (1, 9)])
def test_one_pixel_wide_images_survive(size):
    images = noise(4, *size)
    np.testing.assert_array_equal(random_flip(KEY, images, rows(4), probability=1.0), images[:, :, ::-1])
    assert pad_and_crop(KEY, images, rows(4), pad=1).shape == images.shape


def painted(count=40, height=24, width=30):
    """Pictures of two rectangles, levels 1 and 2 in image and mask, with their boxes and a row of padding."""
    image = np.zeros((count, height, width, 3), np.uint8)
    boxes = np.zeros((count, 3, 4), np.float32)
    for picture in range(count):
        for k, (left, right) in enumerate(((0, width // 2), (width // 2, width))):
            x0, x1 = np.sort(RNG.choice(np.arange(left, right), 2, replace=False))
            y0, y1 = np.sort(RNG.choice(height, 2, replace=False))
            boxes[picture, k] = x0, y0, x1, y1
            image[picture, y0:y1, x0:x1] = k + 1
    labels = np.tile(np.int32([4, 5, -1]), (count, 1))
    mask = image[..., 0].copy()
    return {'image': image * 100, 'boxes': boxes, 'box_labels': labels, 'segmentation': mask, 'index': rows(count)}


def holds(example, level=100):
    """Whether each box is what is painted with its label, image and mask alike; returns how many boxes are left."""
    image, mask = np.asarray(example['image']), np.asarray(example['segmentation'])
    boxes, labels = np.asarray(example['boxes']), np.asarray(example['box_labels'])
    np.testing.assert_array_equal(np.where(mask == geometry.IGNORED, 0, mask) * level, image[..., 0])
    for i in range(len(image)):
        for k in range(2):
            y, x = np.nonzero(mask[i] == k + 1)
            if labels[i, k] < 0:
                np.testing.assert_array_equal(boxes[i, k], 0)
                continue
            assert labels[i, k] == 4 + k
            np.testing.assert_array_equal(boxes[i, k], [x.min(), y.min(), x.max() + 1, y.max() + 1])
        np.testing.assert_array_equal(boxes[i, 2], 0)
    assert (labels[:, 2] == -1).all()
    return int((labels[:, :2] >= 0).sum())


def test_boxes_and_masks_are_mirrored_with_the_pixels():
    example = painted()
    result = flip_example(KEY, example, rows(40))
    assert holds(result) == 80
    changed = (np.asarray(result['image']) != example['image']).any((1, 2, 3))
    assert 8 < changed.sum() < 32
    assert (np.asarray(result['boxes']) != example['boxes']).any((1, 2))[changed].all()
    np.testing.assert_array_equal(result['index'], example['index'])


def test_boxes_and_masks_are_padded_and_cropped_with_the_pixels():
    example = painted()
    result = crop_example(KEY, example, rows(40), pad=9)
    kept = holds(result)
    # A box stays while its centre is seen: an offset of up to nine pixels pushes some out, and most not.
    assert 40 < kept < 80
    labels, mask = np.asarray(result['box_labels']), np.asarray(result['segmentation'])
    found = np.asarray(crop_example(KEY, {'image': np.ones((40, 24, 30, 1), np.uint8)}, rows(40), pad=9)['image'])
    np.testing.assert_array_equal(mask == geometry.IGNORED, found[..., 0] == 0)
    for i in range(40):
        top, left = (np.flatnonzero(found[i, ..., 0].any(axis))[0] for axis in (1, 0))
        bottom, right = (np.flatnonzero(found[i, ..., 0].any(axis))[-1] + 1 for axis in (1, 0))
        down = top if top else bottom - 24
        across = left if left else right - 30
        centre = (example['boxes'][i, :2, :2] + example['boxes'][i, :2, 2:]) / 2 + np.array([across, down])
        seen = (centre >= 0).all(1) & (centre <= [30, 24]).all(1)
        np.testing.assert_array_equal(labels[i, :2] >= 0, seen)


def test_a_window_twice_enlarged_moves_boxes_and_masks_by_the_same_factor():
    example = painted(30)
    windows = np.stack([RNG.integers(0, 12, 30), RNG.integers(0, 15, 30), np.full(30, 12), np.full(30, 15)], 1)
    result = crop_and_resize(example, windows.astype(np.float32), height=24, width=30)
    masks = zip(example['segmentation'], windows, strict=True)
    cut = np.stack([mask[top : top + 12, left : left + 15] for mask, (top, left, _, _) in masks])
    np.testing.assert_array_equal(result['segmentation'], cut.repeat(2, 1).repeat(2, 2))
    nearest = {**result, 'image': np.asarray(result['segmentation'])[..., None].repeat(3, -1)}
    assert 5 < holds(nearest, level=1) < 50


def test_whole_examples_are_resized_and_one_of_the_size_stays():
    example = painted(20)
    result = resize(example, height=48, width=60)
    np.testing.assert_array_equal(result['segmentation'], example['segmentation'].repeat(2, 1).repeat(2, 2))
    assert holds({**result, 'image': np.asarray(result['segmentation'])[..., None].repeat(3, -1)}, level=1) == 40
    assert geometry.resize(example, height=24, width=30) is example


def test_a_batch_without_boxes_has_none_afterwards():
    example = {
        'image': noise(2, 6, 6),
        'boxes': np.zeros((2, 0, 4), np.float32),
        'box_labels': np.zeros((2, 0), np.int32),
        'segmentation': np.full((2, 6, 6), 3, np.int32),
    }
    for result in (flip_example(KEY, example, rows(2)), crop_example(KEY, example, rows(2), pad=2)):
        assert result['boxes'].shape == (2, 0, 4)
        assert result['segmentation'].dtype == jnp.int32

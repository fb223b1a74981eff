"""The device recipe: what it refuses, that nothing is left out, and independence of the batch around an example."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.tasks.augmentation import Augmentation

KEY = jax.random.key(5)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3), np.uint8)
STATISTICS = {'mean': (0.4, 0.5, 0.6), 'std': (0.2, 0.3, 0.4)}
PIXELS = {
    'flip': 0.5,
    'pad_and_crop': 2,
    'policy': 'trivial',
    'brightness': 0.3,
    'contrast': 0.3,
    'saturation': 0.3,
    'hue': 0.1,
    'lighting': 0.1,
    'random_erasing': 0.9,
}


def images_of(recipe):
    return np.asarray(jax.jit(lambda i, r: recipe.images(KEY, i, r, **STATISTICS))(IMAGES, jnp.arange(8)))


NORMALIZED = (IMAGES / 255.0 - STATISTICS['mean']) / STATISTICS['std']


def test_without_strengths_it_only_normalizes():
    recipe = Augmentation.of({})
    np.testing.assert_allclose(images_of(recipe), NORMALIZED, atol=1e-5)
    assert not recipe.mixes


@pytest.mark.parametrize('name', PIXELS)
def test_each_strength_alone_changes_pixels(name):
    result = images_of(Augmentation.of({name: PIXELS[name]}))
    assert result.shape == IMAGES.shape
    assert np.abs(result - NORMALIZED).max() > 0.01


def test_every_field_is_a_pixel_strength_or_tried_below():
    fields = {f.name for f in dataclasses.fields(Augmentation)}
    of_windows = {'size', 'window', 'min_area', 'resize_min', 'resize_max'}
    assert fields == {*PIXELS, *of_windows, 'policy_ops', 'policy_magnitude', 'mixup', 'cutmix', 'mix_switch'}


def test_a_policy_is_as_strong_and_as_long_as_it_says():
    def changed(**policy):
        return np.abs(images_of(Augmentation(policy='rand', **policy)) - NORMALIZED).mean()

    # Without operations nothing happens; without strength only autocontrast, equalize and inverted whites are left.
    assert changed(policy_ops=0) < 1e-5
    assert changed(policy_ops=1, policy_magnitude=0) < changed(policy_ops=3, policy_magnitude=30)


@pytest.mark.parametrize('window', [{'window': 'random_resized', 'min_area': 0.3}, {'window': 'random'}, {}])
def test_images_of_any_stored_size_come_out_at_size(window):
    recipe = Augmentation(size=6, resize_min=8, resize_max=12, **window)
    # Left half dark, right half bright: a window shows either or both, the whole image both alike.
    stored = np.zeros((60, 16, 16, 3), np.uint8)
    stored[:, :, 8:] = 255
    plain = {'mean': (0.0,) * 3, 'std': (1.0,) * 3}
    run = jax.jit(lambda i, r: recipe.images(KEY, i, r, **plain))
    found = np.asarray(run(stored, jnp.arange(60)))
    assert found.shape == (60, 6, 6, 3)
    bright = found.mean((1, 2, 3))
    if not window:
        np.testing.assert_allclose(bright, 0.5, atol=0.01)
        return
    assert bright.min() < 0.3
    assert bright.max() > 0.7
    assert abs(bright.mean() - 0.5) < 0.1
    np.testing.assert_array_equal(found[[7, 3]], run(stored[:2], jnp.asarray([7, 3])))


def test_examples_move_boxes_and_masks_with_the_image_and_are_not_erased():
    recipe = Augmentation(flip=0.5, pad_and_crop=2, brightness=0.2, lighting=0.1, random_erasing=1.0)
    image = np.full((16, 12, 10, 3), 20, np.uint8)
    image[:, 2:6, 1:5] = 200
    example = {
        'image': image,
        'boxes': np.tile(np.float32([[1, 2, 5, 6], [0, 0, 0, 0]]), (16, 1, 1)),
        'box_labels': np.tile(np.int32([3, -1]), (16, 1)),
        'segmentation': (image[..., 0] > 100).astype(np.uint8),
        'label': np.arange(16),
    }
    run = jax.jit(lambda e, r: recipe.example(KEY, e, r, **STATISTICS))
    result = jax.tree.map(np.asarray, run(example, jnp.arange(16)))
    places = set()
    for i in range(16):
        x0, y0, x1, y1 = result['boxes'][i, 0].astype(int)
        inside = np.zeros((12, 10), bool)
        inside[y0:y1, x0:x1] = True
        np.testing.assert_array_equal(inside, result['segmentation'][i] == 1)
        levels = result['image'][i].mean(-1)
        # Colour may change, but nowhere does the inside come near the outside: nothing is erased.
        assert levels[inside].min() > levels[~inside].max() + 0.5
        assert np.ptp(levels[inside]) < 1e-4
        places.add((x0, y0))
    assert len(places) > 5
    np.testing.assert_array_equal(result['box_labels'], example['box_labels'])
    np.testing.assert_array_equal(result['label'], np.arange(16))
    with pytest.raises(ValueError, match=r'policy=trivial moves pixels, not boxes or masks'):
        Augmentation(policy='trivial').example(KEY, example, jnp.arange(16), **STATISTICS)


def test_an_example_does_not_depend_on_the_devices_it_is_spread_over():
    recipe = Augmentation(**PIXELS)
    run = jax.jit(lambda k, i, r: recipe.images(k, i, r, **STATISTICS))
    whole = np.asarray(run(KEY, IMAGES, jnp.arange(8)))
    halves = [run(KEY, IMAGES[i : i + 4], jnp.arange(i, i + 4)) for i in (0, 4)]
    # Contrast's mean over pixels is the one float operation whose order a compiler may choose.
    np.testing.assert_allclose(whole, np.concatenate(halves), atol=1e-5)
    assert np.abs(run(jax.random.key(6), IMAGES, jnp.arange(8)) - whole).max() > 0.1


@pytest.mark.parametrize(('strengths', 'mixes'), [({'mixup': 0.2}, True), ({'cutmix': 1.0}, True), ({}, False)])
def test_mixes_says_whether_targets_become_soft(strengths, mixes):
    recipe = Augmentation(**strengths)
    assert recipe.mixes is mixes
    _, targets = jax.jit(recipe.mix)(KEY, jnp.zeros((8, 16, 16, 3)), jnp.eye(8), jnp.ones(8))
    assert bool((np.asarray(targets).max(1) < 1).all()) is mixes
    np.testing.assert_allclose(np.asarray(targets).sum(1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'flp': 0.5}, "unknown field augmentation.flp; did you mean 'flip'?"),
        ({'zzzz': 1}, 'unknown field augmentation.zzzz; there are size, window'),
        ({'flip': 1.5}, 'augmentation.flip is 1.5; give a share from 0 to 1'),
        ({'flip': True}, 'augmentation.flip is True; give a number'),
        ({'lighting': float('nan')}, 'augmentation.lighting is nan; give a number'),
        ({'mixup': -0.1}, 'augmentation.mixup is -0.1; give a number, 0 or more'),
        ({'hue': 0.7}, 'augmentation.hue is 0.7; half the colour circle'),
        ({'pad_and_crop': 1.5}, 'augmentation.pad_and_crop is 1.5; give a whole number'),
        ({'policy': 'tirvial'}, "augmentation.policy is 'tirvial'; there are none, trivial, rand"),
        ({'policy_magnitude': 31}, 'augmentation.policy_magnitude is 31; give 0 to 30'),
        ({'window': 'random'}, 'augmentation.window=random needs augmentation.size'),
        ({'window': 'random', 'size': 224, 'resize_min': 200}, 'augmentation.resize_min=200 and resize_max=256 must'),
        ({'cutmix': '1'}, "augmentation.cutmix is '1'; give a number"),
    ],
)
def test_mistakes_are_one_line_that_names_the_field(values, message):
    with pytest.raises(ValueError, match='augmentation') as error:
        Augmentation.of(values)
    assert message in str(error.value)
    assert '\n' not in str(error.value)

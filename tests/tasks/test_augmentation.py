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
    'brightness': 0.3,
    'contrast': 0.3,
    'saturation': 0.3,
    'hue': 0.1,
    'lighting': 0.1,
    'random_erasing': 0.9,
}


def images_of(recipe, images=IMAGES, row=None, key=KEY):
    row = jnp.arange(len(images)) if row is None else jnp.asarray(row)
    return np.asarray(jax.jit(lambda k, i, r: recipe.images(k, i, r, **STATISTICS))(key, images, row))


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


def test_every_field_is_a_pixel_strength_or_a_mixing_one():
    fields = {f.name for f in dataclasses.fields(Augmentation)}
    assert fields == {*PIXELS, 'mixup', 'cutmix', 'mix_switch'}


def test_an_example_does_not_depend_on_the_devices_it_is_spread_over():
    recipe = Augmentation(**PIXELS)
    whole = images_of(recipe)
    halves = [images_of(recipe, IMAGES[i : i + 4], np.arange(i, i + 4)) for i in (0, 4)]
    # Contrast's mean over pixels is the one float operation whose order a compiler may choose.
    np.testing.assert_allclose(whole, np.concatenate(halves), atol=1e-5)
    assert np.abs(images_of(recipe, key=jax.random.key(6)) - whole).max() > 0.1


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
        ({'zzzz': 1}, 'unknown field augmentation.zzzz; there are flip, pad_and_crop'),
        ({'flip': 1.5}, 'augmentation.flip is 1.5; give a probability from 0 to 1'),
        ({'flip': True}, 'augmentation.flip is True; give a number'),
        ({'lighting': float('nan')}, 'augmentation.lighting is nan; give a number'),
        ({'mixup': -0.1}, 'augmentation.mixup is -0.1; give a number, 0 or more'),
        ({'hue': 0.7}, 'augmentation.hue is 0.7; half the colour circle'),
        ({'pad_and_crop': 1.5}, 'augmentation.pad_and_crop is 1.5; give whole pixels'),
        ({'cutmix': '1'}, "augmentation.cutmix is '1'; give a number"),
    ],
)
def test_mistakes_are_one_line_that_names_the_field(values, message):
    with pytest.raises(ValueError, match='augmentation') as error:
        Augmentation.of(values)
    assert message in str(error.value)
    assert '\n' not in str(error.value)

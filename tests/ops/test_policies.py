"""RandAugment and TrivialAugment against Pillow, operation by operation, and the laws of what they draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnn.ops import keys, policies

KEY = jax.random.key(11)
RNG = np.random.default_rng(5)
NAMES = policies.OPERATIONS
apply = jax.jit(policies.apply)
trivial_augment = jax.jit(policies.trivial_augment)
rand_augment = jax.jit(policies.rand_augment, static_argnames=('ops', 'magnitude'))


def pictures():
    """Noise, a photograph's kind of gradients, few levels, and one level: `[4, 20, 24, 3]`."""
    y, x = np.mgrid[:20, :24]
    smooth = np.stack([y * 9 + 20, x * 10, 255 - 3 * x - 4 * y], -1)
    few = RNG.choice([40, 41, 200], (20, 24, 3))
    return np.stack([RNG.integers(0, 256, (20, 24, 3)), smooth, few, np.full((20, 24, 3), 77)]).astype(np.uint8)


def with_pillow(image, name, magnitude):
    """The same operation as the papers' code and torchvision's do it."""
    image = Image.fromarray(image)
    affine = {
        'shear_x': (1, magnitude, 0, 0, 1, 0), 'shear_y': (1, 0, 0, magnitude, 1, 0),
        'translate_x': (1, 0, -magnitude, 0, 1, 0), 'translate_y': (1, 0, 0, 0, 1, -magnitude),
    }  # fmt: skip
    enhance = {
        'brightness': ImageEnhance.Brightness, 'color': ImageEnhance.Color, 'contrast': ImageEnhance.Contrast,
        'sharpness': ImageEnhance.Sharpness,
    }  # fmt: skip
    if name in affine:
        return image.transform(image.size, Image.Transform.AFFINE, affine[name])
    if name in enhance:
        return enhance[name](image).enhance(1 + magnitude)
    if name == 'posterize':
        return ImageOps.posterize(image, int(magnitude))
    if name == 'solarize':
        return ImageOps.solarize(image, magnitude)
    if name == 'rotate':
        return image.rotate(magnitude)
    return {'identity': lambda i: i, 'autocontrast': ImageOps.autocontrast, 'equalize': ImageOps.equalize}[name](image)


CASES = [(name, m) for name in ('brightness', 'color', 'contrast', 'sharpness') for m in (-0.9375, -0.4375, 0.3, 0.875)]
CASES += [('posterize', bits) for bits in (2, 5, 8)] + [('solarize', level) for level in (0.0, 93.5, 255.0)]
CASES += [(name, 0.0) for name in ('identity', 'autocontrast', 'equalize')]
GEOMETRY = [('shear_x', 0.3), ('shear_x', -0.99), ('shear_y', 0.7), ('translate_x', 5), ('translate_x', -30)]
GEOMETRY += [('translate_y', 32), ('translate_y', -7), ('rotate', 135.0), ('rotate', -13.5), ('rotate', 90.0)]


def applied(cases, images):
    """Every case on every picture in one batch: uint8 `[cases, pictures, H, W, 3]`."""
    operation = np.repeat([NAMES.index(name) for name, _ in cases], len(images)).astype(np.int32)
    magnitude = np.repeat([m for _, m in cases], len(images)).astype(np.float32)
    result = apply(np.tile(images, (len(cases), 1, 1, 1)), operation, magnitude)
    assert result.dtype == jnp.uint8
    return np.asarray(result).reshape(len(cases), *images.shape)


def test_levels_agree_with_pillow():
    images = pictures()
    for (name, magnitude), results in zip(CASES, applied(CASES, images), strict=True):
        for image, result in zip(images, results, strict=True):
            expected = np.asarray(with_pillow(image, name, magnitude), int)
            off = np.abs(result - expected)
            assert off.max() <= 1, (name, magnitude)
            # Of other factors than sixteenths, Pillow's float32 falls short of some whole levels (130 times 1.3).
            assert magnitude * 16 % 1 or (off > 0).mean() < 0.01, (name, magnitude)


def test_warps_agree_with_pillow():
    # Between two pixels at equal distance rounding decides (Pillow counts in 65536ths): at 135 degrees on the diagonal.
    images = np.concatenate([pictures()[1:2], np.full((1, 20, 24, 3), 255, np.uint8)])
    for (name, magnitude), results in zip(GEOMETRY, applied(GEOMETRY, images), strict=True):
        for image, result in zip(images, results, strict=True):
            expected = np.asarray(with_pillow(image, name, magnitude), int)
            other = (np.abs(result - expected).max(-1) > 0).mean()
            assert other < (0.04 if magnitude == 135 else 0.01), (name, magnitude)


def test_the_spaces_are_the_published_ones():
    wide, rand = policies._wide_space(), policies._space(331, 662)
    # torchvision's TrivialAugmentWide and RandAugment, 31 bins; translations in a 331 x 662 picture.
    ends = {
        'shear_x': (0.99, 0.3), 'shear_y': (0.99, 0.3), 'translate_x': (32, 300), 'translate_y': (32, 150),
        'rotate': (135, 30), 'brightness': (0.99, 0.9), 'color': (0.99, 0.9), 'contrast': (0.99, 0.9),
        'sharpness': (0.99, 0.9), 'posterize': (2, 4), 'solarize': (0, 0),
    }  # fmt: skip
    for name, (widest, strongest) in ends.items():
        at = NAMES.index(name)
        assert wide[at, 30] == pytest.approx(widest), name
        assert rand[at, 30] == pytest.approx(strongest), name
        assert wide[at, 0] == rand[at, 0] == {'posterize': 8, 'solarize': 255}.get(name, 0), name
    # The strength 9 of 30 that RandAugment's default is.
    nine = {name: rand[NAMES.index(name), 9] for name in ends}
    assert nine['rotate'] == pytest.approx(9)
    assert nine['brightness'] == pytest.approx(0.27)
    assert nine['posterize'] == 7
    assert nine['solarize'] == pytest.approx(178.5)
    # 150 pixels in 30 steps: five each, whatever floats make of a thirtieth.
    np.testing.assert_array_equal(rand[NAMES.index('translate_y')], np.arange(31) * 5)


def test_every_operation_strength_and_sign_is_drawn_equally_often():
    # A white square on black tells most operations apart; here the draws themselves are counted instead.
    space = jnp.arange(14 * 31, dtype=jnp.float32).reshape(14, 31) + 1
    draws = keys.uniforms(KEY, jnp.arange(40_000), 3)
    operation, step = policies._below(draws[:, 0], 14), policies._below(draws[:, 1], 31)
    drawn = np.asarray(policies._signed(space, operation, step, draws[:, 2]))
    operation, step = np.divmod(np.abs(drawn).astype(int) - 1, 31)
    for values, count, bound in ((operation, 14, 34.5), (step, 31, 59.7)):
        seen = np.bincount(values, minlength=count)
        # Chi squared with count - 1 degrees of freedom stays below the bound in 99.9 % of cases.
        assert ((seen - 40_000 / count) ** 2 / (40_000 / count)).sum() < bound
    signed = np.isin(operation, range(1, 10))
    assert (drawn[~signed] > 0).all()
    assert abs((drawn[signed] < 0).mean() - 0.5) < 0.015


@pytest.mark.parametrize('function', [trivial_augment, lambda *a: rand_augment(*a, ops=2, magnitude=15)])
def test_an_example_depends_on_key_and_row_alone(function):
    images = RNG.integers(0, 256, (28, 9, 11, 3), np.uint8)
    whole = np.asarray(function(KEY, images, jnp.arange(28)))
    assert whole.dtype == np.uint8
    chosen = RNG.permutation(28)
    np.testing.assert_array_equal(whole[chosen], function(KEY, images[chosen], jnp.asarray(chosen)))
    assert (whole != np.asarray(function(jax.random.key(12), images, jnp.arange(28)))).any()
    changed = (whole != images).any((1, 2, 3)).mean()
    assert changed > 0.5


def test_rand_augment_is_its_operations_one_after_the_other():
    images = np.concatenate([pictures()] * 5)
    row = jnp.arange(20)
    draws = np.asarray(keys.uniforms(KEY, row, 4)).reshape(20, 2, 2)
    result = np.asarray(rand_augment(KEY, images, row, ops=2, magnitude=19))
    space = policies._space(20, 24)
    # A shear by 19 of 30 steps, 0.19, has no two pixels at equal distance.
    same = 0
    for image, example, found in zip(images, draws, result, strict=True):
        expected = image
        for place, sign in example:
            name = NAMES[int(place * 14)]
            magnitude = space[NAMES.index(name), 19] * (-1 if sign < 0.5 and name in NAMES[1:10] else 1)
            expected = np.asarray(with_pillow(expected, name, float(magnitude)))
        same += (np.abs(expected.astype(int) - found) <= 2).mean() > 0.97
    assert same == 20


def test_tiny_pictures_survive():
    images = RNG.integers(0, 256, (14, 1, 2, 3), np.uint8)
    operation = jnp.arange(14)
    result = np.asarray(apply(images, operation, jnp.full(14, 0.5)))
    assert result.shape == images.shape
    np.testing.assert_array_equal(result[NAMES.index('sharpness')], images[NAMES.index('sharpness')])
    # Two pixels have no 255th: nothing to equalize.
    np.testing.assert_array_equal(result[NAMES.index('equalize')], images[NAMES.index('equalize')])

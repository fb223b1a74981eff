"""Mixup and cutmix recomputed in NumPy from what their targets say, and their distributions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from cnn.ops import mixing

COUNT, DRAWS = 6, 400
KEYS = jax.random.split(jax.random.key(11), DRAWS)
TARGETS = np.eye(COUNT, dtype=np.float32)
IMAGES = np.random.default_rng(0).normal(size=(COUNT, 10, 8, 3)).astype(np.float32)
# Each image one constant, so that a pixel tells where it comes from.
PLAIN = np.broadcast_to(np.arange(COUNT, dtype=np.float32)[:, None, None, None], IMAGES.shape)
mixup = jax.jit(mixing.mixup)
ALL = np.ones(COUNT, np.float32)


def drawn(function, images, mask=ALL, **alphas):
    """(images, targets) as NumPy with a leading axis of DRAWS keys."""
    return map(np.asarray, _many(function)(KEYS, images, mask, alphas))


@functools.cache
def _many(function):
    """Compiled once a function: alphas, image and mask are arguments."""

    def one(key, images, mask, alphas):
        return function(key, images, TARGETS, mask=mask, **alphas)

    return jax.jit(jax.vmap(one, (0, None, None, None)))


def test_mixup_mixes_images_as_it_mixes_targets():
    images, targets = drawn(mixing.mixup, IMAGES, alpha=0.4)
    share = targets[:, 0, 0][:, None, None]
    assert ((share >= 0) & (share <= 1)).all()
    partner = np.array([1, 0, 3, 2, 5, 4])
    np.testing.assert_allclose(targets, share * TARGETS + (1 - share) * TARGETS[partner], atol=1e-6)
    share = share[..., None, None]
    np.testing.assert_allclose(images, share * IMAGES + (1 - share) * IMAGES[partner], atol=1e-5)


@pytest.mark.parametrize('alpha', [0.2, 0.4, 1.0])
def test_mixup_shares_follow_the_beta_distribution(alpha):
    _, targets = drawn(mixing.mixup, IMAGES, alpha=alpha)
    assert stats.kstest(targets[:, 0, 0], stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_cutmix_pastes_one_rectangle_and_counts_its_pixels():
    images, targets = drawn(mixing.cutmix, PLAIN, alpha=1.0)
    areas = []
    for image, target in zip(images[:, 3, :, :, 0], targets[:, 3], strict=True):
        assert set(np.unique(image)) <= {2.0, 3.0}
        y, x = np.nonzero(image == 2.0)
        if len(y):
            assert len(y) == (np.ptp(y) + 1) * (np.ptp(x) + 1)
        areas.append(len(y) / 80)
        np.testing.assert_allclose(target[[2, 3]], [areas[-1], 1 - areas[-1]], atol=1e-6)
        np.testing.assert_allclose(target.sum(), 1, atol=1e-6)
    assert min(areas) == 0
    assert max(areas) > 0.5


def test_cutmix_boxes_have_the_drawn_area_before_the_border_cuts_them():
    # By hand: sides of sqrt(1 - lambda) of either dimension, halves rounded down, centre uniform, cut at the border.
    images, _ = drawn(mixing.cutmix, PLAIN, alpha=1.0)
    mean_area = (images[:, 3] == 2.0).mean()
    rng = np.random.default_rng(0)
    side = np.sqrt(1 - rng.beta(1, 1, 20000))
    area = 1
    for size in (10, 8):
        center, half = rng.integers(0, size, 20000), (side * size).astype(int) // 2
        area = area * (np.minimum(center + half, size) - np.maximum(center - half, 0)) / size
    # The area's deviation is about 0.2: 0.01 for 400 boxes.
    assert abs(mean_area - area.mean()) < 0.04


@pytest.mark.parametrize('function', [mixing.mixup, mixing.cutmix], ids=['mixup', 'cutmix'])
def test_an_example_beside_padding_stays_alone(function):
    mask = np.array([1, 1, 0, 1, 1, 0], np.float32)
    images, targets = drawn(function, PLAIN, mask, alpha=1.0)
    # Rows 3 and 4 stand beside padding, rows 0 and 1 beside each other.
    np.testing.assert_array_equal(images[:, [3, 4]], np.broadcast_to(PLAIN[[3, 4]], images[:, [3, 4]].shape))
    np.testing.assert_array_equal(targets[:, [3, 4]], np.broadcast_to(TARGETS[[3, 4]], (DRAWS, 2, COUNT)))
    assert (images[:, [0, 1]] != PLAIN[[0, 1]]).any((1, 2, 3, 4)).mean() > 0.5


def test_mix_switches_between_the_two():
    images, targets = drawn(functools.partial(mixing.mix, mixup_alpha=1.0, cutmix_alpha=1.0, switch=0.25), PLAIN)
    blended = ((images[:, 3] > 2) & (images[:, 3] < 3)).any((1, 2, 3))
    # 300 mixups expected, standard deviation 8.7.
    assert 265 < blended.sum() < 335
    np.testing.assert_allclose(targets[:, 3, 2], 3 - images[:, 3].mean((1, 2, 3)), atol=1e-5)


@pytest.mark.parametrize('count', [1, 4, 5])
def test_devices_and_odd_batches(count):
    # Any even share of a batch is mixed as within the whole; the last of an odd number stays alone.
    whole = mixup(KEYS[0], IMAGES, TARGETS, alpha=1.0)
    part = mixup(KEYS[0], IMAGES[:count], TARGETS[:count], alpha=1.0)
    paired = count // 2 * 2
    for a, b, original in zip(whole, part, (IMAGES, TARGETS), strict=True):
        np.testing.assert_allclose(a[:paired], b[:paired], atol=1e-6)
        np.testing.assert_allclose(b[paired:], original[paired:count], atol=1e-6)


def test_mix_with_both_off_returns_what_it_was_given():
    images, targets = mixing.mix(KEYS[0], IMAGES, TARGETS)
    assert images is IMAGES
    assert targets is TARGETS


@pytest.mark.parametrize(
    ('options', 'function'), [({'mixup_alpha': 0.3}, mixing.mixup), ({'cutmix_alpha': 0.3}, mixing.cutmix)]
)
def test_mix_with_one_on_is_that_one(options, function):
    mix = jax.make_jaxpr(lambda key: mixing.mix(key, IMAGES, TARGETS, **options))(KEYS[0])
    assert str(mix) == str(jax.make_jaxpr(lambda key: function(key, IMAGES, TARGETS, alpha=0.3))(KEYS[0]))


@pytest.mark.parametrize('function', [mixing.mixup, mixing.cutmix])
def test_bfloat16_images_stay_bfloat16_beside_float32_targets(function):
    half = jnp.asarray(IMAGES, jnp.bfloat16)
    images, targets = jax.eval_shape(lambda key: function(key, half, TARGETS, alpha=0.2), KEYS[0])
    assert (images.dtype, targets.dtype) == (jnp.bfloat16, jnp.float32)

"""Windows drawn on the device against the host's, from the same numbers; and their distribution."""

import jax
import numpy as np
import pytest

from cnn.ops import windows
from input_pipeline import transforms

DRAWS = np.random.default_rng(3).random((4000, windows.RESIZED_DRAWS), np.float32)
random_resized = jax.jit(windows.random_resized, static_argnames=('height', 'width', 'area', 'ratio'))
random_square = jax.jit(windows.random_square, static_argnames=('height', 'width', 'size', 'shortest'))


def agree(found, expected):
    """Equal but where float32 rounds a number that lies between two pixels the other way."""
    found, expected = np.asarray(found), np.array(expected)
    assert (found == found.astype(int)).all()
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).any(1).mean() < 0.005


@pytest.mark.parametrize(('height', 'width', 'area', 'ratio'), [
    (256, 256, (0.08, 1.0), (3 / 4, 4 / 3)),
    (32, 32, (0.9, 1.0), (3 / 4, 4 / 3)),
    # Nothing fits: the central part.
    (10, 90, (0.9, 1.0), (3 / 4, 4 / 3)),
    (90, 10, (0.9, 1.0), (3 / 4, 4 / 3)),
    (1, 1, (0.08, 1.0), (3 / 4, 4 / 3)),
])  # fmt: skip
def test_parts_are_the_hosts(height, width, area, ratio):
    host = transforms.RandomResizedCrop(8, area, ratio)
    draws = DRAWS[:800]
    expected = [host.window(height, width, d) for d in draws.astype(np.float64)]
    found = np.asarray(random_resized(draws, height, width, area=area, ratio=ratio))
    agree(found, expected)
    inside = (found[:, :2] >= 0).all(1) & (found[:, :2] + found[:, 2:] <= [height, width]).all(1)
    assert (inside & (found[:, 2:] >= 1).all(1)).all()


def test_parts_have_uniform_areas_and_log_uniform_shapes():
    # Of a wide margin of areas that always fit, so that no try is refused: the laws are seen unmixed.
    found = np.asarray(random_resized(DRAWS, 1000, 1000, area=(0.1, 0.5)))
    share = found[:, 2] * found[:, 3] / 1e6
    shape = np.log(found[:, 3] / found[:, 2])
    for values, least, greatest in ((share, 0.1, 0.5), (shape, -np.log(4 / 3), np.log(4 / 3))):
        assert values.min() >= least - 0.002
        assert values.max() <= greatest + 0.002
        # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand.
        ranks = (np.sort(values) - least) / (greatest - least)
        assert np.abs(ranks - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / np.sqrt(4000)


@pytest.mark.parametrize(('side', 'shortest'), [(256, (256, 256)), (512, (256, 512)), (300, (256, 480))])
def test_squares_are_the_hosts(side, shortest):
    host = transforms.RandomCrop(224, shortest)
    draws = DRAWS[:800, :3]
    expected = [host.window(side, side, d) for d in draws.astype(np.float64)]
    agree(random_square(draws, side, side, size=224, shortest=shortest), expected)


def test_the_last_number_below_one_stays_inside():
    last = np.full((1, 40), np.nextafter(np.float32(1), np.float32(0)))
    for found in (random_square(last[:, :3], 256, 256, size=224), random_resized(last, 256, 256)):
        assert (np.asarray(found)[:, :2] + np.asarray(found)[:, 2:] <= 256).all()

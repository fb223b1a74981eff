"""The shuffle of an epoch at once against Grain's, one index at a time."""

import grain
import numpy as np
import pytest

from input_pipeline.order import index_batch
from input_pipeline.shuffle import is_flawed, permutation


@pytest.mark.parametrize('n', [1, 2, 7, 1000, 65536, 65538, 100_000, 2**18, 2**18 + 2])
@pytest.mark.parametrize('seed', [0, 2**32 - 1])
def test_is_grains(n, seed):
    found = permutation(n, seed)
    np.testing.assert_array_equal(np.bincount(found, minlength=n), 1)
    for i in {0, 1 % n, n // 3, n // 2, n - 1}:
        assert found[i] == grain.experimental.index_shuffle(i, max_index=n - 1, seed=seed, rounds=4)


def test_where_grain_repeats_an_index_every_example_still_comes_once():
    n = 4**8 + 1
    assert is_flawed(n)
    assert not any(is_flawed(other) for other in (4**8, 4**8 + 2, 2**17 + 1, 4**7 + 1, 2))
    grains = [grain.experimental.index_shuffle(i, max_index=n - 1, seed=3, rounds=4) for i in (0, n - 1)]
    assert grains[0] == grains[1]
    np.testing.assert_array_equal(np.bincount(permutation(n, 3)), 1)
    np.testing.assert_array_equal(np.bincount(index_batch(n, 0, n, 2)), 1)


def test_order_of_large_sets_is_grains_too():
    n = 2**18 + 100
    dataset = grain.MapDataset.range(n).seed(9).shuffle().repeat(None)
    np.testing.assert_array_equal(index_batch(n, 9, 5, n // 5), [dataset[n // 5 * 5 + row] for row in range(5)])

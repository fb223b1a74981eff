"""The vectorised Philox against NumPy's own generator."""

import numpy as np
import pytest

from input_pipeline.randomness import uniforms


@pytest.mark.parametrize('seed', [0, 1, 2**32 - 1])
def test_is_numpys_philox(seed):
    positions = np.array([0, 1, 2**31, 10**12])
    for count in (1, 4, 7, 40):
        expected = [np.random.Generator(np.random.Philox(key=(seed, int(p)))).random(count) for p in positions]
        np.testing.assert_array_equal(uniforms(seed, positions, count), expected)


def test_empty():
    assert uniforms(3, np.array([], np.int64), 5).shape == (0, 5)

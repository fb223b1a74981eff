"""Drift by hand: how far channels' means move in their own standard deviations."""

import numpy as np
import pytest

from cnn.analysis.drift import drift


def test_drift_by_hand():
    # Channel 0 has mean 0 and deviation 1, then mean 3 and deviation 1: three. Channel 1 never changes: zero.
    before = np.array([[-1.0, 5.0], [1.0, 7.0]])
    after = np.array([[2.0, 5.0], [4.0, 7.0]])
    found = drift([before, after])
    assert found['drift'] == pytest.approx((3 + 0) / 2)
    # Of two moments that differ in their spread, the root of the mean variance: deviations 1 and 3 are sqrt(5).
    wide = np.array([[1.0], [7.0]])
    assert drift([before[:, :1], wide])['drift'] == pytest.approx(4 / np.sqrt(5))
    assert found['quantiles'][0] == pytest.approx(np.quantile([-1, 5, 1, 7], (0.15, 0.5, 0.85)))


def test_scale_does_not_matter_and_shape_of_space_neither():
    rng = np.random.default_rng(0)
    values = [rng.normal(k, 1 + k, (4, 3, 3, 5)) for k in range(4)]
    flat = [v.reshape(-1, 5) for v in values]
    assert drift([7 * v for v in flat])['drift'] == pytest.approx(drift(values)['drift'])


def test_constant_channels_do_not_move_and_one_moment_is_refused():
    assert drift([np.zeros((2, 1)), np.ones((2, 1))])['drift'] == 0.0
    with pytest.raises(ValueError, match='two moments'):
        drift([np.zeros((2, 1))])
    with pytest.raises(ValueError, match='finite'):
        drift([np.zeros((2, 1)), np.full((2, 1), np.nan)])

"""Baselines on series whose future is known, and against scikit-learn and NumPy."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from cnn.analysis import series_baselines as baselines

RNG = np.random.default_rng(0)


def test_the_last_value_stays():
    assert baselines.last_value([[1, 2], [3, 4]], 3).tolist() == [[2, 2, 2], [4, 4, 4]]


def test_a_line_is_continued_and_noise_is_fitted_as_polyfit_does():
    line = 3 - 0.5 * np.arange(9)
    np.testing.assert_allclose(baselines.trend(line[None, :6], 3, 4), line[None, 6:])
    past = RNG.normal(size=(3, 7))
    for row, said in zip(past, baselines.trend(past, 2, 5), strict=True):
        np.testing.assert_allclose(said, np.polyval(np.polyfit(np.arange(5), row[-5:], 1), [5, 6]))


def test_an_autoregression_finds_its_own_coefficients():
    series = [1.0, 2.0]
    for _ in range(30):
        series.append(0.3 + 1.2 * series[-1] - 0.5 * series[-2])
    series = np.array(series)
    said = baselines.autoregression(series[:12], series[None, 8:12], 5, 2)
    np.testing.assert_allclose(said, series[None, 12:17], rtol=1e-6)
    # Each example goes on from its own past.
    both = baselines.autoregression(series[:12], np.stack([series[8:12], series[9:13]]), 3, 2)
    np.testing.assert_allclose(both[1], series[13:16], rtol=1e-6)


def test_a_series_too_short_for_its_order_says_the_last_value():
    assert baselines.autoregression(np.arange(6.0), np.array([[4.0, 9.0]]), 2, 3).tolist() == [[9, 9]]


def test_the_linear_map_is_least_squares():
    past, future, read = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 2)), RNG.normal(size=(5, 4))
    want = LinearRegression().fit(past, future).predict(read)
    np.testing.assert_allclose(baselines.linear_map(past, future, read), want, atol=1e-10)


@pytest.mark.parametrize('order', [1, 2, 3])
def test_no_baseline_reads_what_it_forecasts(order):
    """Shapes alone: everything is made from the past and what is fitted on."""
    said = baselines.autoregression(RNG.normal(size=20), RNG.normal(size=(2, 6)), 4, order)
    assert said.shape == (2, 4)
    assert np.isfinite(said).all()

"""Forecast errors by hand, padded and merged."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn.metrics import base
from cnn.metrics.forecasting import RootMeanSquare, Skill

ERRORS = jnp.asarray([[1.0, -3.0], [0.0, 2.0], [99.0, np.nan]])
NAIVE = jnp.asarray([[4.0, -4.0], [2.0, 2.0], [1.0, 1.0]])
MASK = jnp.asarray([1.0, 1.0, 0.0])


def test_values_by_hand_without_the_padding():
    # (1 + 9) / 2 = 5 and 4 / 2 = 2 average to 3.5; absolute errors 2 and 1 of the naive 4 and 2.
    assert RootMeanSquare.of(ERRORS, MASK).compute('rmse') == {'rmse': pytest.approx(3.5**0.5)}
    assert Skill.of(ERRORS, NAIVE, MASK).compute('skill') == {'skill': pytest.approx(1 - 3 / 6)}


def test_merging_is_scoring_the_whole():
    for make in (lambda e, n, m: RootMeanSquare.of(e, m), Skill.of):
        parts = [make(ERRORS[i : i + 1], NAIVE[i : i + 1], MASK[i : i + 1]) for i in range(3)]
        whole = make(ERRORS, NAIVE, MASK).compute('x')['x']
        assert base.merge(base.merge(*parts[:2]), parts[2]).compute('x')['x'] == pytest.approx(whole)


def test_nothing_scored_is_not_a_number():
    assert np.isnan(RootMeanSquare.of(ERRORS, 0 * MASK).compute('x')['x'])
    assert np.isnan(Skill.of(ERRORS, NAIVE, 0 * MASK).compute('x')['x'])

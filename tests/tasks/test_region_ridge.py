"""Regressions of boxes against the normal equations as the release writes them, and the sample of examples."""

import numpy as np
import pytest

from cnn.tasks.region_ridge import Examples, RidgeOptions, solve


def by_hand(x, y, ridge):
    """rcnn_train_bbox_regressor.m and rcnn_predict_bbox_regressor.m: what they predict for `x`."""
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    mean = y.mean(0)
    s = (y - mean).T @ (y - mean) / len(y)
    values, v = np.linalg.eigh(s)
    t, t_inverse = (v @ np.diag(d) @ v.T for d in (1 / np.sqrt(values + 0.001), np.sqrt(values + 0.001)))
    beta = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1])) @ x.T @ ((y - mean) @ t)
    return x @ beta @ t_inverse + mean


# More examples than features, and fewer.
@pytest.mark.parametrize('count', [60, 7])
def test_it_predicts_what_the_release_does(count):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 12)).astype(np.float32)
    y = (x[:, :4] * [0.1, 0.2, 0.05, 0.1] + 0.03 + 0.02 * rng.normal(size=(count, 4))).astype(np.float32)
    kernel, bias = solve(x, y, 5.0)
    assert kernel.dtype == bias.dtype == np.float32
    np.testing.assert_allclose(x @ kernel + bias, by_hand(x.astype(float), y.astype(float), 5.0), atol=2e-6)


def test_one_example_and_none():
    kernel, bias = solve(np.ones((1, 5), np.float32), np.float32([[0.1, -0.2, 0.3, 0.4]]), 1000.0)
    np.testing.assert_allclose(np.ones(5) @ kernel + bias, [0.1, -0.2, 0.3, 0.4], atol=1e-6)
    kernel, bias = solve(np.zeros((0, 5), np.float32), np.zeros((0, 4), np.float32), 1000.0)
    assert not kernel.any()
    assert not bias.any()


def test_examples_beyond_the_room_are_a_fair_sample():
    # 50 of 500 remain: each stays in a tenth of 300 samples, within five deviations.
    stayed = np.zeros(500)
    for seed in range(300):
        examples = Examples(2, seed=seed, room=50 * 2 * 4)
        for start in range(0, 500, 125):
            place = np.arange(start, start + 125)
            examples.add(np.tile(place[:, None], 2), np.tile(place[:, None], 4), place % 2)
        assert (examples.seen, examples.count) == (500, 50)
        for label in (0, 1):
            features, targets = examples.of(label)
            np.testing.assert_array_equal(features[:, 0], targets[:, 3])
            assert set(features[:, 0] % 2) <= {label}
            stayed[features[:, 0].astype(int)] += 1
    assert np.abs(stayed - 30).max() < 5 * np.sqrt(300 * 0.1 * 0.9)


def test_examples_that_fit_are_all_there_in_their_order():
    examples = Examples(1, seed=0, room=2**20)
    examples.add(np.float32([[1], [2], [3]]), np.zeros((3, 4), np.float32), np.int32([0, 1, 0]))
    np.testing.assert_array_equal(examples.of(0)[0], [[1], [3]])
    assert len(examples.of(5)[0]) == 0


@pytest.mark.parametrize(('fields', 'message'), [({'ridge': 0.0}, 'above 0'), ({'overlap': 1.0}, 'from 0 to 1')])
def test_senseless_options_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        RidgeOptions(**fields)

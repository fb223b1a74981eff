"""Machines against a general solver of the same problem, and mining followed step by step."""

import dataclasses

import numpy as np
import pytest
from scipy import optimize

from cnn.tasks.region_svm import NEVER, MachineOptions, Machines

EXACT = MachineOptions(c=0.05, tolerance=1e-7)
ROOM = 2**30


def solved(positive, negative, o):
    """The minimum of w w / 2 + (b / bias)^2 / 2 + c (2 sum of positive hinges + sum of negative ones), by slacks."""
    x, y = np.concatenate([positive, negative]), np.repeat([1.0, -1.0], [len(positive), len(negative)])
    x = np.concatenate([x, np.full((len(x), 1), o.bias)], 1)
    weight, depth = o.c * np.where(y > 0, o.positive_weight, 1.0), x.shape[1]
    result = optimize.minimize(
        lambda v: (v[:depth] @ v[:depth] / 2 + weight @ v[depth:]),
        np.concatenate([np.zeros(depth), np.ones(len(y))]),
        jac=lambda v: np.concatenate([v[:depth], weight]),
        bounds=[(None, None)] * depth + [(0, None)] * len(y),
        constraints={
            'type': 'ineq',
            'fun': lambda v: y * (x @ v[:depth]) - 1 + v[depth:],
            'jac': lambda v: np.concatenate([y[:, None] * x, np.eye(len(y))], 1),
        },
        method='SLSQP',
        options={'ftol': 1e-12, 'maxiter': 500},
    )
    assert result.success
    return result.x[: depth - 1], o.bias * result.x[depth - 1]


def clouds(seed=0, positives=8, negatives=20, depth=3):
    rng = np.random.default_rng(seed)
    return (rng.normal(1, 1, (positives, depth)).astype(np.float32),
            rng.normal(-1, 1, (negatives, depth)).astype(np.float32))  # fmt: skip


def test_a_machine_is_the_minimum_of_the_releases_objective():
    positive, negative = clouds()
    machines = Machines([positive], EXACT, seed=0, room=ROOM)
    machines.see(0, negative, np.zeros((len(negative), 1), np.float32))
    kernel, bias = solved(positive, negative, EXACT)
    np.testing.assert_allclose(machines.kernel[:, 0], kernel, atol=2e-3)
    assert machines.bias[0] == pytest.approx(bias, abs=2e-3)


def test_mining_is_the_releases_step_by_step():
    options = dataclasses.replace(EXACT, enough=6)
    positive, _ = clouds(1)
    rng = np.random.default_rng(2)
    images = [rng.normal(-0.5, 1.5, (12, 3)).astype(np.float32) for _ in range(5)]
    overlaps = [rng.choice([0.0, 0.29, 0.3, 0.9], (12, 1)).astype(np.float32) for _ in range(5)]
    machines = Machines([positive], options, seed=0, room=ROOM)
    for i in range(5):
        machines.see(i, images[i], overlaps[i])
    machines.finish()

    cache, added, kernel, bias = np.zeros((0, 3), np.float32), 0, None, None
    for i in range(5):
        wanted = overlaps[i][:, 0] < 0.3
        if i:
            wanted &= images[i] @ kernel + bias > -1.0001
        cache, added = np.concatenate([cache, images[i][wanted]]), added + wanted.sum()
        if not i or added > 6 or i == 4:
            kernel, bias = solved(positive, cache, options)
            cache, added = cache[cache @ kernel + bias >= -1.2], 0
    np.testing.assert_allclose(machines.kernel[:, 0], kernel, atol=5e-3)
    assert machines.bias[0] == pytest.approx(bias, abs=5e-3)


def test_what_is_known_is_not_learnt_twice():
    positive, negative = clouds(3)
    once = Machines([positive], EXACT, seed=0, room=ROOM)
    twice = Machines([positive], EXACT, seed=0, room=ROOM)
    nothing = np.zeros((len(negative), 1), np.float32)
    once.see(0, negative, nothing)
    for _ in range(3):
        twice.see(0, negative, nothing)
    # What was forgotten as easy may come back, as in the release; nothing counts double.
    assert twice._negatives[0].count <= len(negative)
    twice.finish()
    np.testing.assert_allclose(twice.kernel, once.kernel, atol=5e-3)


def test_classes_without_objects_or_negatives_say_no():
    positive, negative = clouds()
    machines = Machines([positive, positive[:0], positive], EXACT, seed=0, room=ROOM)
    overlap = np.zeros((len(negative), 3), np.float32)
    # Every region lies on an object of the third class.
    overlap[:, 2] = 1
    machines.see(0, negative[:0], overlap[:0])
    machines.see(1, negative, overlap)
    machines.finish()
    assert machines.kernel[:, 0].any()
    assert not machines.kernel[:, 1:].any()
    np.testing.assert_array_equal(machines.bias[1:], [NEVER, NEVER])


def test_memory_is_bounded_and_the_hardest_are_kept():
    rng = np.random.default_rng(0)
    options = dataclasses.replace(EXACT, easy=-100.0, hard=-50.0)
    # Room for 64 negatives of three numbers.
    machines = Machines([clouds()[0]], options, seed=0, room=64 * 3 * 4)
    for i in range(40):
        machines.see(i, rng.normal(-1, 1, (10, 3)).astype(np.float32), np.zeros((10, 1), np.float32))
        assert machines._negatives[0].count <= 64
    kept = machines._negatives[0].features() @ machines.kernel + machines.bias
    everything = np.random.default_rng(0).normal(-1, 1, (400, 3)) @ machines.kernel + machines.bias
    assert np.median(kept) > np.quantile(everything, 0.8)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [({'c': 0}, 'must be above 0'), ({'epochs': 0}, 'at least 1'), ({'easy': 0.0}, 'must not be above')],
)
def test_senseless_options_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MachineOptions(**fields)

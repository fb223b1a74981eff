"""Runs beside each other: the corrected paired test where there is one, and the honest sentence where there is none."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cnn.report import comparison, workdir
from tests.report import made

A, B, C = [0.91, 0.93, 0.92, 0.95], [0.88, 0.91, 0.91, 0.90], [0.5, 0.52, 0.49, 0.51]


def runs(tmp_path, **accuracies):
    return [workdir.read(made.cross_validation(tmp_path / name, values)) for name, values in accuracies.items()]


def nadeau_bengio(a, b, train=30, test=10):
    """By the formula of the paper: 30 and 10 of 40 examples in each of four folds."""
    d = np.subtract(a, b)
    error = np.sqrt((1 / len(d) + test / train) * d.var(ddof=1))
    t = d.mean() / error
    half = stats.t.ppf(0.975, len(d) - 1) * error
    return d.mean(), d.mean() - half, d.mean() + half, 2 * stats.t.sf(abs(t), len(d) - 1)


def test_the_same_folds_are_compared_by_the_corrected_test_and_all_p_values_are_adjusted(tmp_path):
    found = comparison.tests(runs(tmp_path, a=A, b=B, c=C))
    assert [(pair.a, pair.b) for pair in found] == [('a', 'b'), ('a', 'c'), ('b', 'c')]
    expected = [nadeau_bengio(x, y) for x, y in ((A, B), (A, C), (B, C))]
    for pair, (mean, low, high, p) in zip(found, expected, strict=True):
        test = pair.test
        np.testing.assert_allclose([test.difference, test.low, test.high, test.p_value], [mean, low, high, p])
    adjusted = multipletests([p for *_, p in expected], method='holm')[1]
    np.testing.assert_allclose([pair.adjusted for pair in found], adjusted)
    assert found[0].words == 'The interval holds zero: these folds do not tell them apart.'
    assert found[1].words == 'a is better on this interval.'


def test_of_losses_the_smaller_is_better(tmp_path):
    config = made.CONFIG | {'checkpoint': {'best_metric': 'loss'}}
    both = [workdir.read(made.cross_validation(tmp_path / n, v, config=config)) for n, v in (('a', A), ('c', C))]
    assert comparison.tests(both)[0].words == 'a is better on this interval.'


def test_equal_differences_are_no_certainty(tmp_path):
    (pair,) = comparison.tests(runs(tmp_path, a=[0.5, 0.75, 0.625, 0.5], b=[0.25, 0.5, 0.375, 0.25]))
    assert pair.test.p_value is None
    assert pair.words == ('The folds differ by the same amount each (none: equal values have no spread): no interval, '
                          'and no test.')  # fmt: skip


def test_where_no_test_is_possible_it_is_said_why(tmp_path):
    (cv,) = runs(tmp_path, cv=A)
    single = workdir.read(made.training(tmp_path / 'single'))
    other = workdir.read(made.cross_validation(tmp_path / 'other', A, divided=made.folds(seed=1)))
    ids = [f'cifar/{i}' for i in range(40)]
    elsewhere = workdir.read(
        made.cross_validation(tmp_path / 'else', A, config=made.CONFIG | {'dataset': 'cifar10'}, ids=ids)
    )
    by_time = [workdir.read(made.cross_validation(tmp_path / n, A, kind='expanding')) for n in ('t1', 't2')]
    half = made.cross_validation(tmp_path / 'half', A)
    made.write(half, 'folds.json', {'folds': [], 'settings': {}})

    def words(a, b):
        (pair,) = comparison.tests([a, b])
        assert pair.test is None
        assert pair.words.startswith('No test is possible: ')
        return pair.words

    assert 'single is a training, whose one score has no spread over trainings; cross-vali' in words(cv, single)
    assert 'their folds differ (0 of 4 test parts are the same); give the second run folds.file=' in words(cv, other)
    assert 'they were tested on different data (mnist_5k and cifar10)' in words(cv, elsewhere)
    assert 'expanding windows are no sample of one distribution' in words(*by_time)
    assert 'half is not finished' in words(cv, workdir.read(half))


def test_settings_that_differ_are_found_by_path(tmp_path):
    other = made.CONFIG | {'optimizer': {'learning_rate': 0.2}, 'more': {'steps': 3}}
    both = [workdir.read(made.training(tmp_path / n, config=c)) for n, c in (('a', made.CONFIG), ('b', other))]
    assert comparison.differences(both) == [('optimizer.learning_rate', [0.1, 0.2]), ('more.steps', [..., 3])]
    assert comparison.differences([both[0], both[0]]) == []


def test_holm_by_hand():
    assert comparison.holm([0.04, 0.01, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert comparison.holm([]) == []

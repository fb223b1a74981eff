"""Several runs beside each other: in what their settings differ, and what may be said of their scores.

Two cross-validations on the same folds are compared by the corrected paired test (cnn/analysis/fold_choice.py). Of
anything else no test is honest: one run's score has no spread that says how another training would come out.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnn.analysis import fold_statistics
from cnn.metrics.base import LESS_IS_BETTER
from cnn.report.workdir import Run


class Compared(NamedTuple):
    """Two runs.

    Attributes:
      a, b: their names.
      metric: that is compared.
      test: the paired test of a less b, None where there is none.
      adjusted: its p value among all tests of the page (Holm 1979), None where there is none.
      words: why there is no test, or which of the two is better as far as the interval says.
    """

    a: str
    b: str
    metric: str
    test: fold_statistics.PairedTest | None
    adjusted: float | None
    words: str


def flat(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Settings by path: `{'optimizer.learning_rate': 0.1}`."""
    found = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f'{prefix}{key}.')
        else:
            found[f'{prefix}{key}'] = value
    return found


def differences(runs: Sequence[Run]) -> list[tuple[str, list[Any]]]:
    """(path, each run's value) of the settings that are not the same in all; `...` where a run has no such setting."""
    configs = [flat(run.config) for run in runs]
    paths = dict.fromkeys(path for config in configs for path in config)
    rows = [(path, [config.get(path, ...) for config in configs]) for path in paths]
    return [(path, values) for path, values in rows if any(value != values[0] for value in values)]


def tests(runs: Sequence[Run]) -> list[Compared]:
    """Every pair of runs in their order, tested where that is legitimate."""
    found = [_compare(a, b) for a, b in itertools.combinations(runs, 2)]
    values = [pair.test.p_value for pair in found if pair.test and pair.test.p_value is not None]
    adjusted = dict(zip(_ranked(values), holm(values), strict=True))
    rank = iter(range(len(values)))
    return [
        pair._replace(adjusted=adjusted[next(rank)]) if pair.test and pair.test.p_value is not None else pair
        for pair in found
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, smallest first."""
    adjusted, highest = [], 0.0
    for k, p in enumerate(sorted(p_values)):
        highest = max(highest, min(1.0, (len(p_values) - k) * p))
        adjusted.append(highest)
    return adjusted


def _ranked(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=lambda i: p_values[i])


def _compare(a: Run, b: Run) -> Compared:
    metric = main_metric(a)
    reason = _why_not(a, b, metric)
    if reason:
        return Compared(a.name, b.name, metric, None, None, f'No test is possible: {reason}.')
    folds, others = a.documents['folds'], b.documents['folds']
    sizes = {'n_train': [len(f['train_ids']) for f in folds['folds']],
             'n_test': [len(f['test_ids']) for f in folds['folds']]}  # fmt: skip
    kind = folds.get('settings', {}).get('kind', 'stratified')
    test = fold_statistics.paired_test(folds['values'][metric], others['values'][metric], kind=kind, **sizes)
    return Compared(a.name, b.name, metric, test, None, _verdict(a, b, metric, test))


def main_metric(run: Run) -> str:
    """What the run is judged by."""
    return run.config.get('checkpoint', {}).get('best_metric', 'loss')


def _why_not(a: Run, b: Run, metric: str) -> str:
    for run in (a, b):
        folds = run.documents.get('folds', {})
        if run.kind != 'cross-validation':
            return f'{run.name} is a {run.kind}, whose one score has no spread over trainings; cross-validate both'
        if 'mean' not in folds:
            return f'{run.name} is not finished'
        if not isinstance(folds.get('values', {}).get(metric), list):
            return f'{run.name} has no {metric} of each fold'
    ours, theirs = a.documents['folds'], b.documents['folds']
    if a.config.get('dataset') != b.config.get('dataset'):
        return f'they were tested on different data ({a.config.get("dataset")} and {b.config.get("dataset")})'
    if _tested(ours) != _tested(theirs):
        same = sum(x == y for x, y in zip(_tested(ours), _tested(theirs), strict=False))
        return (f'their folds differ ({same} of {max(len(_tested(ours)), len(_tested(theirs)))} test parts are the '
                'same); give the second run folds.file=, the first one\'s folds.json')  # fmt: skip
    kind = ours.get('settings', {}).get('kind', 'stratified')
    if kind in ('rolling', 'expanding'):
        return f'{kind} windows are no sample of one distribution'
    return 'there is one fold' if len(_tested(ours)) < 2 else ''


def _tested(folds: Mapping[str, Any]) -> list[tuple[list[str], list[str]]]:
    return [(fold.get('train_ids', []), fold.get('test_ids', [])) for fold in folds.get('folds', [])]


def _verdict(a: Run, b: Run, metric: str, test: fold_statistics.PairedTest) -> str:
    if test.low is None:
        return f'The folds differ by the same amount each ({test.method}): no interval, and no test.'
    if test.low <= 0 <= test.high:
        return 'The interval holds zero: these folds do not tell them apart.'
    better = a if (test.difference > 0) != (metric in LESS_IS_BETTER) else b
    return f'{better.name} is better on this interval.'

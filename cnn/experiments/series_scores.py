"""Forecasts of several methods for the same test windows, and what is said about their errors."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn.analysis import fold_statistics, series_baselines
from cnn.experiments.series_folds import Division

# Lengths of straight lines, orders of autoregressions and values that the linear map reads: validation windows choose.
POINTS = (2, 3, 5, 8)
ORDERS = (1, 2, 3, 4)
READ = (2, 3, 4, 6, 8, 16)
MEANING = (
    'intervals are over subjects: what other subjects of this kind would give in these years with these models. They '
    'say nothing of other years, and are too narrow where subjects move together, as neighbouring countries do'
)


@dataclasses.dataclass
class Rows:
    """The M test examples that every method forecasts.

    Attributes:
      examples: int `[M]`, of the source, sorted.
      subject, window: int `[M]`: whose, and which test window, the earliest 0.
      past: float64 `[M, T]`; truth: float64 `[M, H]`; step: float64 `[M]`, the subject's own in its training part.
    """

    examples: np.ndarray
    subject: np.ndarray
    window: np.ndarray
    past: np.ndarray
    truth: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, source: Any, divisions: Sequence[Division]) -> 'Rows':
        """The test examples of a scheme's folds."""
        examples = np.concatenate([d.test for d in divisions])
        window = np.repeat([d.index for d in divisions], [len(d.test) for d in divisions])
        step = np.concatenate([source.select(d.train).statistics()[1][source.subject[d.test]] for d in divisions])
        order = np.argsort(examples)
        examples, window, step = examples[order], window[order], step[order]
        past, truth = windows_of(source, examples)
        return cls(examples, source.subject[examples], window, past, truth, step)

    def place(self, examples: np.ndarray) -> np.ndarray:
        """Where these examples stand among the rows."""
        return np.searchsorted(self.examples, examples)

    def per_subject(self, errors: np.ndarray) -> np.ndarray:
        """Errors `[M]` averaged over each subject's windows, in the order of the subjects."""
        groups = np.unique(self.subject, return_inverse=True)[1]
        return np.bincount(groups, errors) / np.bincount(groups)


@dataclasses.dataclass
class Method:
    """What one method said.

    Attributes:
      name: for people.
      forecasts: float64 `[K, M, H]`, of K seeds; their errors are averaged, not the forecasts.
      trained: whether it is a network.
    """

    name: str
    forecasts: np.ndarray
    trained: bool = False

    def errors(self, rows: Rows) -> np.ndarray:
        """Absolute errors `[M, H]`."""
        return np.abs(self.forecasts - rows.truth).mean(0)


def windows_of(source: Any, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[M, T]` and `[M, H]` float64: what examples read and what they forecast."""
    past, future = (source.arrays[name][examples].astype(np.float64) for name in ('past', 'future'))
    return past[..., 0], future


def baselines(source: Any, own: Sequence[Division], everyone: Sequence[Division], rows: Rows) -> dict[str, Method]:
    """Methods without a network.

    How many points a straight line goes through and how many values an autoregression and the linear map read is chosen
    on the validation windows of each test window, for all subjects together that it forecasts.

    Args:
      own: folds in which each tested subject's own past can be found: those of either scheme.
      everyone: the population-informed folds, for one linear map fitted on all subjects; none where there are none.
    """
    horizon = source.horizon
    found = {'naive': Method('last value', series_baselines.last_value(rows.past, horizon)[None])}
    trend, auto = np.empty((2, 1, *rows.truth.shape))
    for window in np.unique(rows.window):
        at = [d for d in own if d.index == window]
        # Each tested subject's own windows, and its validation examples.
        fitted = {w.subject: w for d in at for w in d.fold.train if w.subject in d.tested}
        refitted = {w.subject: w for d in at for w in d.refit if w.subject in d.tested}
        tested = sorted(fitted)
        validation = np.unique(np.concatenate([d.validation for d in at]))
        validation = validation[np.isin(source.subject[validation], tested)]
        here = np.flatnonzero(rows.window == window)
        past, truth = windows_of(source, validation)

        def lines(points, past=past):
            return series_baselines.trend(past, horizon, points)

        def autoregressions(order, examples=validation, windows=fitted, past=past):
            return _autoregressions(source, examples, windows, past, order)

        points = min([p for p in POINTS if p <= source.past], key=lambda p: np.abs(lines(p) - truth).mean())
        order = min([p for p in ORDERS if p <= source.past], key=lambda p: np.abs(autoregressions(p) - truth).mean())
        trend[0, here] = lines(points, rows.past[here])
        auto[0, here] = autoregressions(order, rows.examples[here], refitted, rows.past[here])
    found['trend'] = Method('straight line, own past', trend)
    found['autoregression'] = Method('autoregression, own past', auto)
    if everyone:
        found['linear'] = Method('linear map, all subjects', _linear(source, everyone, rows)[None])
    return found


def _autoregressions(source, examples, windows, past, order) -> np.ndarray:
    """Each example's forecast by a model fitted on its subject's window."""
    found = np.empty((len(examples), source.horizon))
    for subject in np.unique(source.subject[examples]):
        rows, window = np.flatnonzero(source.subject[examples] == subject), windows[subject]
        series = source.panel.values[subject][window.start : window.stop]
        found[rows] = series_baselines.autoregression(series, past[rows], source.horizon, order)
    return found


def _linear(source, divisions, rows: Rows) -> np.ndarray:
    """One map for all subjects, from changes to changes in each subject's steps, fitted on a fold's training part."""
    found, counts = np.empty_like(rows.truth), [n for n in READ if n <= source.past]
    for d in divisions:
        truth = windows_of(source, d.validation)[1]
        errors = [np.abs(_mapped(source, d.inner_train, d.validation, n) - truth).mean() for n in counts]
        found[rows.place(d.test)] = _mapped(source, d.train, d.test, counts[int(np.argmin(errors))])
    return found


def _mapped(source, train: np.ndarray, test: np.ndarray, count: int) -> np.ndarray:
    """Forecasts of test examples, from their last `count` values."""
    step = source.select(train).statistics()[1]
    step = np.where(step > 0, step, 1.0)[:, None]
    (past, future), (read, _) = windows_of(source, train), windows_of(source, test)
    scale, own = step[source.subject[train]], step[source.subject[test]]
    last, now = past[:, -1:], read[:, -1:]
    # The last change is zero always.
    seen, asked = ((x[:, -count:-1] - at) / s for x, at, s in ((past, last, scale), (read, now, own)))
    return now + own * series_baselines.linear_map(seen, (future - last) / scale, asked)


def summarise(method: Method, rows: Rows, confidence: float = 0.95) -> dict[str, Any]:
    """A method's mean errors, with intervals over subjects where these exist."""
    errors = method.errors(rows).mean(1)
    defined = rows.step > 0
    per_subject = {'mae': rows.per_subject(errors)}
    if defined.all():
        per_subject['mase'] = rows.per_subject(errors / rows.step)
    found = {name: fold_statistics.over_subjects(values, confidence) for name, values in per_subject.items()}
    squares = np.square(method.forecasts - rows.truth).mean((1, 2))
    naive = np.abs(rows.past[:, -1:] - rows.truth).mean()
    more = {'rmse': float(np.sqrt(squares).mean()), 'skill': float(1 - errors.mean() / naive)}
    if not defined.all():
        more['mase'] = float((errors[defined] / rows.step[defined]).mean()) if defined.any() else float('nan')
    alone = 'none: a ratio or a root of means over all subjects'
    return {
        'mean': {name: i.mean for name, i in found.items()} | more,
        # Errors are not negative, which t does not know.
        'interval': {n: None if i.low is None else [max(0.0, i.low), i.high] for n, i in found.items()}
        | dict.fromkeys(more),
        'interval_method': {name: i.method for name, i in found.items()} | dict.fromkeys(more, alone),
        'confidence': confidence,
        'standard_error': {name: i.standard_error for name, i in found.items()} | dict.fromkeys(more),
        'n_subjects': len(per_subject['mae']),
        'n_windows': len(np.unique(rows.window)),
        'seeds': len(method.forecasts),
        'mae_by_window': [float(errors[rows.window == w].mean()) for w in np.unique(rows.window)],
        'mae_ahead': method.errors(rows).mean(0).tolist(),
    }


def compare(a: Method, b: Method, rows: Rows) -> dict[str, Any]:
    """The difference of two methods' errors, subject by subject: below zero, `a` is better."""
    one, other = (rows.per_subject(method.errors(rows).mean(1)) for method in (a, b))
    found = fold_statistics.over_subjects(one - other)
    ends = [found.low, found.high] if found.low is not None else None
    return {'a': a.name, 'b': b.name, 'difference': found.mean, 'interval': ends, 'method': found.method,
            'a_better': int((one < other).sum()), 'n_subjects': len(one)}  # fmt: skip


def of_networks(rows: Rows, tables: Sequence[Sequence[Mapping[str, np.ndarray]]], name: str) -> Method:
    """The forecasts of a scheme's folds, `tables` of one list a seed, as a method."""
    forecasts = np.full((len(tables), *rows.truth.shape), np.nan)
    for k, seed in enumerate(tables):
        for table in seed:
            forecasts[k, rows.place(table['index'])] = table['forecast']
    if np.isnan(forecasts).any():
        raise ValueError(f'{name}: a test window has no forecast, or one that is not a number')
    return Method(name, forecasts, trained=True)

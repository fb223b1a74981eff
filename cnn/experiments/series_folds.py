"""A config's folds by time as examples to train and test on, and the assertion that training comes first."""

import dataclasses
from typing import Any

import numpy as np

from cnn.experiments.errors import UserError, nearest
from input_pipeline import series_folds, splits
from input_pipeline.series_folds import SeriesFold, Window

SCHEMES = ('regular', 'population_informed')


@dataclasses.dataclass(frozen=True)
class Division:
    """One outer fold of a scheme, as examples of the source.

    Attributes:
      name: unique over both schemes.
      fold: its windows; `refit` are those of training and validation together.
      inner_train, validation: what settings are chosen on.
      train, test: what the chosen ones are fitted on, and the estimate is made on.
    """

    name: str
    fold: SeriesFold
    refit: tuple[Window, ...]
    inner_train: np.ndarray
    validation: np.ndarray
    train: np.ndarray
    test: np.ndarray

    @property
    def index(self) -> int:
        """Which test window, the earliest first."""
        return self.fold.index

    @property
    def tested(self) -> set[int]:
        """The subjects that it tests."""
        return {w.subject for w in self.fold.test}


def schemes(config) -> tuple[str, ...]:
    """The schemes that `folds.kind` names."""
    kind = config.folds.kind
    if kind not in ('both', *SCHEMES):
        raise UserError(f'config.folds.kind={kind!r} is no scheme for series; {nearest(kind, ("both", *SCHEMES))}')
    return SCHEMES if kind == 'both' else (kind,)


def tested(config, panel) -> list[int]:
    """The subjects that are tested: at most `folds.subjects` of them, drawn by the hash of their names, or all."""
    count = config.folds.subjects or len(panel.subjects)
    return sorted(int(i) for i in splits.hash_order(panel.subjects)[:count])


def divisions(config, source: Any, scheme: str) -> list[Division]:
    """The outer folds of a scheme.

    Raises:
      UserError: a window that holds no example. ValueError: as `input_pipeline.series_folds.split_series`.
    """
    c, chaining = config.folds, config.folds.division == 'forward_chaining'
    folds = series_folds.split_series(
        source.panel.clocks(),
        scheme=c.division,
        information=scheme,
        window=c.window,
        count=c.count,
        test_size=c.test_size or (source.horizon if chaining else 0),
        validation_size=c.validation_size or (source.horizon if chaining else 0),
        train_size=c.train_size,
        gap=c.gap,
        others=c.others,
    )
    chosen, found = set(tested(config, source.panel)), []
    for fold in folds:
        fold = fold._replace(test=tuple(w for w in fold.test if w.subject in chosen))
        if fold.test:
            found.append(_division(source, scheme, fold, c.window))
    return found


def _division(source, scheme: str, fold: SeriesFold, window: str) -> Division:
    refit = refitted(fold, window)
    series_folds.assert_forward(fold._replace(train=refit, validation=()), source.panel.clocks())
    parts = {
        'inner_train': source.inside(fold.train),
        'validation': source.forecasting(fold.validation),
        'train': source.inside(refit),
        'test': source.forecasting(fold.test),
    }
    for role, windows in (('inner_train', fold.train), ('validation', fold.validation), ('test', fold.test)):
        if not len(parts[role]):
            length = max(w.stop - w.start for w in windows)
            needs = source.horizon + (source.past if role == 'inner_train' else 0)
            raise UserError(
                f'{scheme}, {fold.name}: no example lies in the {role.removeprefix("inner_")} windows, which have '
                f'{length} values at most; it takes {needs}: lower image_size (the past), series.horizon or folds.count'
            )
    for fitted, scored in ((parts['inner_train'], parts['validation']), (parts['train'], parts['test'])):
        assert_before(source, fitted, scored, everyone=fold.others == 'before')
    return Division(f'{scheme}_{fold.name}', fold, refit, **parts)


def refitted(fold: SeriesFold, window: str) -> tuple[Window, ...]:
    """Each subject's training and validation windows as one; rolling ones keep their length and move on."""
    stops = {w.subject: w.stop for w in fold.validation}
    found = []
    for w in fold.train:
        stop = stops.get(w.subject, w.stop)
        found.append(Window(w.subject, stop - (w.stop - w.start) if window == 'rolling' else w.start, stop))
    return tuple(found)


def assert_before(source, fitted: np.ndarray, scored: np.ndarray, *, everyone: bool) -> None:
    """Raises AssertionError unless all that is fitted on lies before all that the scored examples forecast.

    Args:
      fitted, scored: examples of the source.
      everyone: on the clock, for all subjects; else for each scored subject's own.
    """
    def ends(rows):
        """The last value of each example, and the first that it forecasts."""
        return source.subject[rows], source.origin[rows] + source.horizon, source.origin[rows] + 1

    (subject, last, _), (tested_subject, _, first) = ends(fitted), ends(scored)
    earliest = np.full(len(source.panel.subjects), np.iinfo(np.int64).max)
    np.minimum.at(earliest, tested_subject, first)
    late = last >= earliest[subject]
    if everyone:
        times, bases = np.concatenate(source.panel.times), source.panel.bases
        start = times[bases[tested_subject] + first].min()
        late |= times[bases[subject] + last] >= start
    if late.any():
        example = source.example_id(int(fitted[np.flatnonzero(late)[0]]))
        raise AssertionError(f'training on {example} reaches into the time of what is scored')

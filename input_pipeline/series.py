"""Time series as examples: `past` values of one subject and the `horizon` that follow, all in arrays from the start.

Examples are numbered by subject, then by time. `train` and `test` are divided by time: an example trains if all of it
lies in the first four fifths of the panel's clock, and tests if all that it forecasts lies in the rest (what it reads
may lie before). `all` has every example, for folds by time.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from input_pipeline import datasets, series_csv, splits
from input_pipeline.series_panel import Panel, fertility
from input_pipeline.series_windows import Window
from input_pipeline.source import Source

PAST, HORIZON = 16, 5
TRAIN_SHARE = 0.8


class Curve(NamedTuple):
    """One example as a picture shows it: times and values that are read, and those that follow."""

    name: str
    past_times: np.ndarray
    past: np.ndarray
    times: np.ndarray
    values: np.ndarray


def is_series(name: str) -> bool:
    """Whether a data set holds series."""
    if datasets.is_path(name):
        return name.startswith('series:')
    return 'series' in datasets.info(name).provides


def load_panel(name: str) -> Panel:
    """The series of a data set: `fertility` or `series:PATH.csv`.

    Raises:
      ValueError: another data set, or a file with a fault.
    """
    if name.startswith('series:'):
        return series_csv.read(name.partition(':')[2])
    datasets.info(name).require('series')
    return {'fertility': fertility}[name]()


def load(name: str, split: str, *, past: int = PAST, horizon: int = HORIZON, subjects: int = 0) -> 'SeriesSource':
    """Examples of a split: `train`, `test` or `all`.

    Args:
      past: values that a forecast is made from.
      horizon: values that are forecast.
      subjects: so many of them, drawn by the hash of their names; 0 for all.

    Raises:
      ValueError: as `load_panel`; another split or a slice of one; a subject that is too short.
    """
    return SeriesSource.of(load_panel(name).only(subjects), past, horizon).part(split)


class SeriesSource(Source):
    """N examples of a panel.

    Attributes:
      panel: the series.
      past, horizon: T and H.
      subject: int32 `[N]`, which subject.
      origin: int64 `[N]`, the place of the last value that is read in that subject's series.
    """

    def __init__(self, panel: Panel, info, split: str, past: int, subject: np.ndarray, origin: np.ndarray):
        self.panel, self.info, self.split = panel, info, split
        self.past, self.horizon = past, info.num_classes
        self.subject, self.origin = np.asarray(subject, np.int32), np.asarray(origin, np.int64)

    @classmethod
    def of(cls, panel: Panel, past: int, horizon: int) -> 'SeriesSource':
        """Every example of a panel.

        Raises:
          ValueError: sizes below 1, or a subject without a single example.
        """
        if past < 1 or horizon < 1:
            raise ValueError(f'series of {past} past values and a horizon of {horizon}: both are 1 or more')
        counts = np.array([len(values) - past - horizon + 1 for values in panel.values])
        if (counts < 1).any():
            short = int(np.flatnonzero(counts < 1)[0])
            raise ValueError(
                f'{panel.name}: subject {panel.subjects[short]!r} has {len(panel.values[short])} values; {past} past '
                f'ones and a horizon of {horizon} need {past + horizon}'
            )
        subject = np.repeat(np.arange(len(counts)), counts)
        origin = np.concatenate([np.arange(past - 1, past - 1 + count) for count in counts])
        return cls(panel, _info(panel, horizon), 'all', past, subject, origin)

    def part(self, split: str) -> 'SeriesSource':
        """The examples of `train`, `test` or `all`; see the top of this file.

        Raises:
          ValueError: another split, one without an example, a subject with none to train on.
        """
        name = splits.native_name(self.info, splits.parse(split)[0])
        if name != split.strip():
            raise ValueError(f'{self.panel.name}: split {split!r} is a slice; series are divided by time: write {name}')
        if name == 'all':
            return self
        clock = np.unique(np.concatenate(self.panel.times))
        cut = clock[round(TRAIN_SHARE * (len(clock) - 1))]
        stops = np.array([np.searchsorted(times, cut) for times in self.panel.times])[self.subject]
        trains = self.origin + self.horizon < stops
        chosen = np.flatnonzero(trains if name == 'train' else self.origin + 1 >= stops)
        without = np.setdiff1d(np.unique(self.subject), self.subject[trains])
        if len(without):
            raise ValueError(
                f'{self.panel.name}: subject {self.panel.subjects[without[0]]!r} has too few values before {cut}, the '
                f'end of training, for {self.past} past ones and a horizon of {self.horizon}'
            )
        if not len(chosen):
            raise ValueError(
                f'{self.panel.name}: from {cut} on, where testing begins, there is no horizon of {self.horizon}'
            )
        return self._with(name, chosen)

    def __len__(self) -> int:
        return len(self.subject)

    @property
    def labels(self) -> np.ndarray:
        """Series have no classes."""
        raise ValueError(f'{self.panel.name} has series, and no class of an example')

    def example_id(self, i: int) -> str:
        """`subject@time` of the last value that is read."""
        subject = self.subject[i]
        return f'{self.panel.subjects[subject]}@{self.panel.times[subject][self.origin[i]]}'

    def read(self, i: int) -> dict[str, Any]:
        """`past` float32 `[T, 1]`, `future` float32 `[H]`, `subject` int."""
        at = self._first(int(i))
        values = self.panel.flat[at : at + self.past + self.horizon].astype(np.float32)
        return {'past': values[: self.past, None], 'future': values[self.past :], 'subject': int(self.subject[i])}

    @property
    def unit(self) -> str:
        """Of the values."""
        return self.panel.unit

    def curve(self, i: int) -> Curve:
        """Example `i` for a picture."""
        subject, here = self.subject[i], self.origin[i] + 1
        times, values = self.panel.times[subject], self.panel.values[subject]
        read, follow = slice(here - self.past, here), slice(here, here + self.horizon)
        return Curve(self.panel.subjects[subject], times[read], values[read], times[follow], values[follow])

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """`past` float32 `[N, T, 1]`, `future` float32 `[N, H]` and `subject` int32 `[N]` of all examples."""
        windows = self.panel.flat[self._first()[:, None] + np.arange(self.past + self.horizon)].astype(np.float32)
        return {'past': windows[:, : self.past, None], 'future': windows[:, self.past :], 'subject': self.subject}

    def fingerprint(self) -> str:
        digest = hashlib.sha256(f'{self.panel.digest}|{self.past}|{self.horizon}'.encode())
        for array in (self.subject, self.origin):
            digest.update(array.astype('<i8').tobytes())
        return digest.hexdigest()[:16]

    def select(self, indices: Sequence[int] | np.ndarray) -> 'SeriesSource':
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        if not len(indices):
            raise ValueError(f'{self.panel.name}: a selection needs at least one index')
        return self._with(self.split, indices)

    def inside(self, windows: Sequence[Window]) -> np.ndarray:
        """Sorted indices of the examples of which all, what is read and what is forecast, lies in the windows."""
        start, stop = self._bounds(windows)
        return np.flatnonzero((self.origin - self.past + 1 >= start) & (self.origin + self.horizon < stop))

    def forecasting(self, windows: Sequence[Window]) -> np.ndarray:
        """Sorted indices of the examples whose forecast lies in the windows; what they read may lie before."""
        start, stop = self._bounds(windows)
        return np.flatnonzero((self.origin + 1 >= start) & (self.origin + self.horizon < stop))

    def seen(self) -> np.ndarray:
        """bool over the panel's values, in the order of `panel.ids()`: those that an example reads or forecasts."""
        return self._covered(self._first(), self.past + self.horizon)

    def forecast(self) -> np.ndarray:
        """bool over the panel's values: those that an example forecasts."""
        return self._covered(self._first() + self.past, self.horizon)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the values seen here, and of no others, float64 `[S]`: the mean, and the mean absolute change in a step.

        Zero for subjects of which nothing is seen. The second is the in-sample error of the naive forecast, by which
        Hyndman and Koehler (2006) scale errors.
        """
        seen, of, values = self.seen(), self.panel.subject_of, self.panel.flat
        count = len(self.panel.subjects)
        pairs = np.flatnonzero(seen[1:] & seen[:-1] & (of[1:] == of[:-1]))
        changes = np.abs(np.diff(values))[pairs]
        return _means(of[seen], values[seen], count), _means(of[pairs], changes, count)

    def _with(self, split: str, chosen: np.ndarray) -> 'SeriesSource':
        return SeriesSource(self.panel, self.info, split, self.past, self.subject[chosen], self.origin[chosen])

    def _first(self, i: int | None = None):
        """Where the examples begin among all values of the panel."""
        which = slice(None) if i is None else i
        return self.panel.bases[self.subject[which]] + self.origin[which] - self.past + 1

    def _bounds(self, windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray]:
        bounds = np.zeros((2, len(self.panel.subjects)), np.int64)
        for window in windows:
            if bounds[1, window.subject]:
                raise ValueError(f'two windows of subject {window.subject}: examples lie in one')
            bounds[:, window.subject] = window.start, window.stop
        return bounds[0][self.subject], bounds[1][self.subject]

    def _covered(self, first: np.ndarray, length: int) -> np.ndarray:
        edges = np.zeros(len(self.panel.flat) + 1, np.int64)
        np.add.at(edges, first, 1)
        np.add.at(edges, first + length, -1)
        return np.cumsum(edges[:-1]) > 0


def _means(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    sums = np.bincount(groups, values, minlength=count)
    return sums / np.maximum(np.bincount(groups, minlength=count), 1)


def _info(panel: Panel, horizon: int) -> datasets.DatasetInfo:
    if panel.name in datasets.CATALOGUE:
        return dataclasses.replace(datasets.info(panel.name), num_classes=horizon, class_names=panel.subjects)
    return datasets.DatasetInfo(
        name=panel.name,
        num_classes=horizon,
        class_names=panel.subjects,
        provides=('series',),
        splits=datasets.SERIES_SPLITS,
        evaluation_split='test',
        licence="the owner's",
    )


"""Windows of time series: one subject's training, validation and test windows, and the other subjects' on its clock."""

from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """Values `start` to `stop - 1` of subject number `subject`, in that subject's order of time."""

    subject: int
    start: int
    stop: int


class Sizes(NamedTuple):
    """Numbers of values, 0 where they follow from the length: see `series_folds.split_series`."""

    test: int = 0
    validation: int = 0
    train: int = 0
    gap: int = 0


def clock(name: str, times) -> np.ndarray:
    """The times of a subject as an array; ValueError where they are no numbers or dates, or do not increase."""
    times = np.asarray(times)
    if times.ndim != 1 or not (np.issubdtype(times.dtype, np.number) or times.dtype.kind == 'M'):
        raise ValueError(f'the times of subject {name!r} are not numbers or dates')
    wrong = np.flatnonzero(~(times[1:] > times[:-1]))
    if len(wrong):
        where = int(wrong[0]) + 1
        raise ValueError(f'the times of subject {name!r} do not increase at value {where}: {times[where]}')
    return times


def own_windows(name: str, n: int, count: int, rolling: bool, sizes: Sizes):
    """(train, validation, test) of a subject of `n` values as pairs (start, stop), the earliest test first.

    Raises:
      ValueError: where the first training window would be empty, or shorter than a rolling one is asked to be.
    """
    first = n - count * sizes.test - sizes.validation - 2 * sizes.gap
    least = max(1, sizes.train if rolling else 1)
    if first < least:
        windows = f'{count} test windows of {sizes.test}' if count > 1 else f'a test window of {sizes.test}'
        raise ValueError(f'subject {name!r} has {n} values; {windows} and what comes before need {n - first + least}')
    folds = []
    for k in range(count):
        test = n - (count - k) * sizes.test
        validation = test - sizes.gap - sizes.validation
        stop = validation - sizes.gap
        start = stop - (sizes.train or first) if rolling else 0
        folds.append(((start, stop), (validation, validation + sizes.validation), (test, test + sizes.test)))
    return folds


def with_others(subject: int, train, validation, clocks, *, rolling: bool, any_time: bool):
    """Everyone's training and validation windows, cut on the tested subject's clock; empty ones are left out."""
    own = clocks[subject]
    trains, validations = [], []
    for k, other in enumerate(clocks):
        if k == subject:
            trains.append(Window(k, *train))
            validations.append(Window(k, *validation))
        elif any_time:
            trains.append(Window(k, 0, len(other)))
        else:
            # own[stop] is the first time that the part does not reach.
            start = int(np.searchsorted(other, own[train[0]])) if rolling else 0
            trains.append(Window(k, start, int(np.searchsorted(other, own[train[1]]))))
            validations.append(Window(k, *(int(np.searchsorted(other, own[v])) for v in validation)))
    return tuple(tuple(w for w in windows if w.start < w.stop) for windows in (trains, validations))

"""Nested cross-validation of several subjects' time series: training always before validation before testing.

The schemes are Cochrane's (Time Series Nested Cross-Validation, 2018). Outer folds, one subject tested at a time:

  second_half       test on the later half, once
  forward_chaining  test on each of the last windows in turn ("day forward chaining", where a window is a day)

and what a model may be trained on:

  regular              the tested subject's own past
  population_informed  the other subjects as well. Cochrane takes all of their data, also what lies after the test's
                       start, because subjects are independent; events common to all (a year, a policy) would then leak.
                       Here others count only until the test's start unless `others='any_time'` asks for his variant.

Training parts grow (`expanding`) or move on at one length (`rolling`). The folds' values are no sample of one
distribution; what interval is legitimate stands in cnn/analysis/fold_interval.py.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from input_pipeline.datasets import nearest
from input_pipeline.series_windows import Sizes, Window, clock, own_windows, with_others

__all__ = ['SeriesFold', 'Window', 'assert_forward', 'ids_of', 'split_series']

_WORDS = {
    'scheme': ('second_half', 'forward_chaining'),
    'information': ('regular', 'population_informed'),
    'window': ('expanding', 'rolling'),
    'others': ('before', 'any_time'),
}


class SeriesFold(NamedTuple):
    """One outer fold.

    Attributes:
      name: unique among the folds, letters that a folder's name may have.
      index: which test window, from 0, the earliest first.
      train, validation: what may be fitted on and selected by, of one or of all subjects.
      test: the windows that are scored, of several subjects where these share `train` and `validation`.
      others: `before` or `any_time`: what `assert_forward` holds other subjects to.
    """

    name: str
    index: int
    train: tuple[Window, ...]
    validation: tuple[Window, ...]
    test: tuple[Window, ...]
    others: str = 'before'


def split_series(
    times: Mapping[str, Sequence],
    *,
    scheme: str = 'forward_chaining',
    information: str = 'regular',
    window: str = 'expanding',
    count: int = 5,
    test_size: int = 0,
    validation_size: int = 0,
    train_size: int = 0,
    gap: int = 0,
    others: str = 'before',
) -> list[SeriesFold]:
    """The outer folds, each with its inner division into training and validation.

    Args:
      times: subject -> its time points, strictly increasing, all subjects on one clock; `range(n)` where only the order
        is known.
      scheme, information, window, others: see above.
      count: test windows of forward chaining; `second_half` has one.
      test_size: values in a test window; 0 for an equal share, n // (count + 2): the first fold then has as much for
        validation and at least as much for training. `second_half` tests on n // 2.
      validation_size: 0 for the test window's size; with `second_half` for a quarter of the first half.
      train_size: of a rolling window; 0 for what the first fold trains on.
      gap: values left out between training and validation, and between validation and testing.

    Returns:
      Folds by subject, then by time. Where others inform and all share one clock, one model tests all subjects: such
      folds are one fold with a test window a subject.

    Raises:
      ValueError: an unknown word (naming the nearest), times that do not increase, a subject too short; one line.
    """
    for field, word in (('scheme', scheme), ('information', information), ('window', window), ('others', others)):
        if word not in _WORDS[field]:
            known = _WORDS[field]
            raise ValueError(f'unknown {field} {word!r}{nearest(word, known)}; there are {" and ".join(known)}')
    sizes, rolling = Sizes(test_size, validation_size, train_size, gap), window == 'rolling'
    if min(sizes) < 0 or count < 1 or (train_size and not rolling):
        text = ', '.join(f'{field} {size}' for field, size in sizes._asdict().items())
        raise ValueError(f'{count} windows, {text}: one or more, no negative size, a train size if rolling only')
    clocks = [clock(name, t) for name, t in times.items()]
    folds = []
    for subject, (name, own) in enumerate(zip(times, clocks, strict=True)):
        number, filled = _filled(scheme, count, len(own), sizes)
        for index, (train, validation, test) in enumerate(own_windows(name, len(own), number, rolling, filled)):
            parts = (Window(subject, *train),), (Window(subject, *validation),)
            if information == 'population_informed':
                any_time = others == 'any_time'
                parts = with_others(subject, train, validation, clocks, rolling=rolling, any_time=any_time)
            folds.append(
                SeriesFold(f'subject_{subject}_fold_{index}', index, *parts, (Window(subject, *test),), others)
            )
    folds = folds if information == 'regular' else _joined(folds)
    for fold in folds:
        assert_forward(fold, times)
    return folds


def assert_forward(fold: SeriesFold, times: Mapping[str, Sequence]) -> None:
    """Raises AssertionError unless all that a fold learns from lies before what it tests.

    A tested subject's own training ends before its validation starts, and that before its test. With `others='before'`
    everyone's training and validation lie before the test's start on the clock.
    """
    clocks = list(times.values())
    starts = {w.subject: w.start for w in fold.test}
    earliest = min(clocks[s][start] for s, start in starts.items())
    for role, windows in (('training', fold.train), ('validation', fold.validation)):
        for w in windows:
            late = w.subject in starts and w.stop > starts[w.subject]
            if late or (fold.others == 'before' and clocks[w.subject][w.stop - 1] >= earliest):
                raise AssertionError(f'{fold.name}: {role} of subject {w.subject} reaches into the time of the test')
    starts = {w.subject: w.start for w in fold.validation}
    for w in fold.train:
        if w.stop > starts.get(w.subject, w.stop):
            raise AssertionError(f'{fold.name}: training of subject {w.subject} reaches into its validation')


def ids_of(windows: Sequence[Window], times: Mapping[str, Sequence]) -> list[str]:
    """`subject@time` of every value in the windows, for the ledger."""
    names = list(times)
    return [f'{names[w.subject]}@{t}' for w in windows for t in np.asarray(times[names[w.subject]])[w.start : w.stop]]


def _filled(scheme, count, n, sizes):
    """The number of test windows and the sizes, with what was left to follow from the length."""
    if scheme == 'second_half':
        test = sizes.test or n // 2
        return 1, sizes._replace(test=test, validation=sizes.validation or max(1, (n - test) // 4))
    test = sizes.test or max(1, n // (count + 2))
    return count, sizes._replace(test=test, validation=sizes.validation or test)


def _joined(folds):
    """Folds of the same training and validation are one."""
    groups: dict[tuple, list[SeriesFold]] = {}
    for fold in folds:
        groups.setdefault((fold.train, fold.validation, fold.index), []).append(fold)
    joined = [members[0]._replace(test=tuple(w for fold in members for w in fold.test)) for members in groups.values()]
    if len(groups) == len({fold.index for fold in folds}) < len(folds):
        joined = [fold._replace(name=f'fold_{fold.index}') for fold in joined]
    return joined

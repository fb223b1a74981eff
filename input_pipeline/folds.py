"""Folds of a data set on scikit-learn's splitters: who trains and who tests, by seed alone.

Every repeat and every inner division draws from its own seed, derived of (seed, place), so that more repeats do not
change the first ones; no global random state is read or moved.
"""

import re
from collections.abc import Sequence

import numpy as np

from input_pipeline import fold_checks as checks
from input_pipeline.fold_checks import BY_TIME, KINDS, STRATIFIED, labels_of, sortable
from input_pipeline.fold_file import Fold, document, load, save
from input_pipeline.fold_holdout import hold_out
from input_pipeline.groups import groups_of

__all__ = ['KINDS', 'Fold', 'document', 'groups_of', 'inner', 'load', 'notes', 'save', 'split']


def split(
    source_or_labels, *, kind: str, count: int, repeats: int = 1, groups=None, seed: int = 0, gap: int = 0
) -> list[Fold]:
    """Divides N examples into training and test parts.

    Args:
      source_or_labels: a source, or the labels `[N]`. Labels are looked at by the stratified kinds only.
      kind: `plain`; `stratified` (each class spread evenly); `repeated` (stratified, two repeats or more); `grouped`
        (no group on both sides); `stratified_grouped` (both, as far as the groups allow); `leave_one_group_out` (a
        fold a group; `count` is not looked at); `expanding` (train on all the past, test on the next window) and
        `rolling` (train on as much of the past as the first window had).
      count: number of folds in a repeat, K.
      repeats: number of whole cross-validations with fresh shuffles; 1 for kinds that do not shuffle.
      groups: `[N]`, or a string for `groups_of`. For `rolling` and `expanding` the time of each example (numbers, or
        text that sorts by time); without it the order of the examples is their time. Equal times stay together.
      seed: decides the shuffles; kinds by time and `leave_one_group_out` do not use it.
      gap: by time only: distinct times left out between training and test.

    Returns:
      `repeats * K` folds in order, or one a group.

    Raises:
      ValueError: an unknown kind, fewer than two folds, fewer examples of a class or fewer groups than folds, groups
        missing or not looked at, an empty part; one line that says what to do.
    """
    checks.check_kind(kind)
    groups = _groups(source_or_labels, groups)
    length = len(source_or_labels)
    checks.check_numbers(kind, count, repeats, gap, length)
    checks.check_groups(kind, count, groups, length)
    if kind in BY_TIME:
        return _windows(length, kind, count, groups, gap)
    labels = np.zeros(length, np.int64)
    if kind in STRATIFIED:
        labels = labels_of(source_or_labels)
        info = getattr(source_or_labels, 'info', None)
        checks.check_classes(kind, count, labels, getattr(info, 'class_names', ()))
    names, codes = (None, None) if groups is None else np.unique(groups, return_inverse=True)
    folds = []
    for repeat in range(repeats):
        splitter = _splitter(kind, count, _derived(seed, repeat))
        for index, (train, test) in enumerate(splitter.split(np.zeros(length), labels, codes)):
            name = f'fold_{index}' if repeats == 1 else f'repeat_{repeat}_fold_{index}'
            if kind == 'leave_one_group_out':
                name += '_' + re.sub(r'[^\w.-]+', '_', str(names[index]))[:40]
            folds.append(_fold(name, repeat, index, train, test))
    return folds


def inner(
    fold: Fold, labels, *, fraction: float = 0.0, count: int = 0, kind: str = 'stratified', seed: int = 0, groups=None,
    gap: int = 0,
) -> list[Fold]:  # fmt: skip
    """Divisions of a fold's training part, for early stopping or for choosing hyperparameters; test is never touched.

    Args:
      fold: the outer fold.
      labels: of all N examples (or their source), not of the training part alone.
      fraction: of the training part to hold out, once; gives one fold.
      count: number of inner folds instead; exactly one of the two is given.
      kind: as for `split`, nearly always the outer kind: shuffling inside of grouped folds would choose by examples of
        known groups. `repeated` divides as `stratified` does.
      seed: combined with the outer fold's place, so that two outer folds divide differently.
      groups: of all N examples; as for `split`.
      gap: as for `split`.

    Returns:
      Folds whose `train` and `test` index the N examples and lie inside `fold.train`.

    Raises:
      ValueError: as `split`, and for a fraction outside 0 to 1 or both or neither of the two given.
    """
    if bool(fraction) == bool(count):
        raise ValueError('inner folds take either a fraction to hold out or a count of folds')
    kind = 'stratified' if kind == 'repeated' else kind
    checks.check_kind(kind)
    groups = _groups(labels, groups)
    classes = labels_of(labels)[fold.train] if kind in STRATIFIED else np.zeros(len(fold.train), np.int64)
    groups = groups if groups is None else groups[fold.train]
    seed = _derived(seed, fold.repeat, fold.index)
    if count:
        parts = split(classes, kind=kind, count=count, groups=groups, seed=seed, gap=gap)
    elif not 0 < fraction < 1:
        raise ValueError(f'an inner fraction of {fraction:g} is not between 0 and 1')
    else:
        checks.check_groups(kind, 2, groups, len(classes))
        parts = [_fold(f'{fold.name}: inner', 0, 0, *hold_out(kind, fraction, classes, groups, seed, gap))]
    return [
        Fold(f'{fold.name}_inner_{k}', p.repeat, p.index, fold.train[p.train], fold.train[p.test])
        for k, p in enumerate(parts)
    ]


def notes(folds: Sequence[Fold], labels) -> list[str]:
    """What a reader of the results must know: classes that a test part lacks, or that it has and training lacks."""
    labels, lines = labels_of(labels), []
    everything = np.unique(labels)
    for fold in folds:
        train, test = np.unique(labels[fold.train]), np.unique(labels[fold.test])
        unseen, absent = np.setdiff1d(test, train), np.setdiff1d(everything, test)
        if len(unseen):
            lines.append(f'{fold.name} tests on {len(unseen)} classes that it does not train on, the first {unseen[0]}')
        if len(absent):
            lines.append(f'{fold.name} tests on none of {len(absent)} classes, the first {absent[0]}')
    return lines


def _groups(source, groups):
    if isinstance(groups, str):
        return groups_of(source, groups) if groups else None
    return groups if groups is None else np.asarray(groups)


def _derived(*place) -> int:
    """A seed for scikit-learn (32 bits) that depends on each number of the place."""
    return int(np.random.SeedSequence([int(p) for p in place]).generate_state(1)[0])


def _fold(name, repeat, index, train, test):
    for part, indices in (('training', train), ('test', test)):
        if not len(indices):
            raise ValueError(f'{name}: empty {part} part; groups or times are too few or too unequal for so many folds')
    return Fold(name, repeat, index, np.sort(np.asarray(train, np.int64)), np.sort(np.asarray(test, np.int64)))


def _splitter(kind, count, seed):
    from sklearn import model_selection  # takes a second to import

    if kind == 'leave_one_group_out':
        return model_selection.LeaveOneGroupOut()
    splitters = {
        'plain': model_selection.KFold,
        'grouped': model_selection.GroupKFold,
        'stratified_grouped': model_selection.StratifiedGroupKFold,
    }
    return splitters.get(kind, model_selection.StratifiedKFold)(count, shuffle=True, random_state=seed)


def _windows(length, kind, count, times, gap):
    """scikit-learn's windows over the distinct times."""
    from sklearn import model_selection

    distinct, place = np.unique(np.arange(length) if times is None else sortable(times), return_inverse=True)
    size = len(distinct) // (count + 1)
    first = len(distinct) - count * size - gap
    if size < 1 or first < 1:
        raise ValueError(f'folds.kind={kind}: {count} windows and a gap of {gap} need more than {len(distinct)} times')
    limit = first if kind == 'rolling' else None
    splitter = model_selection.TimeSeriesSplit(count, max_train_size=limit, test_size=size, gap=gap)
    return [
        _fold(f'fold_{k}', 0, k, np.flatnonzero(np.isin(place, train)), np.flatnonzero(np.isin(place, test)))
        for k, (train, test) in enumerate(splitter.split(distinct))
    ]

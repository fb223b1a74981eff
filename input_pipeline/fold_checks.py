"""The kinds of folds, and what each of them needs of the data: one line of complaint before anything is split."""

from collections.abc import Sequence

import numpy as np

from input_pipeline.datasets import nearest

GROUPED = ('grouped', 'stratified_grouped', 'leave_one_group_out')
STRATIFIED = ('stratified', 'repeated', 'stratified_grouped')
BY_TIME = ('rolling', 'expanding')
KINDS = ('plain', 'stratified', 'repeated', 'grouped', 'stratified_grouped', 'leave_one_group_out', *BY_TIME)


def labels_of(source_or_labels) -> np.ndarray:
    """The classes `[N]` (whole numbers or text) of a source or of an array; ValueError for anything else."""
    labels = np.asarray(getattr(source_or_labels, 'labels', source_or_labels))
    if labels.ndim != 1 or not (np.issubdtype(labels.dtype, np.integer) or labels.dtype.kind in 'US'):
        raise ValueError(f'stratified folds need one class for each example, not {labels.dtype} {list(labels.shape)}')
    return labels


def sortable(times: np.ndarray) -> np.ndarray:
    """Times as numbers where all are numbers ('10' after '9'), else as they are; ValueError where one is NaN."""
    times = np.asarray(times)
    if times.dtype.kind in 'USO':
        try:
            times = times.astype(np.float64)
        except ValueError:
            return times.astype(str)
    if times.dtype.kind in 'fmM' and np.isnan(times).any():
        raise ValueError(f'example {int(np.flatnonzero(np.isnan(times))[0])} has no time (NaN)')
    return times


def check_kind(kind: str) -> None:
    """Raises ValueError naming the nearest kind."""
    if kind not in KINDS:
        raise ValueError(f'unknown folds.kind {kind!r}{nearest(kind, KINDS)}; there are {", ".join(KINDS)}')


def check_numbers(kind: str, count: int, repeats: int, gap: int, length: int) -> None:
    """Raises ValueError where so many folds, repeats or left out times make no sense for the kind."""
    leaving = kind == 'leave_one_group_out'
    if not leaving and count < 2:
        raise ValueError(f'folds.count={count}: cross-validation needs 2 folds or more')
    if not leaving and count > length:
        raise ValueError(f'folds.count={count} is more than the {length} examples')
    if repeats < 1 or (kind == 'repeated' and repeats < 2):
        raise ValueError(f'folds.kind={kind} with folds.repeats={repeats}: write {1 + (kind == "repeated")} or more')
    if repeats > 1 and (leaving or kind in BY_TIME):
        raise ValueError(f'folds.kind={kind} shuffles nothing, so folds.repeats={repeats} would repeat the same folds')
    if gap < 0 or (gap and kind not in BY_TIME):
        raise ValueError(f'a gap of {gap} times: it is 0 or more, and for folds.kind=rolling and expanding only')


def check_groups(kind: str, count: int, groups: np.ndarray | None, length: int) -> None:
    """Raises ValueError where groups are missing, not looked at, of another length, or fewer than the folds."""
    if groups is None:
        if kind in GROUPED:
            raise ValueError(f"folds.kind={kind} needs folds.groups: 'file_prefix:REGEX', 'id:REGEX' or a CSV file")
        return
    if groups.shape != (length,):
        raise ValueError(f'{len(groups)} groups for {length} examples')
    if kind not in (*GROUPED, *BY_TIME):
        other = 'grouped' if kind == 'plain' else 'stratified_grouped'
        raise ValueError(f'folds.kind={kind} does not look at folds.groups; write folds.kind={other}, or no groups')
    found, needed = len(np.unique(groups)), 2 if kind == 'leave_one_group_out' else count
    if kind in GROUPED and found < needed:
        raise ValueError(f'folds.kind={kind}: {needed} folds need as many groups, and folds.groups finds {found}')


def check_classes(kind: str, count: int, labels: np.ndarray, names: Sequence[str] = ()) -> None:
    """Raises ValueError naming the smallest class where it has fewer examples than there are folds."""
    if not len(labels):
        raise ValueError('there are no examples to divide into folds')
    classes, sizes = np.unique(labels, return_counts=True)
    least = int(np.argmin(sizes))
    if sizes[least] < count:
        label = classes[least].item()
        known = isinstance(label, int) and 0 <= label < len(names)
        name = f'{names[label]!r} (class {label})' if known else f'class {label!r}'
        raise ValueError(
            f'folds.kind={kind}: {count} folds need as many examples of each class, and {name} has {sizes[least]}; '
            'lower folds.count, or write folds.kind=plain or grouped'
        )

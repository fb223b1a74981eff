"""One share of the examples held out, by the rule that the folds follow."""

import warnings
from fractions import Fraction

import numpy as np

from input_pipeline.fold_checks import BY_TIME, sortable


def hold_out(kind: str, fraction: float, labels: np.ndarray, groups: np.ndarray | None, seed: int, gap: int = 0):
    """Indices to keep and to hold out of `[N]` labels.

    By time the latest distinct times are held out, and `gap` times before them are in neither part. Of groups, whole
    ones are: the share is of groups then, not of examples.

    Raises:
      ValueError: where a class or the groups are too few to be divided.
    """
    from sklearn import model_selection

    if kind in BY_TIME:
        return _latest(fraction, np.arange(len(labels)) if groups is None else sortable(groups), gap)
    if groups is not None:
        groups = np.unique(groups, return_inverse=True)[1]
    if kind == 'stratified_grouped':
        return _stratified_groups(fraction, labels, groups, seed)
    if kind == 'plain':
        shuffle = model_selection.ShuffleSplit
    elif kind == 'stratified':
        shuffle = model_selection.StratifiedShuffleSplit
    else:
        shuffle = model_selection.GroupShuffleSplit
    try:
        return next(iter(shuffle(1, test_size=fraction, random_state=seed).split(labels, labels, groups)))
    except ValueError as error:
        raise _cannot(fraction, labels, kind, error) from None


def _cannot(fraction, labels, kind, error):
    return ValueError(f'{fraction:g} of {len(labels)} examples cannot be held out ({kind}): {error}')


def _latest(fraction, times, gap):
    distinct, place = np.unique(times, return_inverse=True)
    first = len(distinct) - min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
    return np.flatnonzero(place < first - gap), np.flatnonzero(place >= first)


def _stratified_groups(fraction, labels, groups, seed):
    """The nearest share a / b: the first a of b stratified grouped folds, a shuffle that scikit-learn lacks."""
    from sklearn import model_selection

    most = min(20, len(np.unique(groups)))
    share = Fraction(fraction).limit_denominator(most)
    share = share if 0 < share < 1 else Fraction(1 if share == 0 else most - 1, most)
    splitter = model_selection.StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Here a class may have fewer examples than b: none of the b parts is used alone.
        warnings.simplefilter('ignore', UserWarning)
        try:
            parts = [test for _, test in splitter.split(labels, labels, groups)]
        except ValueError as error:
            raise _cannot(fraction, labels, 'stratified_grouped', error) from None
    held = np.concatenate(parts[: share.numerator])
    return np.setdiff1d(np.arange(len(labels)), held), held

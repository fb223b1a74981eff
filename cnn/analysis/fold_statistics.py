"""All that is said about the folds of a run, in one place to call; the parts say why."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnn.analysis.fold_choice import Choice, PairedTest, paired_test, select
from cnn.analysis.fold_interval import Interval, corrected_error, interval, over_subjects
from cnn.analysis.fold_pool import OutOfFold, out_of_fold, pooled_share

__all__ = [
    'Choice',
    'Interval',
    'OutOfFold',
    'PairedTest',
    'corrected_error',
    'interval',
    'out_of_fold',
    'over_subjects',
    'paired_test',
    'pooled_share',
    'select',
    'summary',
]

# Metrics from 0 to 1, whose intervals are cut there.
SHARES = ('accuracy', 'top5_accuracy', 'mean_class_accuracy', 'pixel_accuracy', 'mean_iou', 'map_50', 'map_coco')


def summary(
    metrics: Sequence[Mapping[str, float]], *, n_train, n_test, kind: str = 'stratified', confidence: float = 0.95
) -> dict[str, Any]:
    """The part of `folds.json` above the folds.

    Args:
      metrics: of each fold, the same names in all.
      n_train, n_test, kind, confidence: as for `interval`.

    Returns:
      By metric: `values` (of each fold), `mean`, `interval` (`[low, high]`, or None where no legitimate one exists),
      `interval_method` (how it was found, or why there is none), `standard_error` (corrected, or None), `std` (of the
      folds, no interval); and `confidence`, `n_folds`.

    Raises:
      ValueError: no folds, a metric that one fold lacks, or a value that is not finite; fold and metric are named.
    """
    if not metrics:
        raise ValueError('there are no folds to summarise')
    for k, fold in enumerate(metrics):
        odd = sorted(set(fold) ^ set(metrics[0]))
        if odd:
            raise ValueError(f'folds 0 and {k} have different metrics: only one of them has {odd[0]!r}')
    found = {}
    for name in metrics[0]:
        try:
            values = [fold[name] for fold in metrics]
            found[name] = interval(values, n_train=n_train, n_test=n_test, kind=kind, confidence=confidence)
        except ValueError as error:
            raise ValueError(f'{name} over the folds: {error}') from None
    return {
        'values': {n: [float(fold[n]) for fold in metrics] for n in found},
        'mean': {n: i.mean for n, i in found.items()},
        'interval': {n: _ends(n, i) for n, i in found.items()},
        'interval_method': {n: i.method for n, i in found.items()},
        'confidence': confidence,
        'standard_error': {n: i.standard_error for n, i in found.items()},
        'std': {n: i.std for n, i in found.items()},
        'n_folds': len(metrics),
    }


def _ends(name: str, found: Interval) -> list[float] | None:
    if found.low is None:
        return None
    return [max(0.0, found.low), min(1.0, found.high)] if name in SHARES else [found.low, found.high]

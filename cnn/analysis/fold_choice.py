"""Settings against each other on the same folds: the paired corrected test, and which setting to choose."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from cnn.analysis.fold_interval import BY_TIME, corrected_error, finite, interval

RULES = ('best', 'one_standard_error')


class PairedTest(NamedTuple):
    """Setting a against setting b on the same folds.

    Attributes:
      difference: mean of a - b.
      low, high: its corrected interval; None, as are `t` and `p_value`, where the differences do not vary at all: equal
        differences are rounding (accuracies are steps of 1/n_test), not certainty.
      t, p_value: of no difference, two-sided.
      degrees_of_freedom: J - 1.
      n: J.
      method: in words.
    """

    difference: float
    low: float | None
    high: float | None
    t: float | None
    p_value: float | None
    degrees_of_freedom: int
    n: int
    method: str


def paired_test(
    a: Sequence[float], b: Sequence[float], *, n_train, n_test, kind: str = 'stratified', confidence: float = 0.95
) -> PairedTest:
    """The corrected resampled t-test (Nadeau and Bengio 2003; of repeated folds: Bouckaert and Frank 2004).

    Args:
      a, b: one metric of two settings on the same J folds in the same order.
      n_train, n_test, kind, confidence: as for `fold_interval.interval`.

    Raises:
      ValueError: different numbers of folds, fewer than two, or folds by time, whose differences are no sample.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        raise ValueError(f'a paired test needs the same folds: there are {a.size} and {b.size} values')
    if kind in BY_TIME:
        raise ValueError(f'{kind} windows are no sample: compare subject by subject with over_subjects')
    if a.size < 2:
        raise ValueError('a paired test needs two folds or more')
    found = interval(a - b, n_train=n_train, n_test=n_test, kind=kind, confidence=confidence)
    t = p_value = None
    if found.standard_error is not None:
        t = found.mean / found.standard_error
        p_value = float(2 * special.stdtr(a.size - 1, -abs(t)))
    return PairedTest(found.mean, found.low, found.high, t, p_value, a.size - 1, a.size, found.method)


class Choice(NamedTuple):
    """What a rule chose.

    Attributes:
      chosen: the setting's name.
      best: the setting with the best mean.
      threshold: the mean that a simpler setting had to reach; the best mean itself where the rule is `best`.
      means, errors: setting -> mean over the folds and its standard error (empty where the rule needs none).
      rule: in words, with the standard error that was used.
    """

    chosen: str
    best: str
    threshold: float
    means: dict[str, float]
    errors: dict[str, float]
    rule: str


def select(
    settings_values: Mapping[str, Sequence[float]],
    complexity: Mapping[str, float] | Sequence[float],
    rule: str = 'one_standard_error',
    *,
    larger_is_better: bool = True,
    corrected: bool = True,
    n_train=None,
    n_test=None,
    kind: str = 'stratified',
) -> Choice:
    """Chooses a setting by the means over the same folds.

    `best` takes the best mean, of equal ones the simplest. `one_standard_error` takes the simplest setting whose mean
    is within one standard error of the best one's (Breiman et al., CART, 1984, section 3.4.3; Hastie, Tibshirani and
    Friedman, The Elements of Statistical Learning, section 7.10), the standard error being the best setting's. These
    books take s / sqrt(J), which overlapping folds make too small; `corrected` takes Nadeau and Bengio's instead.

    Args:
      settings_values: setting -> values `[J]`, the same folds in the same order for all.
      complexity: setting -> number, or in the order of the settings; the smaller the simpler.
      rule: `best` or `one_standard_error`.
      larger_is_better: True for accuracies, False for losses.
      corrected: see above; needs `n_train` and `n_test`.
      n_train, n_test, kind: as for `fold_interval.interval`; of folds by time only the best mean can be chosen.

    Raises:
      ValueError: no settings, an unknown rule, different numbers of folds, a value that is not finite.
    """
    if rule not in RULES:
        raise ValueError(f'unknown rule {rule!r}; there are {", ".join(RULES)}')
    if not settings_values:
        raise ValueError('there are no settings to choose from')
    names = list(settings_values)
    if not isinstance(complexity, Mapping):
        complexity = dict(zip(names, complexity, strict=True))
    needs_errors = rule == 'one_standard_error'
    if needs_errors and kind in BY_TIME:
        raise ValueError(f'{kind} windows are no sample and have no standard error: choose by the best mean')
    counts = {len(v) for v in settings_values.values()}
    if len(counts) > 1:
        raise ValueError(f'settings are compared on the same folds: there are {sorted(counts)} values')
    means = {n: float(finite(settings_values[n]).mean()) for n in names}
    sizes = None if n_train is None or n_test is None else {'n_train': n_train, 'n_test': n_test, 'kind': kind}
    errors = {n: _error(finite(settings_values[n]), corrected, sizes) for n in names} if needs_errors else {}
    sign = 1 if larger_is_better else -1
    best = min(names, key=lambda n: (-sign * means[n], complexity[n]))
    if rule == 'best':
        return Choice(best, best, means[best], means, errors, 'best mean')
    threshold = means[best] - sign * errors[best]
    within = [n for n in names if sign * means[n] >= sign * threshold]
    chosen = min(within, key=lambda n: (complexity[n], -sign * means[n]))
    words = 'corrected' if corrected else 'uncorrected'
    return Choice(chosen, best, threshold, means, errors, f'simplest within one {words} standard error of the best')


def _error(values, corrected, sizes):
    if len(values) < 2:
        raise ValueError('the rule of one standard error needs two folds or more')
    if not corrected:
        return float(values.std(ddof=1) / np.sqrt(len(values)))
    if sizes is None:
        raise ValueError('the corrected standard error needs n_train and n_test')
    return corrected_error(values, **sizes)

"""Where a learner's mean score may lie, judged by K folds.

The folds of a cross-validation share most of their training examples, so their values are not independent and
s / sqrt(K) is too small: nothing here calls it an interval. Which interval is legitimate, by kind of folds:

plain, stratified, repeated, grouped, stratified_grouped
    Nadeau and Bengio (Inference for the Generalization Error, Machine Learning 52, 2003): variance
    (1/J + n_test/n_train) s^2 over all J values, t with J - 1 degrees of freedom. For r repeats of K folds J = r K, the
    corrected repeated test of Bouckaert and Frank (PAKDD 2004). It is an approximation (no unbiased estimate of this
    variance exists: Bengio and Grandvalet, JMLR 2004) of the mean score of the *learner* trained on n_train examples.
leave_one_group_out
    The same with groups for examples: 1/(G - 1) for n_test/n_train. It speaks of new groups, each counting alike.
rolling, expanding
    None from the folds: later windows train on earlier ones, the sizes grow and the series drifts, so the values are
    no sample of one distribution. The values and their mean are given. With several independent subjects
    `over_subjects` gives an interval across these; with one, there is no second series to learn the spread from.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

BY_TIME = ('rolling', 'expanding')


class Interval(NamedTuple):
    """A mean and where it may lie.

    Attributes:
      mean: of the values.
      low, high: the ends; None where no legitimate interval exists, and `method` says why.
      standard_error: the corrected one of which the half width is a multiple; None with the ends.
      std: standard deviation of the values (ddof = 1), which describes the folds and is no interval.
      n: number of values (of examples, for a pooled share).
      confidence: such as 0.95.
      method: how the ends were found, in words.
    """

    mean: float
    low: float | None
    high: float | None
    standard_error: float | None
    std: float | None
    n: int
    confidence: float
    method: str


def interval(
    values: Sequence[float], *, n_train, n_test, kind: str = 'stratified', confidence: float = 0.95
) -> Interval:  # fmt: skip
    """The corrected interval of a learner's mean value over J folds.

    Values that are all equal have none: five accuracies of 98.75 % are rounding to steps of 1/n_test, not certainty.

    Args:
      values: of one metric, `[J]`, all repeats together.
      n_train, n_test: examples in the parts, one number or `[J]`; of several the ratio of the means is taken.
      kind: of the folds, as in `config.folds.kind`; decides which interval is legitimate (see above).
      confidence: between 0 and 1.

    Raises:
      ValueError: no values, one that is not finite (its fold is named), or sizes that are not positive.
    """
    values = finite(values)
    t = quantile(max(1, len(values) - 1), confidence)
    reason = ''
    if kind in BY_TIME:
        reason = f'none: {kind} windows are no sample of one distribution'
    elif len(values) < 2:
        reason = 'none: one fold has no spread'
    elif values.std() <= 1e-12 * np.abs(values).max():
        reason = 'none: equal values have no spread'
    if reason:
        return Interval(float(values.mean()), None, None, None, deviation(values), len(values), confidence, reason)
    error = corrected_error(values, n_train=n_train, n_test=n_test, kind=kind)
    method = f'Nadeau-Bengio corrected t, {len(values) - 1} degrees of freedom'
    method += ', of new groups' if kind == 'leave_one_group_out' else ''
    return around(values, t * error, error, confidence, method)


def corrected_error(values: Sequence[float], *, n_train, n_test, kind: str = 'stratified') -> float:
    """Nadeau and Bengio's standard error of the mean of J folds, sqrt((1/J + n_test/n_train) s^2).

    Raises:
      ValueError: fewer than two folds, or sizes that are not positive.
    """
    values = finite(values)
    n_train, n_test = np.asarray(n_train, float), np.asarray(n_test, float)
    if not (np.all(n_train > 0) and np.all(n_test > 0)):
        raise ValueError(f'folds of {n_train.min():g} training and {n_test.min():g} test examples have no interval')
    if len(values) < 2:
        raise ValueError('one fold has no spread: a standard error needs two or more')
    ratio = 1 / (len(values) - 1) if kind == 'leave_one_group_out' else float(n_test.mean() / n_train.mean())
    return float(np.sqrt((1 / len(values) + ratio) * values.var(ddof=1)))


def over_subjects(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The t interval across independent subjects, each one's mean value counting once.

    Conditional on the trained models where these were trained on several subjects: it covers new subjects, not a new
    training. To compare two forecasters give the differences subject by subject.
    """
    values = finite(values)
    t = quantile(max(1, len(values) - 1), confidence)
    if len(values) < 2:
        return Interval(float(values.mean()), None, None, None, None, 1, confidence, 'none: one subject has no spread')
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return around(values, t * error, error, confidence, 't over subjects, conditional on the trained models')


def around(values: np.ndarray, half: float, error: float, confidence: float, method: str) -> Interval:
    """The interval of that half width around the mean."""
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, error, deviation(values), len(values), confidence, method)


def finite(values) -> np.ndarray:
    """float64 `[J]`, J > 0; ValueError naming the first that is not finite."""
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f'one value for each fold is needed, not an array {list(values.shape)}')
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise ValueError(f'value {int(wrong[0])} is {values[wrong[0]]}')
    return values


def deviation(values: np.ndarray) -> float | None:
    """Standard deviation with J - 1, None of one value."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def quantile(freedom: int, confidence: float) -> float:
    """The quantile of Student's t that leaves (1 - confidence) / 2 above it."""
    if not 0 < confidence < 1:
        raise ValueError(f'a confidence of {confidence:g} is not between 0 and 1')
    return float(special.stdtrit(freedom, 0.5 + confidence / 2))

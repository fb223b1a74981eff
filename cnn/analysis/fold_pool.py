"""One score over the predictions of all folds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from cnn.analysis.fold_interval import Interval, finite


class OutOfFold(NamedTuple):
    """Predictions of examples that the predicting model never saw.

    Attributes:
      examples: int `[M]`, index into the data set; an example appears once a repeat.
      fold: int `[M]`, which fold's model predicted.
      predictions: `[M, ...]`.
    """

    examples: np.ndarray
    fold: np.ndarray
    predictions: np.ndarray


def out_of_fold(test_parts: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> OutOfFold:
    """Gathers the folds' predictions, sorted by example and then fold.

    Score labels or losses of it, not rankings: scores of different models are on different scales, so an AUC or AP over
    the pool is biased (Forman and Scholz, SIGKDD Explorations 12, 2010); average these over the folds instead.

    Raises:
      ValueError: where a fold has another number of predictions than of test examples.
    """
    for k, (part, predicted) in enumerate(zip(test_parts, predictions, strict=True)):
        if len(part) != len(predicted):
            raise ValueError(f'fold {k} has {len(predicted)} predictions for {len(part)} test examples')
    examples = np.concatenate([np.asarray(p, np.int64) for p in test_parts])
    fold = np.repeat(np.arange(len(test_parts)), [len(p) for p in test_parts])
    order = np.lexsort((fold, examples))
    return OutOfFold(examples[order], fold[order], np.concatenate([np.asarray(p) for p in predictions])[order])


def pooled_share(
    correct: Sequence[float], examples: Sequence[int] | None = None, confidence: float = 0.95
) -> Interval:
    """Accuracy over all out-of-fold predictions, with Wilson's interval (JASA 22, 1927).

    The interval is of these trained models on new examples: it leaves out that another training set would give other
    models, so it is usually narrower than `interval` and answers another question.

    Args:
      correct: `[M]` true or false (or a share), one for each prediction.
      examples: `[M]` which example each one predicts, where repeats predict an example more than once: it counts once,
        with the mean of its predictions. None where each is another.
    """
    correct = finite(np.asarray(correct, float))
    if correct.min() < 0 or correct.max() > 1:
        raise ValueError('a share is pooled of values from 0 to 1')
    if examples is not None:
        _, place, counts = np.unique(np.asarray(examples), return_inverse=True, return_counts=True)
        correct = np.bincount(place, correct) / counts
    n, share, z = len(correct), float(correct.mean()), float(special.ndtri(0.5 + confidence / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    method = 'Wilson, conditional on the trained models'
    error = float(np.sqrt(share * (1 - share) / n))
    return Interval(share, low, high, error, None, n, confidence, method)

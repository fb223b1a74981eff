"""A linear regression of the box for each class (Girshick et al. 2014, arXiv:1311.2524, appendix C), as the authors'
release solves for it (rcnn_train_bbox_regressor.m).

Examples are the regions that overlap an object by more than 0.6; the class is that of the object of the largest
overlap, and targets are `boxes.encode`'s. These are centred and decorrelated, which changes nothing but what the
ridge holds down; the bias is held down as the rest.

Letters: n examples, F features.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class RidgeOptions:
    """The release's.

    Attributes:
      ridge: lambda, the weight of the squared weights against the squared errors. (SPPNet's release takes 4,000.)
      overlap: an example overlaps an object by more than this. (SPPNet's release: 0.5.)
      norm: what features are scaled to on average.
    """

    ridge: float = 1000.0
    overlap: float = 0.6
    norm: float = 20.0

    def __post_init__(self):
        if self.ridge <= 0 or self.norm <= 0:
            raise ValueError('config.linear: ridge and norm must be above 0')
        if not 0 <= self.overlap < 1:
            raise ValueError(f'config.linear.overlap is {self.overlap!r}; give a number from 0 to 1')


class Examples:
    """What regressions learn from, in at most `room` bytes: where there are more, a random sample of them all, each as
    likely (Vitter 1985, algorithm R)."""

    def __init__(self, depth: int, *, seed: int, room: int):
        self.seen = self.count = 0
        self._most = max(room // (4 * depth), 1)
        self._rng = np.random.default_rng(seed)
        # Pages of it that are never written to take no memory.
        self._features = np.empty((self._most, depth), np.float32)
        self._targets, self._labels = np.empty((self._most, 4), np.float32), np.empty(self._most, np.int32)

    def add(self, features: np.ndarray, targets: np.ndarray, labels: np.ndarray) -> None:
        """Features float32 `[n, F]`, targets `[n, 4]`, classes int32 `[n]`."""
        for i in range(len(labels)):
            at = self.seen if self.seen < self._most else int(self._rng.integers(self.seen + 1))
            self.seen += 1
            if at < self._most:
                self._features[at], self._targets[at], self._labels[at] = features[i], targets[i], labels[i]
        self.count = min(self.seen, self._most)

    def of(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Features `[n, F]` and targets `[n, 4]` of one class."""
        own = np.flatnonzero(self._labels[: self.count] == label)
        return self._features[own], self._targets[own]


def solve(features: np.ndarray, targets: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel float32 `[F, 4]` and bias float32 `[4]` of the regression of `targets` `[n, 4]` on `features` `[n, F]`.

    n may be 0: zeros, so that boxes stay where they are.
    """
    from scipy import linalg

    if not len(features):
        return np.zeros((features.shape[1], 4), np.float32), np.zeros(4, np.float32)
    x = np.concatenate([features.astype(np.float64), np.ones((len(features), 1))], 1)
    y = targets.astype(np.float64)
    mean = y.mean(0)
    y = y - mean
    values, vectors = np.linalg.eigh(y.T @ y / len(y))
    # The release's 0.001, for targets that hardly differ.
    spread = np.sqrt(np.maximum(values, 0) + 0.001)
    y = y @ (vectors / spread) @ vectors.T
    if len(x) < x.shape[1]:
        # The same solution by the smaller of two systems.
        weights = x.T @ linalg.solve(x @ x.T + ridge * np.eye(len(x)), y, assume_a='pos')
    else:
        weights = linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y, assume_a='pos')
    weights = weights @ (vectors * spread) @ vectors.T
    return weights[:-1].astype(np.float32), (weights[-1] + mean).astype(np.float32)

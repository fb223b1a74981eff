"""A linear support vector machine for each class, with hard-negative mining (Girshick et al. 2014, arXiv:1311.2524,
section 2.3 and appendix B), step by step as the authors' release does it (rcnn_train.m).

Objects' own boxes are positive; whatever overlaps every object of the class by less than 0.3 is negative, and what is
in between counts for nothing. Images come one by one. Of the first all negatives are learnt, of the others those that
the machine of the moment does not keep beyond its margin; once there are some thousand new ones it is solved for again,
and the easy ones are forgotten. SPPNet's section 4.1 also leaves out a negative that overlaps another by more than 0.7:
here both are kept, as R-CNN keeps them.

Letters: R regions of an image, D features, C classes.
"""

import dataclasses
import math
import warnings

import numpy as np

# What a class without a positive example says of every region.
NEVER = -20.0


@dataclasses.dataclass(frozen=True)
class MachineOptions:
    """The release's: liblinear's "-s 3 -c 0.001 -w1 2 -B 10".

    Attributes:
      c: the weight of an example's hinge loss against the squared weights.
      positive_weight: by which that of a positive one is multiplied.
      bias: the constant feature beside the others; the larger, the less the bias is held down.
      norm: what features are scaled to on average, so that one `c` suits all networks.
      negative: below this overlap a region is a negative example.
      hard: negatives with margins above this are learnt; those below `easy` are forgotten.
      easy: a machine is solved for again once there are `enough` new negatives.
      epochs: times through the images.
      tolerance: of the solver, liblinear's own.
    """

    c: float = 1e-3
    positive_weight: float = 2.0
    bias: float = 10.0
    norm: float = 20.0
    negative: float = 0.3
    hard: float = -1.0001
    easy: float = -1.2
    enough: int = 2000
    epochs: int = 1
    tolerance: float = 0.1

    def __post_init__(self):
        if min(self.c, self.positive_weight, self.bias, self.norm, self.tolerance) <= 0:
            raise ValueError('config.linear: c, positive_weight, bias, norm and tolerance must be above 0')
        if self.epochs < 1 or self.enough < 1:
            raise ValueError('config.linear: epochs and enough must be at least 1')
        if not self.easy <= self.hard:
            raise ValueError(f'config.linear.easy={self.easy} must not be above config.linear.hard={self.hard}')


class Machines:
    """C machines that learn image by image. What it remembers of negatives takes at most `room` bytes, of which no
    class gets more than its share: where hard ones do not fit, the least hard are forgotten.

    Args:
      positives: float32 `[n, D]` of each class, scaled.
      seed: of the solver, which goes through examples in a random order.

    Attributes:
      kernel: float32 `[D, C]`; `bias`: float32 `[C]`: margins are `features @ kernel + bias`.
    """

    def __init__(self, positives: list[np.ndarray], options: MachineOptions, *, seed: int, room: int):
        depth, count = positives[0].shape[1], len(positives)
        self.kernel = np.zeros((depth, count), np.float32)
        self.bias = np.full(count, NEVER, np.float32)
        self.solved = self.unconverged = 0
        self._options, self._seed = options, seed
        self._most = max(room // (4 * depth * count), 1)
        self._positives = positives
        self._negatives = [_Cache(depth) for _ in positives]
        self._learnt = [i for i, own in enumerate(positives) if len(own)]
        self._is_solved = [False] * count

    def see(self, image: int, features: np.ndarray, overlap: np.ndarray) -> None:
        """One image's regions.

        Args:
          image: its number, the same each time it comes.
          features: float32 `[R, D]`, scaled; `overlap`: float32 `[R, C]`, the largest with an object of each class.
        """
        if not len(features):
            return
        margins = features @ self.kernel + self.bias
        for i in self._learnt:
            cache, is_new = self._negatives[i], overlap[:, i] < self._options.negative
            if self._is_solved[i]:
                is_new &= margins[:, i] > self._options.hard
            cache.add(image, np.flatnonzero(is_new), features)
            if not self._is_solved[i] or cache.new > self._options.enough or cache.count > self._most:
                self._solve(i)

    def finish(self) -> None:
        """Solves for all once more, with what came last."""
        for i in self._learnt:
            self._solve(i)

    def _solve(self, i: int) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        o, cache, own = self._options, self._negatives[i], self._positives[i]
        others = cache.features()
        if not len(others):
            return
        machine = LinearSVC(
            loss='hinge', C=o.c, class_weight={1: o.positive_weight}, intercept_scaling=o.bias, tol=o.tolerance,
            random_state=self._seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            # liblinear gives up after a thousand rounds; its last answer is used all the same, and counted.
            warnings.simplefilter('ignore', ConvergenceWarning)
            machine.fit(np.concatenate([own, others]), np.repeat([1, -1], [len(own), len(others)]))
        self._is_solved[i] = True
        self.solved += 1
        self.unconverged += int(machine.n_iter_ >= machine.max_iter)
        self.kernel[:, i], self.bias[i] = machine.coef_[0], machine.intercept_[0]
        margins = others @ self.kernel[:, i] + self.bias[i]
        keep = margins >= o.easy
        if keep.sum() > self._most:
            # Half of the room stays free, so that the next image does not force this again.
            keep &= margins >= np.sort(margins)[-math.ceil(self._most / 2)]
        cache.keep(keep)


class _Cache:
    """One class's negatives; none twice."""

    def __init__(self, depth: int):
        self.count = self.new = 0
        self._features = [np.zeros((0, depth), np.float32)]
        self._keys = [np.zeros((0, 2), np.int64)]
        self._images: set[int] = set()

    def features(self) -> np.ndarray:
        self._features = [np.concatenate(self._features)]
        return self._features[0]

    def add(self, image: int, rows: np.ndarray, features: np.ndarray) -> None:
        if image in self._images:
            keys = np.concatenate(self._keys)
            rows = rows[~np.isin(rows, keys[keys[:, 0] == image, 1])]
        if len(rows):
            self._images.add(image)
            self._features.append(features[rows])
            self._keys.append(np.stack([np.full(len(rows), image), rows], 1))
            self.count, self.new = self.count + len(rows), self.new + len(rows)

    def keep(self, chosen: np.ndarray) -> None:
        self._features, self._keys = [self.features()[chosen]], [np.concatenate(self._keys)[chosen]]
        self._images = set(self._keys[0][:, 0].tolist())
        self.count, self.new = len(self._keys[0]), 0

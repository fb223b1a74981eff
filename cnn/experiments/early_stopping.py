"""The weights of the moment that scored best on examples held out for that, for each member (Prechelt 1998).

Training goes on to its last step all the same, so that members stay together and the learning rate follows its course;
what is kept, tested and reported are the weights of the best evaluation.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn.experiments.members import Member
from cnn.experiments.scoring import member
from cnn.training import leaves, log

FILE = 'best_weights.npz'
_STEP, _VALUE = '(step)', '(value)'


class BestWeights:
    """Each member's best weights so far, kept in its workdir so that a resumed run has them.

    They need not be as old as the checkpoint: what a killed run found later, the resumed one finds again, the same.

    Args:
      metric: name of what is compared.
      larger_is_better: False for losses.
      resumed: whether the run goes on; else what an earlier run left is removed.
    """

    def __init__(self, members: Sequence[Member], metric: str, larger_is_better: bool, devices: Any, resumed: bool):
        self._members, self._metric, self._devices = members, metric, devices
        self._sign = 1 if larger_is_better else -1
        self._best: list[dict[str, np.ndarray] | None] = [None] * len(members)
        for e, m in enumerate(members):
            if resumed and (m.workdir / FILE).is_file():
                with np.load(m.workdir / FILE) as arrays:
                    self._best[e] = dict(arrays)
            elif (m.workdir / FILE).exists():
                os.unlink(m.workdir / FILE)

    def offer(self, step: int, values: Sequence[dict[str, float]], variables: Any) -> None:
        """Keeps device `variables` for the members whose value is better than before, the earlier of equals."""
        better = []
        for e, found in enumerate(values):
            best, value = self._best[e], found[self._metric]
            if np.isfinite(value) and (best is None or self._sign * value > self._sign * float(best[_VALUE])):
                better.append((e, value))
        host = self._devices.to_host(variables) if better else None
        for e, value in better:
            named = leaves.flatten(member(host, e, self._devices))
            self._best[e] = {**named, _STEP: np.int64(step), _VALUE: np.float64(value)}
            log.write_arrays(self._members[e].workdir / FILE, self._best[e])

    def steps(self) -> list[int | None]:
        """The step of each member's best weights; None where no value was finite."""
        return [None if best is None else int(best[_STEP]) for best in self._best]

    def placed(self, variables: Any) -> Any:
        """Device variables of the members' best weights; `variables`, the last ones, for a member without."""
        host = self._devices.to_host(variables)
        chosen = []
        for e, best in enumerate(self._best):
            last = member(host, e, self._devices)
            chosen.append(last if best is None else leaves.unflatten(last, best))
        joined = chosen[0] if self._devices.members is None else _stacked(chosen)
        return self._devices.place(joined)


def _stacked(trees: list[Any]) -> Any:
    named = [leaves.flatten(tree) for tree in trees]
    return leaves.unflatten(trees[0], {name: np.stack([tree[name] for tree in named]) for name in named[0]})

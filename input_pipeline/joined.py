"""Several splits of a data set, or of data sets of the same classes, behind one another as one source."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.source import Source


class Joined(Source):
    """The examples of `sources`, one after the other; `info` is the first one's.

    Args:
      sources: one or more, of the same classes.
      name: of them all, where that is not the first one's.
      prefixes: of the examples' names, one for each source, where these would else be found twice.

    Attributes:
      places: int64 `[N_k]` of each of them, where its examples stand here.

    Raises:
      ValueError: the sources do not have the same classes.
    """

    def __init__(self, sources: Sequence[Source], name: str = '', prefixes: Sequence[str] = ()):
        first = sources[0]
        for other in sources[1:]:
            if other.info.class_names != first.info.class_names or other.info.num_classes != first.info.num_classes:
                raise ValueError(f'{first.info.name}: splits {first.split!r} and {other.split!r} have other classes')
        self.info = dataclasses.replace(first.info, name=name) if name else first.info
        self.split = '+'.join(dict.fromkeys(source.split for source in sources))
        self._sources, self._prefixes = list(sources), list(prefixes) or [''] * len(sources)
        self._starts = np.cumsum([0, *(len(source) for source in sources)])
        self.places = [np.arange(a, b) for a, b in zip(self._starts, self._starts[1:], strict=False)]

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def labels(self) -> np.ndarray:
        return np.concatenate([source.labels for source in self._sources])

    def example_id(self, i: int) -> str:
        k, place = self._find(i)
        return self._prefixes[k] + self._sources[k].example_id(place)

    def read(self, i: int) -> dict[str, Any]:
        k, place = self._find(i)
        return self._sources[k].read(place)

    def fingerprint(self) -> str:
        return hashlib.sha256('|'.join(source.fingerprint() for source in self._sources).encode()).hexdigest()[:16]

    def _find(self, i: int) -> tuple[int, int]:
        """Which source example `i` comes from, and its place there."""
        k = int(np.searchsorted(self._starts, i, side='right')) - 1
        return k, int(i - self._starts[k])


def stratified_subset(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """int64 `[count]`, ascending: places of that many examples, of each class as nearly the same share as can be.

    Of one seed a smaller subset is part of every larger one, so that learning curves over the number of examples add
    examples and never exchange them.

    Raises:
      ValueError: fewer than one for each class, or more than there are.
    """
    labels = np.asarray(labels)
    classes = np.unique(labels)
    if not len(classes) <= count <= len(labels):
        raise ValueError(f'{count} of {len(labels)} examples with {len(classes)} classes: take {len(classes)} or more')
    order = np.random.default_rng(seed).permutation(len(labels))
    shares = np.empty(len(labels))
    for label in classes:
        mine = order[labels[order] == label]
        # The place within its class in shares of it: taking by these keeps the classes' proportions.
        shares[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    first = [next(i for i in order if labels[i] == label) for label in classes]
    shares[first] = -1.0
    ranked = order[np.argsort(shares[order], kind='stable')]
    return np.sort(ranked[:count])

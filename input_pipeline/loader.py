"""Reads and transforms many examples at once, in threads, into one array; replaces the ones that cannot be read."""

import concurrent.futures
import itertools
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from input_pipeline.placement import sides
from input_pipeline.randomness import uniforms
from input_pipeline.source import Source, UnreadableError
from input_pipeline.targets import LABELS, Target, as_targets
from input_pipeline.transforms import HostTransform


class BadExample(NamedTuple):
    """An example that could not be read: its place, its name, and why."""

    index: int
    id: str
    reason: str


class FaultyExample(NamedTuple):
    """An example with objects that are not right: its place, its name, how many have which fault (targets.Boxes)."""

    index: int
    id: str
    faults: dict[str, int]


class TooManyBadExamples(ValueError):
    """More of the data is unreadable than the run allows."""


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


class Loader:
    """Decodes examples of a source with a pool of threads.

    Args:
      source: where examples come from.
      host_transform: what is done to each.
      threads: how many decode; 0 for one a core (more only hurt).
      max_bad_fraction: the share of the source that may be unreadable before loading stops.
      targets: what to load besides pixels.

    Raises:
      ValueError: a target that the source does not provide.
    """

    def __init__(
        self,
        source: Source,
        host_transform: HostTransform,
        threads: int,
        max_bad_fraction: float,
        targets: Target | Sequence[Target] = LABELS,
    ):
        self._source, self._transform = source, host_transform
        self._targets = as_targets(targets, source.info)
        self._threads = threads or _cores()
        self._limit = max_bad_fraction * len(source)
        self._bad: dict[int, BadExample] = {}
        self._faulty: dict[int, dict[str, int]] = {}
        self._lock = threading.Lock()
        self._pool = None

    def remember(self, known: Sequence[BadExample]) -> None:
        """Takes over what an earlier run found unreadable: it is passed over as then, even if it was repaired since.

        Examples of another source, by place and name, are not looked at.
        """
        for bad in known:
            if bad.index < len(self._source) and self._source.example_id(bad.index) == bad.id:
                self._bad[bad.index] = bad

    @property
    def bad_examples(self) -> list[BadExample]:
        """The unreadable examples met so far, by index."""
        with self._lock:
            return [self._bad[index] for index in sorted(self._bad)]

    @property
    def faulty_examples(self) -> list[FaultyExample]:
        """The examples met so far whose objects have faults, by index; the most of each fault seen at once."""
        with self._lock:
            return [FaultyExample(i, self._source.example_id(i), dict(self._faulty[i])) for i in sorted(self._faulty)]

    def load(self, indices: np.ndarray, positions: np.ndarray | None, seed: int, replace: bool):
        """Loads examples.

        Args:
          indices: int `[b]`, places in the source.
          positions: int `[b]`, places in the endless order, which with `seed` key the random numbers of each example.
          seed: the order's seed.
          replace: whether the next readable example stands in for one that cannot be read; else `ok` is False there.

        Returns:
          `image` uint8 `[b, H, W, 3]` and the targets' arrays; `index` int32 `[b]` of what was read; `ok` bool `[b]`:
          other rows are padding.

        Raises:
          TooManyBadExamples: above `max_bad_fraction`, naming the first ones.
          ValueError: a label outside the classes, naming the example.
        """
        arrays, count = self.allocate(len(indices)), len(indices)
        index, ok = np.array(indices, np.int32), np.ones(count, bool)
        turns = itertools.count()

        draws = np.zeros((count, 0)) if positions is None else uniforms(seed, positions, self._transform.draws)

        def work():
            # Each thread takes the next example that nobody has: even shares whatever the images cost.
            while (row := next(turns)) < count:
                self._fill(arrays, index, ok, row, draws[row], replace)

        if self._threads == 1 or count == 1:
            work()
        else:
            pool = self._started_pool()
            for done in [pool.submit(work) for _ in range(min(self._threads, count))]:
                done.result()
        return arrays, index, ok

    def allocate(self, count: int) -> dict[str, np.ndarray]:
        """Arrays for `count` examples; all but `image` filled as for padding."""
        size = sides(self._transform.image_size)
        arrays = {'image': np.empty((count, *size, 3), np.uint8)}
        for target in self._targets:
            arrays.update(target.allocate(count, size))
        return arrays

    def _started_pool(self) -> concurrent.futures.ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(self._threads, thread_name_prefix='decode')
            return self._pool

    def _fill(self, arrays, index, ok, row: int, draws: np.ndarray, replace: bool) -> None:
        wanted, total = int(index[row]), len(self._source)
        for offset in range(total if replace else 1):
            at = (wanted + offset) % total
            if at in self._bad:
                continue
            try:
                self._fill_from(at, arrays, row, draws)
            except UnreadableError as error:
                self._clear(arrays, row)
                self._report(BadExample(at, self._source.example_id(at), str(error)))
                continue
            index[row] = at
            return
        if replace:
            name, split = self._source.info.name, self._source.split
            raise TooManyBadExamples(f'{name}: no example of split {split!r} is readable')
        ok[row] = False
        self._clear(arrays, row)

    def _clear(self, arrays, row: int) -> None:
        """Makes a row padding again: an example may turn out unreadable when half of it is written."""
        blank = self.allocate(1)
        for name, array in arrays.items():
            array[row] = blank[name][0] if name != 'image' else 0

    def _fill_from(self, at: int, arrays, row: int, draws: np.ndarray) -> None:
        example = self._source.read(at)
        out = arrays['image'][row]
        placement = self._transform(example['image'], draws, out)
        for target in self._targets:
            try:
                faults = target.fill(arrays, row, example, placement, out.shape[:2], self._source.info)
            except UnreadableError:
                raise
            except ValueError as error:
                raise ValueError(f'{self._source.info.name}: {self._source.example_id(at)}: {error}') from error
            if faults:
                self._note(at, faults)

    def _note(self, at: int, faults: dict[str, int]) -> None:
        with self._lock:
            known = self._faulty.setdefault(at, {})
            for kind, count in faults.items():
                known[kind] = max(count, known.get(kind, 0))

    def _report(self, bad: BadExample) -> None:
        with self._lock:
            self._bad[bad.index] = bad
            count = len(self._bad)
        if count > self._limit:
            first = '; '.join(f'{b.id} ({b.reason})' for b in self.bad_examples[:3])
            raise TooManyBadExamples(
                f'{self._source.info.name}: {count} of {len(self._source)} examples cannot be read, more than the '
                f'run allows (raise max_bad_fraction or repair them): {first}'
            )

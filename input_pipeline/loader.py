"""Reads and transforms many examples at once, in threads, into one array; replaces the ones that cannot be read."""

import concurrent.futures
import itertools
import os
import threading
from typing import NamedTuple

import numpy as np

from input_pipeline.randomness import uniforms
from input_pipeline.source import Source, UnreadableError
from input_pipeline.transforms import HostTransform


class BadExample(NamedTuple):
    """An example that could not be read: its place, its name, and why."""

    index: int
    id: str
    reason: str


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
    """

    def __init__(self, source: Source, host_transform: HostTransform, threads: int, max_bad_fraction: float):
        self._source, self._transform = source, host_transform
        self._threads = threads or _cores()
        self._limit = max_bad_fraction * len(source)
        self._bad: dict[int, BadExample] = {}
        self._lock = threading.Lock()
        self._pool = None

    @property
    def bad_examples(self) -> list[BadExample]:
        """The unreadable examples met so far, by index."""
        with self._lock:
            return [self._bad[index] for index in sorted(self._bad)]

    def load(self, indices: np.ndarray, positions: np.ndarray | None, seed: int, replace: bool):
        """Loads examples.

        Args:
          indices: int `[b]`, places in the source.
          positions: int `[b]`, places in the endless order, which with `seed` key the random numbers of each example.
          seed: the order's seed.
          replace: whether the next readable example stands in for one that cannot be read; else `ok` is False there.

        Returns:
          `image` uint8 `[b, S, S, 3]`, `label` int32 `[b]`, `index` int32 `[b]` of what was read, `ok` bool `[b]`.

        Raises:
          TooManyBadExamples: above `max_bad_fraction`, naming the first ones.
          ValueError: a label outside the classes.
        """
        count, size = len(indices), self._transform.image_size
        batch = {
            'image': np.empty((count, size, size, 3), np.uint8),
            'label': np.zeros(count, np.int32),
            'index': np.array(indices, np.int32),
            'ok': np.ones(count, bool),
        }
        turns = itertools.count()

        draws = np.zeros((count, 0)) if positions is None else uniforms(seed, positions, self._transform.draws)

        def work():
            # Each thread takes the next example that nobody has: even shares whatever the images cost.
            while (row := next(turns)) < count:
                self._fill(batch, row, draws[row], replace)

        if self._threads == 1 or count == 1:
            work()
        else:
            pool = self._started_pool()
            for done in [pool.submit(work) for _ in range(min(self._threads, count))]:
                done.result()
        return batch

    def _started_pool(self) -> concurrent.futures.ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(self._threads, thread_name_prefix='decode')
            return self._pool

    def _fill(self, batch, row: int, draws: np.ndarray, replace: bool) -> None:
        index, total = int(batch['index'][row]), len(self._source)
        for offset in range(total if replace else 1):
            at = (index + offset) % total
            if at in self._bad:
                continue
            try:
                example = self._source.read(at)
                self._transform(example['image'], draws, batch['image'][row])
            except UnreadableError as error:
                self._report(BadExample(at, self._source.example_id(at), str(error)))
                continue
            batch['label'][row], batch['index'][row] = example['label'], at
            return
        if replace:
            name, split = self._source.info.name, self._source.split
            raise TooManyBadExamples(f'{name}: no example of split {split!r} is readable')
        batch['ok'][row] = False
        batch['image'][row] = 0

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

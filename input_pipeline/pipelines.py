"""Training batches, streamed from the host or by index from arrays that stay on the device: the same order, either way.

A batch is a dict of NumPy arrays with this process's b rows of the global batch of B: `index` int32 `[b]` (place in the
source), `row` int32 `[b]` (row in the global batch), `mask` float32 `[b]` of ones; streamed batches hold `image` uint8
`[b, H, W, 3]` and the targets' arrays (targets.py; `label` int32 `[b]` by default) besides. Which examples a step sees,
and with which random numbers, follows from the seed and the step alone (order.py): not from the number of threads,
processes, or where a run was resumed.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline.loader import BadExample, FaultyExample, Loader
from input_pipeline.order import index_batch, process_rows
from input_pipeline.placement import sides
from input_pipeline.source import Source
from input_pipeline.targets import LABELS, Target, as_targets
from input_pipeline.transforms import HostTransform

Batch = dict[str, np.ndarray]
MAX_BAD_FRACTION = 0.01


class Failure:
    """An error carried through Grain, whose iterators would go on behind it with the next batch."""

    def __init__(self, error: BaseException):
        self.error = error


class _Pipeline:
    """What both kinds share.

    Args:
      source: the training split.
      batch_size: of the global batch, over all processes.
      seed: of the order and of random crops, 0..2**32 - 1.
      host_transform: transforms.train(...).
      threads: decoding threads; 0 for one a core.
      process_index, process_count: this process's place among those that share a global batch.
      max_bad_fraction: the share of unreadable examples above which the run stops, naming them.
      targets: what the batches bring besides pixels: one of targets.py, or several.

    Raises:
      ValueError: a target that the source does not provide, a batch size that is not a multiple of the processes, or a
        number out of its range.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        host_transform: HostTransform,
        threads: int = 0,
        process_index: int = 0,
        process_count: int = 1,
        max_bad_fraction: float = MAX_BAD_FRACTION,
        targets: Target | Sequence[Target] = LABELS,
    ):
        self._source, self._batch_size, self._seed, self._transform = source, batch_size, seed, host_transform
        self._targets = targets
        self._rows = np.asarray(process_rows(batch_size, process_index, process_count))
        index_batch(1, seed, 1, 0)  # refuses a wrong seed now
        self._loader = Loader(source, host_transform, threads, max_bad_fraction, targets)

    @property
    def bad_examples(self) -> list[BadExample]:
        """Examples that could not be read so far, for which their next readable neighbours stand in."""
        return self._loader.bad_examples

    def remember(self, known: Sequence[BadExample]) -> None:
        """Takes over `bad_examples` of the run that this one goes on from, so that none is lost from its result.

        To be called before the first batch; resident data, which are read as a whole, need it not.
        """

    @property
    def faulty_examples(self) -> list[FaultyExample]:
        """Examples met so far with objects that were left out, clipped, or beyond the padding."""
        return self._loader.faulty_examples

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which as many examples are seen as the source has; not whole in general."""
        return len(self._source) / self._batch_size

    def state_fingerprint(self) -> str:
        """16 hexadecimal digits of all that decides which batches come: a resumed run must find the same."""
        parts = (self._source.fingerprint(), self._batch_size, self._seed, self._transform, self._targets)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def _indices(self, step: int) -> np.ndarray:
        return index_batch(len(self._source), self._seed, self._batch_size, step)[self._rows]

    def _placed(self, index: np.ndarray) -> Batch:
        return {'index': index, 'row': self._rows.astype(np.int32), 'mask': np.ones(len(self._rows), np.float32)}


class Streaming(_Pipeline):
    """Decodes and crops on the host, some batches ahead of the device."""

    def remember(self, known: Sequence[BadExample]) -> None:
        self._loader.remember(known)

    def batches(self, start_step: int = 0, prefetch: int = 2) -> Iterator[Batch]:
        """Endless batches from step `start_step` on (0-based), `prefetch` of them prepared ahead.

        Raises:
          TooManyBadExamples: above `max_bad_fraction`.
          ValueError: a label outside the classes, naming the example.
        """
        import grain

        # Two batches in the making keep every core busy while the last images of one are finished.
        options = grain.ReadOptions(num_threads=min(2, prefetch), prefetch_buffer_size=prefetch)
        steps = grain.MapDataset.range(start_step, sys.maxsize).map(self._batch)
        for batch in steps.to_iter_dataset(options):
            if isinstance(batch, Failure):
                raise batch.error
            yield batch

    def _batch(self, step: int) -> Batch | Failure:
        try:
            positions = int(step) * self._batch_size + self._rows
            arrays, index, _ = self._loader.load(self._indices(int(step)), positions, self._seed, replace=True)
            return {**arrays, **self._placed(index)}
        except Exception as error:  # carried, not swallowed
            return Failure(error)


class Resident(_Pipeline):
    """The whole split decoded once; a step needs indices only. Random crops are the device's.

    Attributes:
      arrays: `image` uint8 `[N, H, W, 3]` and the targets' arrays, to be placed on the device once and gathered by a
        batch's `index`.

    Raises:
      ValueError: for a random host transform.
      TooManyBadExamples: above `max_bad_fraction`.
    """

    def __init__(self, source: Source, **arguments):
        super().__init__(source, **arguments)
        if self._transform.draws:
            raise ValueError('resident data is decoded once: it takes no random host transform (crop=none or pad)')
        # Where an example was replaced, `_read` has its neighbour's place: as a streamed batch would say.
        self.arrays, self._read, _ = self._loader.load(np.arange(len(source)), None, 0, replace=True)

    @staticmethod
    def fits(
        source: Source,
        image_size: int | tuple[int, int],
        limit_bytes: int,
        targets: Target | Sequence[Target] = LABELS,
    ) -> bool:
        """Whether the decoded split and its targets take at most `limit_bytes`."""
        height, width = sides(image_size)
        blank = [target.allocate(1, (height, width)) for target in as_targets(targets, source.info)]
        extra = sum(array.nbytes for arrays in blank for array in arrays.values())
        return len(source) * (height * width * 3 + extra) <= limit_bytes

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Endless index batches from step `start_step` on (0-based)."""
        step = start_step
        while True:
            yield self._placed(self._read[self._indices(step)])
            step += 1

"""Evaluation batches: every example exactly once, whatever the batch size and the number of processes.

Global batch k holds examples k * B .. k * B + B - 1 of the source in order; what is missing from the last is padding
with `mask` 0 (and `index` 0). Every process yields the same number of batches, so that collectives match. An example
that cannot be read is not replaced, which would count its neighbour twice, but masked and listed.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline.loader import BadExample, FaultyExample, Loader
from input_pipeline.order import process_rows
from input_pipeline.pipelines import MAX_BAD_FRACTION, Batch, Failure
from input_pipeline.source import Source
from input_pipeline.targets import LABELS, Target
from input_pipeline.transforms import HostTransform


class _Evaluation:
    def __init__(
        self, source, batch_size, host_transform, threads, process_index, process_count, max_bad_fraction, targets
    ):
        if host_transform.draws:
            raise ValueError('evaluation takes no random host transform')
        self._source, self._batch_size = source, batch_size
        self._rows = np.asarray(process_rows(batch_size, process_index, process_count))
        self._loader = Loader(source, host_transform, threads, max_bad_fraction, targets)

    def __len__(self) -> int:
        """Batches a process yields."""
        return -(-len(self._source) // self._batch_size)

    @property
    def bad_examples(self) -> list[BadExample]:
        """Examples that could not be read so far and were left out."""
        return self._loader.bad_examples

    @property
    def faulty_examples(self) -> list[FaultyExample]:
        """Examples met so far with objects that were left out, clipped, or beyond the padding."""
        return self._loader.faulty_examples

    def _placed(self, k: int) -> Batch:
        index = k * self._batch_size + self._rows
        real = index < len(self._source)
        return {
            'index': np.where(real, index, 0).astype(np.int32),
            'row': self._rows.astype(np.int32),
            'mask': real.astype(np.float32),
        }


class StreamedEvaluation(_Evaluation):
    """Iterates over batches with `image`, the targets' arrays, `index`, `row` and `mask`; may be iterated again."""

    def __iter__(self) -> Iterator[Batch]:
        import grain

        options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)
        for batch in grain.MapDataset.range(len(self)).map(self._batch).to_iter_dataset(options):
            if isinstance(batch, Failure):
                raise batch.error
            yield batch

    def _batch(self, k: int) -> Batch | Failure:
        try:
            batch = self._placed(int(k))
            real = batch['mask'] > 0
            loaded, _, ok = self._loader.load(batch['index'][real], None, 0, replace=False)
            batch['mask'][real] = ok
            if real.all():
                return {**loaded, **batch}
            arrays = self._loader.allocate(len(real))
            arrays['image'][~real] = 0
            for name, array in arrays.items():
                array[real] = loaded[name]
            return {**arrays, **batch}
        except Exception as error:  # carried, not swallowed
            return Failure(error)


class ResidentEvaluation(_Evaluation):
    """Iterates over batches with `index`, `row` and `mask`; `arrays` is as in pipelines.Resident."""

    def __init__(self, *args):
        super().__init__(*args)
        self.arrays, _, self._ok = self._loader.load(np.arange(len(self._source)), None, 0, replace=False)

    def __iter__(self) -> Iterator[Batch]:
        for k in range(len(self)):
            batch = self._placed(k)
            batch['mask'] = batch['mask'] * self._ok[batch['index']]
            yield batch


def evaluation_batches(
    source: Source,
    *,
    batch_size: int,
    host_transform: HostTransform,
    resident: bool = False,
    threads: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    targets: Target | Sequence[Target] = LABELS,
) -> StreamedEvaluation | ResidentEvaluation:
    """Batches that score a split; `len()` says how many, `bad_examples` what was left out.

    Args:
      source: the split.
      batch_size: of the global batch, over all processes.
      host_transform: transforms.evaluate(...).
      resident: decode everything now and yield indices only.
      threads: decoding threads; 0 for one a core.
      process_index, process_count: this process's place.
      max_bad_fraction: the share of unreadable examples above which the evaluation stops, naming them.
      targets: what the batches bring besides pixels: one of targets.py, or several.

    Raises:
      ValueError: a target that the source does not provide, a random transform, or a batch size that is not a multiple
        of the processes.
    """
    kind = ResidentEvaluation if resident else StreamedEvaluation
    return kind(source, batch_size, host_transform, threads, process_index, process_count, max_bad_fraction, targets)

"""Parts of one source as pipelines of their own, decoded once for all of them: folds that are trained side by side.

A batch's `index` refers to the whole source, whichever part it comes from and however it is read, so that predictions
of several parts can be laid side by side. Which examples a step sees is the same as for a pipeline over the part alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from input_pipeline.evaluation import ResidentEvaluation, evaluation_batches
from input_pipeline.order import index_batch, process_rows
from input_pipeline.pipelines import Batch, Resident, Streaming
from input_pipeline.source import Source


def train_parts(
    source: Source, parts: Sequence[np.ndarray], seeds: Sequence[int], *, resident: bool, **options
) -> list[Any]:
    """A training pipeline for each part.

    Args:
      source: the whole.
      parts: int `[n]` each, places in the source.
      seeds: of each part's order.
      resident: decode the whole once and share it; else each part streams its own.
      options: those of pipelines.Resident or pipelines.Streaming, without `seed`.
    """
    if not resident:
        return [
            _Renumbered(Streaming(source.select(part), seed=seed, **options), part)
            for part, seed in zip(parts, seeds, strict=True)
        ]
    whole = Resident(source, seed=0, **options)
    size, rows = options['batch_size'], _rows(options)
    return [ResidentPart(whole, part, seed, size, rows) for part, seed in zip(parts, seeds, strict=True)]


def evaluation_parts(source: Source, parts: Sequence[np.ndarray], *, resident: bool, **options) -> list[Any]:
    """Evaluation batches of each part; arguments as above, options those of `evaluation_batches`."""
    if not resident:
        return [_Renumbered(evaluation_batches(source.select(part), **options), part) for part in parts]
    whole = evaluation_batches(source, resident=True, **options)
    return [ResidentEvaluationPart(whole, part, options['batch_size'], _rows(options)) for part in parts]


def _rows(options: dict[str, Any]) -> np.ndarray:
    place = options.get('process_index', 0), options.get('process_count', 1)
    return np.asarray(process_rows(options['batch_size'], *place))


class ResidentPart:
    """Index batches of some examples of resident arrays."""

    def __init__(self, whole: Resident, part: np.ndarray, seed: int, batch_size: int, rows: np.ndarray):
        self.arrays = whole.arrays
        self._whole, self._seed, self._batch_size, self._rows = whole, seed, batch_size, rows
        self._read = _readable(np.asarray(part), {bad.index for bad in whole.bad_examples})

    @property
    def bad_examples(self) -> list:
        return self._whole.bad_examples

    @property
    def faulty_examples(self) -> list:
        return self._whole.faulty_examples

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Endless index batches from step `start_step` on (0-based)."""
        step = start_step
        while True:
            order = index_batch(len(self._read), self._seed, self._batch_size, step)[self._rows]
            index = self._read[order].astype(np.int32)
            yield {
                'index': index,
                'row': self._rows.astype(np.int32),
                'mask': np.ones(len(index), np.float32),
            }
            step += 1


def _readable(part: np.ndarray, bad: set[int]) -> np.ndarray:
    """The part with each unreadable example replaced by the part's next readable one: never by one outside it."""
    wrong = np.flatnonzero(np.isin(part, list(bad)))
    if not len(wrong):
        return part
    if len(wrong) == len(part):
        raise ValueError(f'none of the {len(part)} examples of a part is readable')
    read = part.copy()
    for at in wrong:
        read[at] = next(part[(at + k) % len(part)] for k in range(len(part)) if part[(at + k) % len(part)] not in bad)
    return read


class ResidentEvaluationPart:
    """Evaluation batches, by index, of some examples of resident arrays, each exactly once."""

    def __init__(self, whole: ResidentEvaluation, part: np.ndarray, batch_size: int, rows: np.ndarray):
        self.arrays, self.bad_examples, self.faulty_examples = whole.arrays, whole.bad_examples, whole.faulty_examples
        self._part, self._batch_size, self._rows = np.asarray(part), batch_size, rows
        self._ok = ~np.isin(self._part, [bad.index for bad in whole.bad_examples])

    def __len__(self) -> int:
        return -(-len(self._part) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for k in range(len(self)):
            place = k * self._batch_size + self._rows
            real = place < len(self._part)
            place = np.where(real, place, 0)
            yield {
                'index': self._part[place].astype(np.int32),
                'row': self._rows.astype(np.int32),
                'mask': (real & self._ok[place]).astype(np.float32),
            }


class _Renumbered:
    """A pipeline over a selection whose batches' `index` is made to refer to the whole."""

    def __init__(self, pipeline: Any, part: np.ndarray):
        self._pipeline, self._part = pipeline, np.asarray(part)

    @property
    def bad_examples(self) -> list:
        return self._renumbered(self._pipeline.bad_examples)

    @property
    def faulty_examples(self) -> list:
        return self._renumbered(self._pipeline.faulty_examples)

    def _renumbered(self, examples: list) -> list:
        return [example._replace(index=int(self._part[example.index])) for example in examples]

    def __len__(self) -> int:
        return len(self._pipeline)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._renumber, self._pipeline)

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        return map(self._renumber, self._pipeline.batches(start_step))

    def _renumber(self, batch: Batch) -> Batch:
        return {**batch, 'index': self._part[batch['index']].astype(np.int32)}


class SideBySide:
    """Several parts' pipelines as one whose batches carry a leading axis over the parts, `[E, b, ...]`.

    Evaluation ends with the longest part; the shorter ones go on with batches whose mask is 0.
    """

    def __init__(self, pipelines: Sequence[Any]):
        self._pipelines = list(pipelines)
        arrays = getattr(self._pipelines[0], 'arrays', None)
        if arrays is not None:
            self.arrays = arrays

    @property
    def bad_examples(self) -> list:
        return _each_once(pipeline.bad_examples for pipeline in self._pipelines)

    @property
    def faulty_examples(self) -> list:
        return _each_once(pipeline.faulty_examples for pipeline in self._pipelines)

    def __len__(self) -> int:
        return max(len(pipeline) for pipeline in self._pipelines)

    def __iter__(self) -> Iterator[Batch]:
        running, last = [iter(pipeline) for pipeline in self._pipelines], [None] * len(self._pipelines)
        for _ in range(len(self)):
            for e, batches in enumerate(running):
                batch = next(batches, None)
                last[e] = {**last[e], 'mask': np.zeros_like(last[e]['mask'])} if batch is None else batch
            yield _stack(last)

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        running = [pipeline.batches(start_step) for pipeline in self._pipelines]
        while True:
            yield _stack([next(batches) for batches in running])


def _each_once(lists: Iterable[list]) -> list:
    found = {example.index: example for examples in lists for example in examples}
    return [found[index] for index in sorted(found)]


def _stack(batches: Sequence[Batch]) -> Batch:
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}

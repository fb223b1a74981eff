"""Pipelines over examples that are arrays already: batches of indices, nothing is decoded or left out.

The source has `arrays`, by name `[N, ...]`. Orders, rows and masks are those of every other source (parts.py).
"""

from collections.abc import Sequence

import numpy as np

from input_pipeline.order import process_rows
from input_pipeline.parts import ResidentEvaluationPart, ResidentPart
from input_pipeline.source import Source


class Ready:
    """What stays on the device: `arrays`; and `bad_examples` and `faulty_examples`, of which there are none."""

    def __init__(self, source: Source):
        self.arrays, self.bad_examples, self.faulty_examples = source.arrays, [], []


def is_ready(source: Source) -> bool:
    """Whether a source's examples are arrays already."""
    return hasattr(type(source), 'arrays')


def size_in_bytes(source: Source) -> int:
    """What a ready source's arrays take."""
    return sum(array.nbytes for array in source.arrays.values())


def train_parts(
    source: Source,
    parts: Sequence[np.ndarray],
    seeds: Sequence[int],
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
) -> list[ResidentPart]:
    """As `parts.train_parts`, of resident arrays."""
    whole, rows = Ready(source), np.asarray(process_rows(batch_size, process_index, process_count))
    return [ResidentPart(whole, part, seed, batch_size, rows) for part, seed in zip(parts, seeds, strict=True)]


def evaluation_parts(
    source: Source, parts: Sequence[np.ndarray], *, batch_size: int, process_index: int = 0, process_count: int = 1
) -> list[ResidentEvaluationPart]:
    """As `parts.evaluation_parts`, of resident arrays."""
    whole, rows = Ready(source), np.asarray(process_rows(batch_size, process_index, process_count))
    return [ResidentEvaluationPart(whole, part, batch_size, rows) for part in parts]

"""The order in which training sees examples: one pure function for streaming and resident data.

Grain shuffles each epoch anew with a random-access permutation; epochs follow one another without a gap, so a batch
may straddle two. Position p of the endless order is in epoch p // n; step s takes positions s * B .. s * B + B - 1.
Nothing here has state: any step can be computed at once, which is what makes resuming exact.
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=8)
def _endless(n: int, seed: int):
    import grain  # a second, since it imports jax: not for those who only prepare or look

    return grain.MapDataset.range(n).seed(seed).shuffle().repeat(None)


def index_batch(n: int, seed: int, batch_size: int, step: int) -> np.ndarray:
    """int32 `[batch_size]`: the examples of step `step` (0-based) out of `n`.

    Raises:
      ValueError: for sizes below one, a negative step, or a seed outside 0..2**32 - 1.
    """
    if n < 1 or batch_size < 1 or step < 0:
        raise ValueError(f'order needs n, batch_size >= 1 and step >= 0, not {n}, {batch_size}, {step}')
    if not 0 <= seed < 2**32:
        raise ValueError(f'seed must lie in 0..{2**32 - 1}, not {seed}')
    order, first = _endless(n, seed), step * batch_size
    return np.fromiter((order[first + row] for row in range(batch_size)), dtype=np.int32, count=batch_size)


def process_rows(batch_size: int, process_index: int, process_count: int) -> range:
    """The rows of each global batch that one process reads: [p * B / P, (p + 1) * B / P).

    Raises:
      ValueError: where the batch cannot be divided evenly, or the index is outside the count.
    """
    if not 0 <= process_index < process_count:
        raise ValueError(f'process_index {process_index} is outside 0..{process_count - 1}')
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(f'batch_size {batch_size} must be a multiple of the {process_count} processes')
    share = batch_size // process_count
    return range(process_index * share, (process_index + 1) * share)

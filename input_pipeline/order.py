"""The order in which training sees examples: one pure function for streaming and resident data.

Grain shuffles each epoch anew with a random-access permutation; epochs follow one another without a gap, so a batch
may straddle two. Position p of the endless order is in epoch p // n; step s takes positions s * B .. s * B + B - 1.
Nothing here has state: any step can be computed at once, which is what makes resuming exact.
"""

import functools

import numpy as np

from input_pipeline.shuffle import is_flawed, permutation

# Up to here an epoch's permutation is computed at once, which is faster than one index at a time.
_AT_ONCE = 2**18


# Folds that train side by side have sizes of their own, and batches that straddle two epochs.
@functools.lru_cache(maxsize=64)
def _endless(n: int, seed: int):
    import grain  # a second, since it imports jax: not for those who only prepare or look

    return grain.MapDataset.range(n).seed(seed).shuffle().repeat(None)


@functools.lru_cache(maxsize=64)
def _first_epoch_seed(n: int, seed: int) -> int | None:
    """The seed that Grain gives its shuffle's first epoch; None where our permutation is not Grain's."""
    grain_order = _endless(n, seed)
    # As grain.MapDataset.seed derives it: from the seed and how far below the shuffle it was given.
    first = int(np.random.SeedSequence((seed, 1)).generate_state(1, np.uint32)[0])
    ours = permutation(n, first)
    same = is_flawed(n) or all(ours[i] == grain_order[i] for i in {0, n // 2, n - 1})
    return first if same else None


@functools.lru_cache(maxsize=64)
def _epoch(n: int, epoch_seed: int) -> np.ndarray:
    return permutation(n, epoch_seed)


def index_batch(n: int, seed: int, batch_size: int, step: int) -> np.ndarray:
    """int32 `[batch_size]`: the examples of step `step` (0-based) out of `n`.

    Raises:
      ValueError: for sizes below one, a negative step, or a seed outside 0..2**32 - 1.
    """
    if n < 1 or batch_size < 1 or step < 0:
        raise ValueError(f'order needs n, batch_size >= 1 and step >= 0, not {n}, {batch_size}, {step}')
    if not 0 <= seed < 2**32:
        raise ValueError(f'seed must lie in 0..{2**32 - 1}, not {seed}')
    positions = range(step * batch_size, (step + 1) * batch_size)
    first_seed = _first_epoch_seed(n, seed) if n <= _AT_ONCE or is_flawed(n) else None
    if first_seed is None:
        order = _endless(n, seed)
        return np.fromiter((order[p] for p in positions), dtype=np.int32, count=batch_size)
    batch, at = np.empty(batch_size, np.int32), 0
    while at < batch_size:
        epoch, place = divmod(positions[at], n)
        part = _epoch(n, (first_seed + epoch) % 2**32)[place : place + batch_size - at]
        batch[at : at + len(part)] = part
        at += len(part)
    return batch


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

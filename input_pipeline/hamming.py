"""Pairs of 64-bit hashes that differ in few bits, without looking at all pairs."""

import itertools
from collections.abc import Iterator

import numpy as np

BANDS, BITS = 4, 16
MOST = 11
# Candidate pairs in memory at once.
_CHUNK = 4_000_000


def near_pairs(queries: np.ndarray, table: np.ndarray, max_distance: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields (i, j, distance) arrays of `queries[i]` and `table[j]` that differ in at most `max_distance` bits.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): of four bands of 16 bits at least one differs in
    `max_distance // 4` bits or fewer, so only the entries are looked at whose band is one of those few values. A pair
    may come several times.

    Args:
      queries, table: uint64 `[M]` and `[N]`.
      max_distance: 0 to 11; each step of four is about seven times the work.
    """
    if not 0 <= max_distance <= MOST:
        raise ValueError(f'a distance of {max_distance} bits is not in 0..{MOST}')
    radius = max_distance // BANDS
    flipped = [bits for size in range(radius + 1) for bits in itertools.combinations(range(BITS), size)]
    for band in range(BANDS):
        keys = (table >> np.uint64(BITS * band)).astype(np.uint16)
        order = np.argsort(keys, kind='stable')
        starts = np.zeros((1 << BITS) + 1, np.int64)
        np.cumsum(np.bincount(keys, minlength=1 << BITS), out=starts[1:])
        asked = (queries >> np.uint64(BITS * band)).astype(np.uint16)
        for bits in flipped:
            values = (asked ^ np.uint16(sum(1 << b for b in bits))).astype(np.int64)
            yield from _matches(queries, table, starts[values], starts[values + 1], order, max_distance)


def _matches(queries, table, first, last, order, max_distance):
    """Query i is to be compared with `order[first[i]:last[i]]`."""
    counts = last - first
    some = np.flatnonzero(counts)
    ends = np.cumsum(counts[some])
    begin = 0
    while begin < len(some):
        done = ends[begin - 1] if begin else 0
        # At least one query a round, however many it is to be compared with.
        stop = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK, side='right')))
        chosen = some[begin:stop]
        i = np.repeat(chosen, counts[chosen])
        within = np.arange(len(i)) - np.repeat(ends[begin:stop] - counts[chosen] - done, counts[chosen])
        j = order[np.repeat(first[chosen], counts[chosen]) + within]
        distance = np.bitwise_count(queries[i] ^ table[j])
        near = distance <= max_distance
        yield i[near], j[near], distance[near]
        begin = stop

"""Grain's shuffle of one epoch, all at once.

Grain maps an index to its place in the shuffled epoch by a block cipher on the smallest even number of bits, 16 or
more, that holds the indices, repeated until the result is an index again (Black and Rogaway 2002, "Ciphers with
arbitrary finite domains"); the cipher is four rounds of Simon (Beaulieu et al. 2013), its keys those of C++'s
`std::seed_seq` (grain/_src/python/experimental/index_shuffle, Apache-2.0, states it). One index at a time that costs 8
microseconds for a set of 50,000 and 270 for a set of 100; here an epoch is one pass over arrays, and order.py checks it
against Grain.
"""

import numpy as np

_ROUNDS = 4


def permutation(n: int, seed: int) -> np.ndarray:
    """int32 `[n]`: what `grain.experimental.index_shuffle(i, max_index=n - 1, seed=seed, rounds=4)` is for each i.

    Takes time and memory in proportion to the cipher's domain: 65,536 for small n, up to 4 n for larger ones.
    """
    if n == 1:
        return np.zeros(1, np.int32)
    # Grain takes the bits of n - 2: where n - 1 is a power of four from 4**8 on, its domain lacks the last index, which
    # comes out as index 0 does. Two bits more make it a permutation there too.
    bits = max(16, (n - 2).bit_length() if not is_flawed(n) else (n - 1).bit_length())
    bits += bits % 2
    jump = _encrypt(np.arange(1 << bits, dtype=np.uint32), bits // 2, _keys(seed))
    # Each pass doubles how often the cipher is repeated for what still lies outside.
    while (jump[:n] >= n).any():
        jump = np.where(jump >= n, jump[jump], jump)
    return jump[:n].astype(np.int32)


def is_flawed(n: int) -> bool:
    """Whether Grain's own shuffle of n indices is no permutation (seen in 0.2.18)."""
    return n > 4**8 and (n - 1).bit_count() == 1 and (n - 1).bit_length() % 2 == 1


def _encrypt(values: np.ndarray, width: int, keys: list[int]) -> np.ndarray:
    """Simon's Feistel rounds on words of `width` bits; two words make a value."""
    mask = np.uint32((1 << width) - 1)

    def mix(word):
        turned = [((word << np.uint32(r)) & mask) | (word >> np.uint32(width - r)) for r in (1, 8, 2)]
        return (turned[0] & turned[1]) ^ turned[2]

    left, right = values >> np.uint32(width), values & mask
    for first, second in zip(keys[::2], keys[1::2], strict=True):
        left = left ^ mix(right) ^ (np.uint32(first) & mask)
        right = right ^ mix(left) ^ (np.uint32(second) & mask)
    return (left << np.uint32(width)) | right


def _keys(seed: int) -> list[int]:
    """Four 32-bit words of `std::seed_seq{seed}` (ISO C++17, 29.6.7.1, with its names n, m, p, q, r)."""
    n, word = _ROUNDS, 0xFFFFFFFF
    p, q = 1, 2
    state = [0x8B8B8B8B] * n

    def spread(x: int) -> int:
        return (x ^ x >> 27) & word

    for k in range(n):
        r1 = 1664525 * spread(state[k] ^ state[(k + p) % n] ^ state[(k - 1) % n]) & word
        r2 = (r1 + (1 if k == 0 else k + seed if k == 1 else k)) & word
        state[(k + p) % n] = (state[(k + p) % n] + r1) & word
        state[(k + q) % n] = (state[(k + q) % n] + r2) & word
        state[k] = r2
    for k in range(n):
        r3 = 1566083941 * spread((state[k] + state[(k + p) % n] + state[(k - 1) % n]) & word) & word
        r4 = (r3 - k) & word
        state[(k + p) % n] ^= r3
        state[(k + q) % n] ^= r4
        state[k] = r4
    return state

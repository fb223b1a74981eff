"""Random numbers that depend on the seed and an example's position in the order alone, for a whole batch at once.

Philox4x64-10 (Salmon et al. 2011), a counter-based generator, keyed by (seed, position): the numbers that
`np.random.Generator(np.random.Philox(key=(seed, position))).random(count)` gives, bit for bit. Making that generator
anew for every image would cost a tenth of decoding it.
"""

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_WEYL = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_ROUNDS = 10
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def uniforms(seed: int, positions: np.ndarray, count: int) -> np.ndarray:
    """float64 `[n, count]` in [0, 1): `count` numbers for each of the `n` positions (whole, not negative)."""
    blocks = -(-count // 4)
    shape = (len(positions), blocks)
    # NumPy's generator counts up before it draws: its first block has counter 1.
    words = [np.broadcast_to(np.arange(1, blocks + 1, dtype=np.uint64), shape), *(np.zeros(shape, np.uint64),) * 3]
    key0, key1 = np.uint64(seed), np.asarray(positions).astype(np.uint64)[:, None]
    with np.errstate(over='ignore'):  # arithmetic is modulo 2**64 by design
        for _ in range(_ROUNDS):
            high0, low0 = _multiply(words[0], _MULTIPLIERS[0])
            high1, low1 = _multiply(words[2], _MULTIPLIERS[1])
            words = [high1 ^ words[1] ^ key0, low1, high0 ^ words[3] ^ key1, low0]
            key0, key1 = key0 + _WEYL[0], key1 + _WEYL[1]
    drawn = np.stack(words, axis=-1).reshape(len(positions), 4 * blocks)[:, :count]
    return (drawn >> np.uint64(11)) * 2.0**-53


def _multiply(a: np.ndarray, b: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower 64 bits of the 128-bit products a * b."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    cross = a1 * b0 + (a0 * b0 >> _HALF)
    middle = (cross & _LOW) + a0 * b1
    return a1 * b1 + (cross >> _HALF) + (middle >> _HALF), a * b

"""The stated rule by which the goldens' weights and inputs are filled, with NumPy alone.

A name's SHA-256 keys a Philox counter generator, whose raw words are the same in every version of NumPy; each gives
four 16-bit numbers, taken as u uniform in [-1, 1). Then, by the name and shape that PyTorch gives:

- weights of convolutions and dense layers: u sqrt(6 / fan_in), which keeps the scale of what a ReLU halves;
- weights of batch norms: 0.8 + 0.3 u; running variances: 1 + 0.4 u; running means: 0.2 u;
- biases: 0.1 u; images: 2 u.

Every array differs from every other and from its own transpose, so a swapped, transposed or unpermuted array shows.
"""

import hashlib

import numpy as np


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of that shape in [-1, 1), the same for the same name and size everywhere."""
    count = int(np.prod(shape))
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], 'little')
    words = np.random.Philox(key=key).random_raw(-(-count // 4)).astype('<u8', copy=False)
    u = words.view('<u2')[:count].astype(np.float32)
    u *= np.float32(2**-15)
    u -= np.float32(1)
    return u.reshape(shape)


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of that name in a state dict of PyTorch."""
    if name.endswith('num_batches_tracked'):
        return np.zeros(shape, np.int64)
    u = uniform(name, shape)
    if name.endswith('running_mean'):
        return np.float32(0.2) * u
    if name.endswith('running_var'):
        return np.float32(1) + np.float32(0.4) * u
    if name.endswith('bias'):
        return np.float32(0.1) * u
    if len(shape) == 1:
        return np.float32(0.8) + np.float32(0.3) * u
    u *= np.float32(np.sqrt(6 / np.prod(shape[1:])))
    return u


def images(size: int, batch: int) -> np.ndarray:
    """float32 `[batch, size, size, 3]`."""
    return 2 * uniform(f'images{size}', (batch, size, size, 3))

"""Axis orders: how an array of ours lies in PyTorch's files, and back.

Kernels meet in PyTorch's order for convolutions, OIHW: ours are HWIO (convolutions, transposed ones too: `[kh, kw, out,
in]` against `[in, out, kh, kw]`), and a dense layer is a convolution over the grid it flattens. That grid matters: ours
flattens rows, columns, channels, PyTorch's channels, rows, columns, so the first dense layer after a map is permuted.
"""

import math
from typing import NamedTuple

import numpy as np

LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}


class Place(NamedTuple):
    """Where one of our modules lives in a state dict.

    `channels`: of the map that a dense layer flattens, 0 where it reads no map. `form`: 'dense' or 'conv' where the
    other side always has that form, '' where it has ours; 'hwio' where its kernels lie as ours do. `flip`: the kernel
    reads blue, green, red there, and red, green, blue here.
    """

    prefix: str
    channels: int = 0
    form: str = ''
    flip: bool = False


def grid(rows: int, channels: int) -> tuple[int, int]:
    """The square grid of `rows` flattened inputs of that many `channels`.

    Raises:
      ValueError: no square grid has that many inputs.
    """
    side = math.isqrt(rows // channels)
    if side * side * channels != rows:
        raise ValueError(f'{rows} inputs are no square map of {channels} channels; give a square image_shape')
    return side, side


def canonical_shape(shape: tuple[int, ...], cells: tuple[int, int]) -> tuple[int, ...]:
    """OIHW of a kernel of ours of this shape; a dense one reads a map of `cells` = (H, W)."""
    if len(shape) == 2:
        return shape[1], shape[0] // (cells[0] * cells[1]), *cells
    return shape[3], shape[2], shape[0], shape[1]


def from_theirs(array: np.ndarray, shape: tuple[int, ...], cells: tuple[int, int]) -> np.ndarray | None:
    """A kernel of PyTorch's as ours of `shape`, or None where the sizes do not fit."""
    target = canonical_shape(shape, cells)
    if array.ndim == 2 and array.shape == (target[0], math.prod(target[1:])):
        array = array.reshape(target)
    if array.shape != target:
        return None
    return array.transpose(2, 3, 1, 0).reshape(shape)


def to_theirs(array: np.ndarray, cells: tuple[int, int], form: str = '') -> np.ndarray:
    """A kernel of ours in PyTorch's order, `[O, I, kh, kw]` or `[out, in]`."""
    dense = form == 'dense' or (not form and array.ndim == 2)
    target = canonical_shape(array.shape, cells)
    kernel = array.reshape(*target[2:], target[1], target[0]).transpose(3, 2, 0, 1)
    return kernel.reshape(len(kernel), -1) if dense else kernel

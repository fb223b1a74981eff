"""Named leaves: a pytree as a flat dict of host arrays with a checksum each, and back."""

import zlib
from typing import Any

import jax
import numpy as np


def _part(key: Any) -> str:
    for attribute in ('key', 'name', 'idx'):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    raise ValueError(f'a pytree key of type {type(key).__name__} has no name')


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves by path: keys, field names and positions joined by slashes. Empty containers and None have none."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = '/'.join(_part(key) for key in path)
        if name in named:
            raise ValueError(f'two leaves of the tree are both named {name}')
        named[name] = leaf
    return named


def part(name: str) -> str:
    """The top-level part of the tree that a leaf belongs to: `params` of `params/conv1/kernel`."""
    return name.partition('/')[0]


def unflatten(template: Any, named: dict[str, Any]) -> Any:
    """The template's structure with the leaves of these names."""
    return jax.tree.unflatten(jax.tree.structure(template), [named[name] for name in flatten(template)])


def to_host(leaf: Any) -> np.ndarray:
    """An own copy of the leaf's global value: a buffer that is donated afterwards cannot change it.

    Accepts NumPy arrays and scalars, Python numbers and JAX arrays on any number of devices. An array that is spread
    over processes is gathered, which every process must take part in.
    """
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise ValueError('random keys are derived from (seed, stream, step), never saved')
    if isinstance(leaf, jax.Array) and leaf.is_fully_replicated:
        leaf = leaf.addressable_data(0)
    elif isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        from jax.experimental import multihost_utils

        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    array = np.array(leaf, order='C', copy=True)
    if array.dtype == object:
        raise ValueError(f'a leaf of type {type(leaf).__name__} is not an array')
    return array


def dtype(name: str) -> np.dtype:
    """The dtype of this name, those that NumPy lacks (bfloat16, float8) included."""
    return jax.numpy.dtype(name)


def describe(array: np.ndarray) -> dict[str, Any]:
    """What identifies a leaf: CRC-32 of its bytes, dtype and shape, ready for JSON."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size else b''
    return {'crc32': zlib.crc32(data), 'dtype': array.dtype.name, 'shape': list(array.shape)}


def mismatches(template: dict[str, Any], saved: dict[str, dict[str, Any]], limit: int = 8) -> list[str]:
    """What is missing, unexpected or of another shape or dtype in a saved tree; empty where the two agree."""
    wrong = []
    for name, leaf in template.items():
        if name not in saved:
            continue
        leaf = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
        want = f'{np.dtype(leaf.dtype).name}{list(leaf.shape)}'
        have = f'{saved[name]["dtype"]}{saved[name]["shape"]}'
        if want != have:
            wrong.append(f'{name} (saved {have}, expected {want})')
    groups = {
        'missing': [name for name in template if name not in saved],
        'unexpected': [name for name in saved if name not in template],
        'mismatched': wrong,
    }
    lines = []
    for kind, names in groups.items():
        if names:
            rest = f' and {len(names) - limit} more' if len(names) > limit else ''
            lines.append(f'{len(names)} {kind}: {", ".join(names[:limit])}{rest}')
    return lines

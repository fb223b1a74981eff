"""Weights into and out of a network: `load` and `save`."""

import logging
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn.weights import layout, names
from cnn.weights.errors import MismatchedWeightsError
from cnn.weights.files import read_arrays, unwrap, write_arrays

# Names listed of each kind before '... and n more'.
LISTED = 8
_log = logging.getLogger(__name__)


def load(
    path: str | os.PathLike,
    model: nn.Module,
    *,
    template: Mapping[str, Any] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    replace_head: bool = False,
    strict: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Reads a file of weights into the variables of `model`, whatever of its known styles the file is in.

    Args:
      path: `.safetensors`, a file of PyTorch, or a pickle of arrays; nothing in it is executed.
      template: variables of the network, as arrays or shapes, if they are at hand; what the file does not give is taken
        from them. Without it they are derived of `image_shape`.
      image_shape: (H, W, C) of one image; by default the network's usual size with the channels of the file.
      replace_head: where the file has another number of classes, keep a fresh classifier and say so in the log.
      strict: False takes what fits, lists in the log what is missing or unexpected, and keeps `template` or a fresh
        initialisation for the missing. Sizes must agree in either case.
      seed: of fresh values.

    Returns:
      `{'params': ..., 'batch_stats': ...}` of `jax.Array`s in the template's dtypes.

    Raises:
      MismatchedWeightsError: names or sizes differ: one message lists missing, unexpected and mismatched.
      WeightsError: damaged, unsafe or unknown kind of file.
      OSError: the file cannot be opened.
    """
    return from_arrays(
        read_arrays(path), model, source=pathlib.Path(path).name, template=template, image_shape=image_shape,
        replace_head=replace_head, strict=strict, seed=seed,
    )  # fmt: skip


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    model: nn.Module,
    *,
    source: str = 'the state dict',
    template: Mapping[str, Any] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    replace_head: bool = False,
    strict: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """`load` from a state dict in memory, of any style that the network has; `source` names it in messages."""
    arrays = names.canonical(model, unwrap(arrays))
    shapes = template if template is not None else _shapes(model, arrays, image_shape)
    style = names.detect(model, shapes, arrays)
    entries = names.entries(model, shapes, style)
    found, missing, mismatched = _convert(entries, arrays, shapes)

    fresh = {
        e.path for e in entries if replace_head and e.path in missing | mismatched and names.is_head(model, e.path)
    }
    if fresh:
        _log.warning('%s: the classifier is new: %s', source, ', '.join(sorted('/'.join(p) for p in fresh)))
    used = {entry.key for entry in entries}
    problems = {
        'missing': [e.key for e in entries if e.path in missing - fresh],
        'unexpected': [k for k in arrays if k not in used and not names.is_ignorable(model, k)],
        'mismatched': [_mismatch(e, arrays) for e in entries if e.path in mismatched - fresh],
    }
    if not strict and not problems['mismatched']:
        fresh |= missing
    elif any(problems.values()):
        hint = '' if replace_head or not problems['mismatched'] else ' (replace_head=True keeps a new classifier)'
        raise MismatchedWeightsError(_listing(source, model, style, problems) + hint)
    if any(problems.values()):
        _log.warning('%s', _listing(source, model, style, problems))
    if fresh:
        found |= _fresh(model, template, shapes, image_shape, seed, fresh)
    return unflatten_dict({entry.path: found[entry.path] for entry in entries})


def save(path: str | os.PathLike, model: nn.Module, variables: Mapping[str, Any], style: str = '') -> None:
    """Writes variables as `.safetensors` or `.pth`, whole or not at all.

    Args:
      style: one of `names.styles(model)`: 'torchvision' (the default where the network has a counterpart there), 'timm'
        ..., or 'native' for our own names and axis orders.

    Raises:
      WeightsError: unknown style, suffix or dtype.
    """
    style = style or names.styles(model)[0]
    flat = flatten_dict(dict(variables))
    arrays = {}
    for entry in names.entries(model, variables, style):
        array = np.asarray(flat[entry.path])
        array = array[:, :, ::-1] if entry.flip else array
        arrays[entry.key] = layout.to_theirs(array, entry.cells, entry.form) if entry.is_kernel else array
        if style != names.NATIVE and entry.path[0] == 'batch_stats' and entry.path[-1] == 'var':
            # PyTorch's modules count batches; they are needed only where momentum is None.
            arrays[entry.key.replace('running_var', 'num_batches_tracked')] = np.zeros((), np.int64)
    write_arrays(path, arrays)


def _convert(entries: list[names.Entry], arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Any]):
    """Ours of theirs; the paths without an array, and those whose sizes do not fit."""
    flat = flatten_dict(dict(shapes))
    found: dict[names.Path, jax.Array] = {}
    missing, mismatched = set(), set()
    for entry in entries:
        array = arrays.get(entry.key)
        if array is None:
            missing.add(entry.path)
            continue
        ours = layout.from_theirs(array, entry.shape, entry.cells) if entry.is_kernel else array
        if ours is None or ours.shape != entry.shape:
            mismatched.add(entry.path)
        else:
            ours = ours[:, :, ::-1] if entry.flip else ours
            # A copy: the file's memory is not ours to donate.
            found[entry.path] = jax.device_put(np.array(ours, flat[entry.path].dtype, order='C'))
    return found, missing, mismatched


def _shapes(model: nn.Module, arrays: Mapping[str, np.ndarray], image_shape: tuple[int, int, int] | None):
    """Shapes of the network's variables; the file's first convolution tells the channels of an image."""
    if image_shape is not None:
        return jax.eval_shape(lambda: _init(model, image_shape, 0))
    table = names.table_of(model)
    size = table.image_size(model) if table else 224
    shapes = jax.eval_shape(lambda: _init(model, (size, size, 3), 0))
    if table:
        style = names.detect(model, shapes, arrays)
        path = ('params', *names.stem(model), 'kernel')
        stem = next(e for e in names.entries(model, shapes, style) if e.path == path)
        first = arrays.get(stem.key)
        channels = 3 if first is None or first.ndim != 4 else first.shape[1 if stem.is_kernel else 2]
        if channels != 3:
            return jax.eval_shape(lambda: _init(model, (size, size, channels), 0))
    return shapes


def _init(model: nn.Module, image_shape: tuple[int, int, int], seed: int) -> dict[str, Any]:
    # In training mode: heads that only training reads have variables too.
    keys = dict(zip(('params', 'dropout'), jax.random.split(jax.random.key(seed)), strict=True))
    return dict(model.init(keys, jnp.zeros((1, *image_shape)), train=True))


def _fresh(model, template, shapes, image_shape, seed, paths) -> dict[names.Path, jax.Array]:
    """Initial values of these paths: the template's where it holds arrays."""
    flat = flatten_dict(dict(shapes))
    if template is not None and not isinstance(flat[next(iter(paths))], jax.ShapeDtypeStruct):
        return {path: jnp.array(flat[path]) for path in paths}
    if image_shape is None:
        table = names.table_of(model)
        size = table.image_size(model) if table else 224
        channels = flat['params', *names.stem(model), 'kernel'].shape[2] if table else 3
        image_shape = (size, size, channels)
    # Compiled with these outputs alone: the rest of the network is never computed.
    return jax.jit(lambda: {p: v for p, v in flatten_dict(_init(model, image_shape, seed)).items() if p in paths})()


def _mismatch(entry: names.Entry, arrays: Mapping[str, np.ndarray]) -> str:
    wanted = layout.canonical_shape(entry.shape, entry.cells) if entry.is_kernel else entry.shape
    if entry.is_kernel and arrays[entry.key].ndim == 2:
        wanted = (wanted[0], int(np.prod(wanted[1:])))
    return f'{entry.key} {arrays[entry.key].shape} for {wanted}'


def _listing(name: str, model: nn.Module, style: str, problems: Mapping[str, list[str]]) -> str:
    parts = []
    for kind, keys in problems.items():
        if keys:
            more = f' ... and {len(keys) - LISTED} more' if len(keys) > LISTED else ''
            parts.append(f'{len(keys)} {kind}: {", ".join(keys[:LISTED])}{more}')
    return f'{name} does not fit {type(model).__name__} by its {style} names; {"; ".join(parts)}'

"""How often a detector's convolutions go over an image: the step from R-CNN to SPPNet, counted in the traced program.

    convolutional_passes(task, variables, batch)
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from cnn.ops import backend

# What leaves a kernel a kernel.
_KEEPS = frozenset(('convert_element_type', 'copy', 'reshape', 'transpose', 'rev', 'squeeze', 'broadcast_in_dim'))


def convolutional_passes(task: Any, variables: Mapping[str, Any], batch: Mapping[str, Any]) -> float:
    """How many images the network's first convolution reads for each image of the batch.

    The whole image, once, counts 1; so does a region that is cut out of it, and the image at another scale. Loops count
    as often as they run, of alternatives the one with most; a `while` loop's rounds are not known: it counts once.

    Args:
      task: its `predict` is traced, not run, so that shapes will do for the other two.
      batch: has `image` `[B, H, W, C]`.

    Raises:
      ValueError: it has no convolution by a kernel of `variables`.
    """
    read = images_read(task.predict, variables, batch)
    if not read:
        raise ValueError(f'{type(task).__name__} predicts without a convolution by one of its parameters')
    return next(iter(read.values())) / np.shape(batch['image'])[0]


def images_read(function: Callable, variables: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, int]:
    """How many images or maps each convolution reads, by the path of its kernel, in the order in which they begin."""
    with backend.lowering('plain'):
        # A function of its own: what was traced before, in another form, is kept by the function's name.
        closed = jax.make_jaxpr(lambda *arguments: function(*arguments))(variables, batch)
    leaves = jax.tree_util.tree_flatten_with_path((variables, batch))[0]
    names = [
        '/'.join(str(getattr(key, 'key', key)) for key in path[1:]) if path[0].idx == 0 and np.ndim(leaf) > 2 else None
        for path, leaf in leaves
    ]
    read: dict[str, int] = {}
    _walk(closed.jaxpr, names, 1, read)
    return read


def _walk(jaxpr, names, times, read) -> list[str | None]:
    """Adds to `read`; returns the names of the kernels that the outputs are."""
    known = dict(zip(jaxpr.invars, names, strict=True))

    def name_of(atom):
        return None if hasattr(atom, 'val') else known.get(atom)

    for eqn in jaxpr.eqns:
        own, primitive = [name_of(atom) for atom in eqn.invars], eqn.primitive.name
        if primitive == 'conv_general_dilated' and own[1]:
            batch = eqn.invars[0].aval.shape[eqn.params['dimension_numbers'].lhs_spec[0]]
            read[own[1]] = read.get(own[1], 0) + times * batch
        elif primitive in _KEEPS:
            known[eqn.outvars[0]] = own[0]
        elif primitive == 'cond':
            ways = []
            for branch in eqn.params['branches']:
                ways.append({})
                _walk(branch.jaxpr, own[1:], times, ways[-1])
            for name in dict.fromkeys(name for way in ways for name in way):
                read[name] = read.get(name, 0) + max(way.get(name, 0) for way in ways)
        elif primitive == 'while':
            constants = eqn.params['cond_nconsts']
            _walk(eqn.params['body_jaxpr'].jaxpr, own[constants:], times, read)
        else:
            inner = next((p for p in eqn.params.values() if hasattr(getattr(p, 'jaxpr', p), 'eqns')), None)
            inner = getattr(inner, 'jaxpr', inner)
            if inner is not None and len(inner.invars) == len(own):
                outputs = _walk(inner, own, times * eqn.params.get('length', 1), read)
                if primitive != 'scan':
                    known.update(zip(eqn.outvars, outputs, strict=True))
    return [name_of(atom) for atom in jaxpr.outvars]

"""Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): where in an image the evidence for a class lies.

Of a network's last convolutional maps A_k, each is weighted by the mean over its cells of the class score's gradient,
and what is positive of their sum is kept: `relu(sum_k mean(dy/dA_k) A_k)`, the paper's equations 1 and 2. Where maps
are averaged and classified linearly (ResNet, GoogLeNet) this is class activation mapping (Zhou et al. 2016) over the
number of cells.

Any network will do: its forward pass is traced to a jaxpr and cut where the endpoint is made, so that the score can be
differentiated by the endpoint without the network's knowing.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnn.analysis.graph import trace

# Endpoints that are no convolutions' own maps: pooled ones, and classifiers run over a map.
_NOT_CONVOLUTIONS = ('pool', 'fc', 'score')
# Of a map's axis: the input position over which cell 0 is centred, and the distance to the next cell's.
Grid = tuple[tuple[float, float], tuple[float, float]]


def last_convolution(endpoints: Mapping[str, Any]) -> str:
    """The name of the last convolutional map among endpoints (arrays or shapes) in the order of the forward pass.

    Raises:
      ValueError: no endpoint is a map `[B, h, w, C]`.
    """
    maps = [name for name, value in endpoints.items() if len(value.shape) == 4]
    if not maps:
        raise ValueError('the network has no endpoint [B, h, w, C], so there is no map to show')
    return next((name for name in reversed(maps) if not name.startswith(_NOT_CONVOLUTIONS)), maps[-1])


def grad_cam(
    module: nn.Module, variables: Mapping[str, Any], images: jax.Array, labels: jax.Array, *, endpoint: str = ''
) -> jax.Array:
    """How much each cell of an endpoint speaks for a class: float32 `[B, h, w]`, 0 or more, in the class score's units.

    Args:
      module: `apply(variables, images, train=False) -> (logits [B, C], endpoints)`.
      images: normalised, `[B, H, W, C]`.
      labels: int `[B]`, the class asked about in each image.
      endpoint: its name; '' for `last_convolution`.

    Raises:
      ValueError: an endpoint that is not there, is no map, or that the logits do not depend on.
    """

    def forward(variables, images):
        return module.apply(variables, images, train=False)

    endpoint = endpoint or endpoint_of(module, variables, images)
    traced, shapes = jax.make_jaxpr(forward, return_shape=True)(variables, images)
    if endpoint not in shapes[1] or len(shapes[1][endpoint].shape) != 4:
        maps = ', '.join(name for name, value in shapes[1].items() if len(value.shape) == 4)
        raise ValueError(f'the network has no map {endpoint!r}; there are {maps}')
    # Outputs lie flat in the jaxpr, in the order of the tree.
    places = jax.tree.unflatten(jax.tree.structure(shapes), traced.jaxpr.outvars)
    score, cut = places[0], places[1][endpoint]
    equations = traced.jaxpr.eqns
    made = next((i for i, e in enumerate(equations) if any(v is cut for v in e.outvars)), None)
    if made is None or not any(v is cut for e in equations[made + 1 :] for v in e.invars):
        raise ValueError(f'the logits do not depend on the endpoint {endpoint!r}')

    # What the rest reads of the first part: the maps themselves and whatever goes past them.
    rest, shared = equations[made + 1 :], list(dict.fromkeys(_read(equations[made + 1 :])))
    before = {*traced.jaxpr.constvars, *traced.jaxpr.invars, *(v for e in equations[: made + 1] for v in e.outvars)}
    shared = [v for v in shared if v in before and v is not cut]
    first = traced.jaxpr.replace(eqns=equations[: made + 1], outvars=[cut, *shared])
    second = traced.jaxpr.replace(constvars=[], invars=[cut, *shared], eqns=rest, outvars=[score])
    leaves = jax.tree.leaves((variables, images))
    activations, *others = core.jaxpr_as_fun(core.ClosedJaxpr(first, traced.consts))(*leaves)

    def asked(activations):
        (logits,) = core.jaxpr_as_fun(core.ClosedJaxpr(second, []))(activations, *others)
        return jnp.take_along_axis(logits.astype(jnp.float32), jnp.asarray(labels)[:, None], 1).sum()

    # In evaluation mode an image's score depends on its own maps alone, so the sum's gradient is each score's.
    gradient = jax.grad(asked)(activations).astype(jnp.float32)
    weights = gradient.mean((1, 2), keepdims=True)
    return nn.relu((weights * activations.astype(jnp.float32)).sum(-1))


def endpoint_of(module: nn.Module, variables: Mapping[str, Any], images: Any) -> str:
    """`last_convolution` of a network for images of this shape; nothing is computed."""

    def names(variables, images):
        # A jaxpr's outputs come in the order of sorted names: the forward pass's is taken from the dict itself.
        endpoints = module.apply(variables, images, train=False)[1]
        found.append(last_convolution(endpoints))

    found: list[str] = []
    jax.eval_shape(names, variables, images)
    return found[0]


def grid(module: nn.Module, endpoint: str, image_shape: tuple[int, int, int]) -> Grid:
    """Where the cells of an endpoint are centred in images of `(H, W, C)`: for rows and columns (offset, stride).

    Exact, from the layers' strides and padding: the first cell of a ResNet's last map is centred on the first pixel,
    not 16 pixels further in, where stretching the map over the image would put it. The map is stretched where no law is
    known, as behind a deformable convolution.
    """
    graph = trace(module, image_shape)
    shape, field = graph.outputs[endpoint]
    found = []
    for size, cells, axis in zip(image_shape[:2], shape.shape[1:3], field or (None, None), strict=True):
        if axis is not None and axis.window is not None:
            # The window alone: a norm over space or a gate lets every cell see the whole image besides.
            found.append((sum(axis.window.interval(0)) / 2, float(axis.window.jump)))
        else:
            found.append(((size / cells - 1) / 2, size / cells))
    return tuple(found)


def spread(heat: Any, cells: Grid, height: int, width: int) -> np.ndarray:
    """A map over the cells as one over the pixels, `[..., h, w] -> [..., height, width]` float32: linear between the
    cells' centres, constant beyond the outermost."""
    heat = np.asarray(heat, np.float32)
    for axis, size, (offset, stride) in ((-2, height, cells[0]), (-1, width, cells[1])):
        count = heat.shape[axis]
        place = np.clip((np.arange(size) - offset) / stride, 0, count - 1)
        below = np.minimum(place.astype(int), max(count - 2, 0))
        above = np.minimum(below + 1, count - 1)
        share = (place - below).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        heat = np.take(heat, below, axis) * (1 - share) + np.take(heat, above, axis) * share
    return heat


def _read(equations) -> list[Any]:
    """The variables that equations read, in order."""
    return [v for equation in equations for v in equation.invars if not isinstance(v, core.Literal)]

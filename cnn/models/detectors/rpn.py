"""The region proposal network (Ren et al. 2015, arXiv:1506.01497, section 3.1): is there an object at each anchor?

A 3x3 convolution `conv` slides over the trunk's map; of each cell, two 1x1 convolutions tell for every anchor whether
it holds an object (`cls`, two numbers: background, object) and how to move it there (`bbox`, four numbers).
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.models import initializers, layers
from cnn.ops import anchors as anchors_ops


class Judged(NamedTuple):
    """What the network says of N = cells x k anchors.

    Attributes:
      logits: float32 `[B, N, 2]`, of background and object.
      deltas: float32 `[B, N, 4]`, to `boxes.decode` at the anchors.
      anchors: float32 `[N, 4]`, x0, y0, x1, y1 in pixels of the input.
    """

    logits: jax.Array
    deltas: jax.Array
    anchors: jax.Array


class RPN(nn.Module):
    """`apply(variables, features [B, H, W, C]) -> Judged`.

    Attributes:
      features: maps of the 3x3 convolution: 512 on VGG-16, 256 on ZF.
      cell: `[k, 4]`, the first cell's anchors; see `anchors.base`.
      stride, offset: of the map's cells, as `anchors.grid` takes them.
    """

    features: int
    cell: tuple[tuple[float, ...], ...]
    stride: int
    offset: float = 0.0
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array) -> Judged:
        batch, height, width, _ = features.shape
        # Section 3.1.3: all new layers start from a deviation of 0.01.
        make = partial(layers.Conv, kernel_init=initializers.normal(0.01))
        x = nn.relu(make(self.features, 3, padding=1, dtype=self.dtype, name='conv')(features))
        x, k = x.astype(jnp.float32), len(self.cell)
        logits = make(2 * k, 1, padding=0, name='cls')(x).reshape(batch, -1, 2)
        deltas = make(4 * k, 1, padding=0, name='bbox')(x).reshape(batch, -1, 4)
        cell = np.asarray(self.cell, np.float32)
        return Judged(logits, deltas, anchors_ops.grid(height, width, self.stride, cell, offset=self.offset))


def create(
    features: int,
    *,
    stride: int,
    first_centre: float,
    ratios: tuple[float, ...] = anchors_ops.RATIOS,
    scales: tuple[float, ...] = anchors_ops.SCALES,
    dtype: layers.Dtype = jnp.float32,
) -> RPN:
    """A region proposal network on a map of this stride.

    Args:
      features: maps of the 3x3 convolution.
      first_centre: the pixel over which the map's first cell is centred (a trunk's `endpoint_offsets`); anchors are
        centred there, between pixels.
      ratios: heights over widths; `scales`: sides in units of 16 pixels. The default nine are the authors'.
    """
    cell = anchors_ops.base(ratios=ratios, scales=scales)
    as_tuples = tuple(tuple(float(x) for x in box) for box in cell)
    return RPN(features, as_tuples, stride, first_centre + 0.5 - 16 / 2, dtype)

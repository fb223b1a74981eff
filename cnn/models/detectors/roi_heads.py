"""What Fast and Faster R-CNN do with a region: pool its features, think about them, name its class and move its box.

Letters: B images, R regions of each, C classes without the background, which is class 0 here (so there are C + 1).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers
from cnn.ops.roi import roi_align, roi_pool

POOLINGS = ('max', 'align')
KINDS = ('dense', 'stage')


class RoIHead(nn.Module):
    """`apply(variables, features [B, H, W, F], boxes [B, R, 4], train) -> (logits [B, R, C+1], deltas [B, R, C+1, 4])`.

    Both float32; deltas are `boxes.encode`'s of each class, over the stds that the task chooses. Layers: those of
    `body` and `cls_score`, `bbox_pred`.

    Attributes:
      body: module from `[B * R, *size, F]` to `[B * R, features]`, called with `train`.
      pooling: 'max', Fast R-CNN's, or 'align'.
      size: bins a side.
      stride: pixels between neighbouring cells of the map; `first_centre`: the pixel its first cell is centred over.
      svm: whether there is a layer `svm` besides, of zeros until it is solved for; what it reads and says, `[B * R, D]`
        and `[B * R, C]`, are `features` and `margins` of the collection `intermediates`.
    """

    num_classes: int
    body: nn.Module
    pooling: str
    size: int
    stride: int
    first_centre: float = 0.0
    svm: bool = False

    def pool(self, features: jax.Array, boxes: jax.Array) -> jax.Array:
        """What the body sees of the regions: `[B, R, *size, F]`."""
        size, scale = (self.size, self.size), 1 / self.stride
        if self.pooling == 'max':
            # The authors' boxes end at the last pixel inside, and roi_pool reads corners as they are.
            return roi_pool(features, boxes - jnp.float32([0, 0, 1, 1]), size=size, scale=scale)
        # roi_align takes the first cell's centre for half a stride.
        return roi_align(features, boxes + self.stride / 2 - (self.first_centre + 0.5), size=size, scale=scale)

    @nn.compact
    def __call__(
        self, features: jax.Array, boxes: jax.Array, train: bool = False, pooled: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """`pooled` in place of `pool(features, boxes)` where the regions come from several maps."""
        pooled = self.pool(features, boxes) if pooled is None else pooled
        x = self.body(pooled.reshape(-1, *pooled.shape[2:]), train).astype(jnp.float32)
        # Fast R-CNN, section 2.3: deviations 0.01 and 0.001.
        count = self.num_classes + 1
        logits = layers.Dense(count, kernel_init=initializers.normal(0.01), name='cls_score')(x)
        deltas = layers.Dense(4 * count, kernel_init=initializers.normal(0.001), name='bbox_pred')(x)
        if self.svm:
            margins = layers.Dense(self.num_classes, kernel_init=initializers.zeros, name='svm')(x)
            self.sow('intermediates', 'features', x)
            self.sow('intermediates', 'margins', margins)
        return logits.reshape(*boxes.shape[:2], count), deltas.reshape(*boxes.shape[:2], count, 4)


class DenseBody(nn.Module):
    """The two dense layers of a classifier, `fc6` and `fc7`, with dropout behind each, as in VGG and AlexNet.

    With `ranks`, layer i is two: `fc6_v` of so many outputs without bias, and `fc6_u` (Fast R-CNN, section 3.1; see
    `truncated_svd`); 0 leaves it whole.
    """

    hidden: tuple[int, ...]
    ranks: tuple[int, ...]
    dropout: float
    kernel_init: Callable
    dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        make = partial(layers.Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        ranks = (*self.ranks, *(0,) * len(self.hidden))
        for i, (features, rank) in enumerate(zip(self.hidden, ranks, strict=False), 6):
            if rank:
                x = make(rank, use_bias=False, name=f'fc{i}_v')(x)
            x = nn.relu(make(features, name=f'fc{i}_u' if rank else f'fc{i}')(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return x


class StageBody(nn.Module):
    """A ResNet's last stage, unit by unit, and the mean over space (He et al. 2015, arXiv:1512.03385, appendix A)."""

    unit: Callable
    features: int
    count: int
    name_of_stage: str
    strides: int
    freeze_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        train = train and not self.freeze_norm
        for i in range(self.count):
            strides = 1 if i else self.strides
            x = self.unit(self.features, strides=strides, name=f'{self.name_of_stage}_{i + 1}')(x, train)
        return layers.global_avg_pool(x)


def split(network: nn.Module, endpoint: str) -> nn.Module:
    """The part of a trunk up to an endpoint, without the parameters of what comes behind it where the trunk is one of
    stages (ResNet, VGG, Darknet); else the whole trunk.

    Raises:
      ValueError: the trunk has no such endpoint.
    """
    layers.check_choice('endpoint of the trunk', endpoint, tuple(network.endpoint_strides))
    if hasattr(network, 'stage_sizes') and endpoint.startswith('conv'):
        return network.clone(stage_sizes=network.stage_sizes[: int(endpoint[4:]) - 1])
    if hasattr(network, 'stages') and endpoint[-1:].isdigit():
        return network.clone(stages=network.stages[: int(endpoint[-1])])
    return network


def rest(network: nn.Module, endpoint: str, freeze_norm: bool) -> StageBody:
    """The last stage of a whole ResNet that is read at the one before, to be the body of a head.

    Raises:
      ValueError: no ResNet, or not the stage before the last.
    """
    sizes = getattr(network, 'stage_sizes', ())
    if not sizes or endpoint != f'conv{len(sizes)}':
        raise ValueError("model.head='stage' needs a resnet read at the stage before its last (conv4); use 'dense'")
    features, name = network.width * 2 ** (len(sizes) - 1), f'conv{len(sizes) + 1}'
    return StageBody(network.unit, features, sizes[-1], name, 2, freeze_norm)


def last_at(network: nn.Module, stride: int) -> str:
    """The trunk's last endpoint of a stride.

    Raises:
      ValueError: there is none.
    """
    known = {s: name for name, s in network.endpoint_strides.items() if not name.startswith(('pool', 'transition'))}
    if stride not in known:
        raise ValueError(f'the trunk has no map of stride {stride}; name model.endpoint: {", ".join(known.values())}')
    return known[stride]

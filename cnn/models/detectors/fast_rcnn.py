"""Fast R-CNN (Girshick 2015, arXiv:1504.08083): one pass over the image, then a head on every region given.

A trunk read at one endpoint and a head, `head` (roi_heads.py). The paper's nets are S (CaffeNet), M (VGG_CNN_M_1024)
and L (VGG-16); any other network of `cnn.models` will do.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.models import initializers, layers
from cnn.models.detectors import roi_heads, trunks
from cnn.ops import boxes as boxes_ops
from cnn.ops import resample

# Pixels that a region should be large where there are several scales.
REGION = 224.0 * 224.0


class FastRCNN(nn.Module):
    """`apply(variables, images [B, H, W, 3], boxes [B, R, 4], train) -> (logits [B, R, C+1], deltas [B, R, C+1, 4])`.

    Without boxes the whole image is the one region. With `freeze_norm` the trunk's and the head's norms keep the
    statistics they came with, in training too. Dropout draws from the stream `dropout`.

    Attributes:
      scales: factors on the images at which they go through the trunk outside training, where every region is read at
        the one that brings its area nearest to `region` pixels (section 5.2); () for the images as they come. An image
        so long that it comes smaller than the largest scale has all of them smaller, where the release limits each by
        itself. Training sees each image at one scale, which whoever feeds it chooses.
    """

    num_classes: int
    trunk: nn.Module
    endpoint: str
    head: nn.Module
    freeze_norm: bool = False
    scales: tuple[float, ...] = ()
    region: float = REGION

    @nn.compact
    def __call__(self, images: jax.Array, boxes: jax.Array | None = None, train: bool = False):
        boxes = whole(images) if boxes is None else boxes
        if train or not self.scales:
            return self.head(self._map(images, train), boxes, train)
        height, width = images.shape[1:3]
        area = boxes_ops.area(boxes)[..., None] * jnp.float32(self.scales) ** 2
        nearest, pooled = jnp.abs(area - self.region).argmin(-1), 0.0
        for i, scale in enumerate(self.scales):
            tall, wide = max(round(height * scale), 1), max(round(width * scale), 1)
            features = self._map(resample.resize(images, height=tall, width=wide), train)
            moved = boxes * jnp.float32([wide / width, tall / height] * 2)
            pooled = jnp.where((nearest == i)[..., None, None, None], self.head.pool(features, moved), pooled)
        return self.head(features, boxes, train, pooled)

    def _map(self, images: jax.Array, train: bool) -> jax.Array:
        return self.trunk(images, train and not self.freeze_norm)[1][self.endpoint]


def whole(images: jax.Array) -> jax.Array:
    """One box for each image, all of it: float32 `[B, 1, 4]`."""
    height, width = images.shape[1:3]
    return jnp.broadcast_to(jnp.float32([0, 0, width, height]), (images.shape[0], 1, 4))


def create(
    num_classes: int,
    *,
    variant: str = 'L',
    trunk: str = '',
    depth: int = 0,
    trunk_variant: str = '',
    stem: str = '',
    width: float = 0,
    norm: str = '',
    endpoint: str = '',
    head: str = '',
    hidden: tuple[int, ...] = (),
    ranks: tuple[int, ...] = (),
    pooling: str = '',
    pool_size: int = 0,
    dropout: float = -1.0,
    freeze_norm: bool = False,
    shortest: float = 0.0,
    scales: tuple[float, ...] = (),
    region: float = REGION,
    svm: bool = False,
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    dtype: layers.Dtype = jnp.float32,
) -> FastRCNN:
    """A Fast R-CNN; what is not given is the variant's.

    Args:
      num_classes: C, without the background.
      variant: 'S', 'M' or 'L', the paper's; 'ZF'; 'C4', ResNet-50 cut behind conv4; 'small', for images of 96 pixels.
      trunk: any network of `cnn.models`, with its `depth`, `trunk_variant` (its own `variant`), `stem`, `width`, `norm`
        where they are given; `endpoint`: which of its maps regions are pooled from, '' for the last of stride 16.
      head: 'dense', layers of `hidden` features; or 'stage', a ResNet's last.
      ranks: of truncated dense layers, as `truncated_svd` makes them; () for whole ones.
      pooling: 'max' or 'align', to `pool_size` bins a side.
      dropout: behind each dense layer; -1 is the variant's.
      freeze_norm: norms keep their statistics, as photographs in batches of two need.
      shortest: pixels of the shortest side of images as they come, `scales`: of the same side where they go through the
        trunk; () for the images as they come. `region`: pixels that a region's area should be near to.
      svm: whether the head has support vector machines besides (section 5.4).

    Raises:
      ValueError: for an unknown choice, naming the nearest right one, or sizes that do not go together.
    """
    layers.check_choice('variant', variant, tuple(VARIANTS))
    if scales and (shortest <= 0 or min(scales) <= 0):
        raise ValueError(f'model.scales={tuple(scales)} relate to model.shortest={shortest}: both are pixels above 0')
    sizes = VARIANTS[variant]
    own = {} if trunk else dict(sizes['sizes'])
    asked = {'depth': depth, 'variant': trunk_variant, 'stem': stem, 'width': width, 'norm': norm,
             'norm_axis': norm_axis, 'norm_momentum': 0 if norm_momentum == 0.9 else norm_momentum}  # fmt: skip
    given = own | {key: value for key, value in asked.items() if value}
    network = trunks.create(trunk or sizes['trunk'], dtype=dtype, **given)
    endpoint = endpoint or ('' if trunk else sizes['endpoint']) or roi_heads.last_at(network, 16)
    kept = roi_heads.split(network, endpoint)
    head, pooling = head or sizes['head'], pooling or sizes['pooling']
    layers.check_choice('head', head, roi_heads.KINDS)
    layers.check_choice('pooling', pooling, roi_heads.POOLINGS)
    if head == 'stage':
        body = roi_heads.rest(network, endpoint, freeze_norm)
    else:
        hidden = tuple(hidden) or sizes['hidden']
        # The classifiers' own deviation suits their wide layers; thin ones would pass on almost nothing.
        init = initializers.normal(0.01) if min(hidden) >= 1024 else initializers.he_fan_in
        dropout = sizes['dropout'] if dropout < 0 else dropout
        body = roi_heads.DenseBody(hidden, tuple(ranks), dropout, init, dtype)
    stride, first_centre = kept.endpoint_strides[endpoint], kept.endpoint_offsets[endpoint]
    size = pool_size or sizes['pool_size']
    return FastRCNN(
        num_classes,
        kept,
        endpoint,
        roi_heads.RoIHead(num_classes, body, pooling, size, stride, first_centre, svm),
        freeze_norm,
        tuple(scale / shortest for scale in scales),
        region,
    )


def truncated_svd(params: dict[str, Any], ranks: dict[str, int]) -> dict[str, Any]:
    """The same network with dense layers of its head cut to the largest singular values (section 3.1).

    Args:
      params: of a `FastRCNN` or `FasterRCNN` with a 'dense' head.
      ranks: how many to keep by layer: `{'fc6': 1024, 'fc7': 256}` in the paper. The network of the result is
        `create(..., ranks=(1024, 256))`.

    Raises:
      ValueError: the head has no such layer, or a rank is not between 1 and its smaller side.
    """
    body = dict(params['head']['body'])
    for name, rank in ranks.items():
        layers.check_choice('dense layer of the head', name, [key for key in body if key.startswith('fc')])
        layer = body.pop(name)
        kernel = np.asarray(layer['kernel'], np.float32)
        if not 1 <= rank <= min(kernel.shape):
            raise ValueError(f'{name} is {kernel.shape[0]} x {kernel.shape[1]}: it has no {rank} singular values')
        left, values, right = np.linalg.svd(kernel, full_matrices=False)
        body[f'{name}_v'] = {'kernel': jnp.asarray(left[:, :rank] * values[:rank])}
        body[f'{name}_u'] = {'kernel': jnp.asarray(right[:rank]), 'bias': layer['bias']}
    return {**params, 'head': {**params['head'], 'body': body}}


# The paper's section 4.1; the trunk's own sizes are in `sizes`. CaffeNet is AlexNet but for the order of its first
# layers (it pools before it normalises). Its prototxt pads conv1 and the first poolings: "max" takes cell i to lie over
# pixel 16 i. That of M pads nothing, and pools 17 pixels beside its regions; so does this one.
_CLASSIC = {'head': 'dense', 'hidden': (4096, 4096), 'pooling': 'max', 'pool_size': 6, 'dropout': 0.5}
VARIANTS = {
    'S': _CLASSIC | {'trunk': 'alexnet', 'sizes': {'lrn': 'caffe', 'padded': True}, 'endpoint': 'conv5'},
    'M': _CLASSIC | {'trunk': 'zf', 'sizes': {'variant': 'M'}, 'endpoint': 'conv5', 'hidden': (4096, 1024)},
    'L': _CLASSIC | {'trunk': 'vgg', 'sizes': {'variant': '16'}, 'endpoint': 'conv5', 'pool_size': 7},
    'ZF': _CLASSIC | {'trunk': 'zf', 'sizes': {'variant': 'ZF'}, 'endpoint': 'conv5'},
    'C4': {
        'trunk': 'resnet', 'sizes': {'depth': 50}, 'endpoint': 'conv4',
        'head': 'stage', 'hidden': (1024,), 'pooling': 'align', 'pool_size': 14, 'dropout': 0.0,
    },
    'small': {
        'trunk': 'resnet', 'sizes': {'depth': 18, 'width': 24}, 'endpoint': 'conv3',
        'head': 'dense', 'hidden': (256,), 'pooling': 'align', 'pool_size': 5, 'dropout': 0.0,
    },
}  # fmt: skip

"""SPPNet (He, Zhang, Ren, Sun 2014, arXiv:1406.4729): one pass over the image, a spatial pyramid of every region.

A trunk read at one endpoint, the maxima of 50 bins of each region, and dense layers with linear machines on them
(linear_heads.py). The paper's net is ZF-5; any other network of `cnn.models` will do as a trunk.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import layers
from cnn.models.detectors import roi_heads, trunks
from cnn.models.detectors.linear_heads import CLASSIFIERS, LinearHead, Said, body_of
from cnn.ops import boxes as boxes_ops
from cnn.ops import resample
from cnn.ops.roi import PYRAMID, pyramid_of_scales, spatial_pyramid

# Pixels that a region should be large.
REGION = 224 * 224


class SPPNet(nn.Module):
    """`apply(variables, images [B, H, W, 3], boxes [N, 4], index [N], train) -> Said` of N regions.

    With several scales the images go through the trunk at each, and every region is read at the one where its area is
    nearest to `region`. Without boxes each whole image is a region, as when the network is pretrained. Dropout draws
    from the stream `dropout`.

    Attributes:
      levels: bins to each side of the pyramid, level by level.
      stride: pixels between neighbouring cells of the map; `first_centre`: the pixel its first cell is centred over.
      scales: factors on the images as they come.
      region: in pixels.
      chunk: regions that go through the head at a time where it is not trained.
      freeze_norm: the trunk's norms keep the statistics they came with, in training too.
    """

    num_classes: int
    trunk: nn.Module
    endpoint: str
    head: LinearHead
    levels: tuple[int, ...]
    stride: int
    first_centre: float
    scales: tuple[float, ...]
    region: float
    chunk: int
    freeze_norm: bool

    def __call__(
        self, images: jax.Array, boxes: jax.Array | None = None, index: jax.Array | None = None, train: bool = False
    ) -> Said:
        if boxes is None:
            return self.head(spatial_pyramid(self._map(images, train), levels=self.levels), train)
        return self.say(self.maps(images, train), images.shape[1:3], boxes, index, train)

    def maps(self, images: jax.Array, train: bool = False) -> list[jax.Array]:
        """What the trunk makes of the images, `[B, h, w, F]` at each scale."""
        sizes = self._sizes(*images.shape[1:3])
        return [self._map(resample.resize(images, height=h, width=w), train) for h, w in sizes]

    def say(
        self, maps: list[jax.Array], size: tuple[int, int], boxes: jax.Array, index: jax.Array, train: bool = False
    ) -> Said:
        """What the head makes of regions of maps of images of `size` (height, width)."""
        height, width = size
        area = boxes_ops.area(boxes)[:, None] * jnp.float32(self.scales) ** 2
        pooled = pyramid_of_scales(
            maps,
            # The paper's boxes end at the last pixel inside, and its cells lie over whole pixels.
            boxes - jnp.float32([0, 0, 1, 1]),
            index,
            jnp.abs(area - self.region).argmin(-1),
            factors=[(h / height, w / width) for h, w in self._sizes(height, width)],
            levels=self.levels,
            stride=self.stride,
            first_centre=self.first_centre,
        )
        return self.head(pooled, train)

    def _sizes(self, height, width):
        return [(max(round(height * scale), 1), max(round(width * scale), 1)) for scale in self.scales]

    def _map(self, images, train):
        return self.trunk(images, train and not self.freeze_norm)[1][self.endpoint]


def create(
    num_classes: int,
    *,
    variant: str = 'ZF',
    trunk: str = '',
    depth: int = 0,
    trunk_variant: str = '',
    stem: str = '',
    width: float = 0,
    norm: str = '',
    endpoint: str = '',
    hidden: tuple[int, ...] = (),
    levels: tuple[int, ...] = PYRAMID,
    shortest: float = 0,
    scales: tuple[float, ...] = (),
    region: float = REGION,
    chunk: int = 2048,
    classifier: str = 'both',
    regress: bool = True,
    dropout: float = -1.0,
    freeze_norm: bool = False,
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    dtype: layers.Dtype = jnp.float32,
) -> SPPNet:
    """An SPPNet; what is not given is the variant's.

    Args:
      num_classes: C, without the background.
      variant: 'ZF', the paper's ZF-5; 'L', VGG-16; 'small', for images of 96 pixels.
      trunk: any network of `cnn.models`, with its `depth`, `trunk_variant` (its own `variant`), `stem`, `width`, `norm`
        where they are given; `endpoint`: which of its maps regions are pooled from, '' for the last of stride 16.
      levels: of the pyramid.
      shortest: pixels of the shortest side of images as they come, `scales`: of the same side where they go through the
        trunk; () for the images as they come.
      region: pixels that a region's area should be near to.
      chunk: regions to a pass through the head: memory against speed.
      classifier, regress, dropout: as in rcnn.py.
      freeze_norm: as a trunk that is not trained needs.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one, or scales of no size.
    """
    layers.check_choice('variant', variant, tuple(VARIANTS))
    layers.check_choice('classifier', classifier, CLASSIFIERS)
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
    body = body_of(tuple(hidden) or sizes['hidden'], sizes['dropout'] if dropout < 0 else dropout, dtype)
    return SPPNet(
        num_classes,
        kept,
        endpoint,
        LinearHead(num_classes, body, classifier, regress),
        tuple(levels),
        kept.endpoint_strides[endpoint],
        kept.endpoint_offsets[endpoint],
        tuple(scale / shortest for scale in scales) or (1.0,),
        region,
        chunk,
        freeze_norm,
    )


_CLASSIC = {'endpoint': 'conv5', 'hidden': (4096, 4096), 'dropout': 0.5}
VARIANTS = {
    'ZF': _CLASSIC | {'trunk': 'zf', 'sizes': {'variant': 'ZF'}},
    'L': _CLASSIC | {'trunk': 'vgg', 'sizes': {'variant': '16'}},
    'small': {
        'trunk': 'resnet', 'sizes': {'depth': 18, 'width': 32}, 'endpoint': 'conv2',
        'hidden': (256, 256), 'dropout': 0.0,
    },
}  # fmt: skip

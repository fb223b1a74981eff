"""The nets of Zeiler and Fergus 2013 (arXiv:1311.2901, figure 3) and of Chatfield et al. 2014 (arXiv:1405.3531) that
the R-CNN line uses beside VGG-16.

'ZF' in the form of He et al.'s releases (SPP_net, faster_rcnn: SPPNet's "ZF-5"), padded so that n pixels have n / 16
cells; 'SPP' is that with a spatial pyramid of the whole map in place of pool5 (He et al. 2014, arXiv:1406.4729), a
classifier of images of any size; 'M' is VGG_CNN_M_1024, medium, with an fc7 of 1,024. Layers are `conv1` ... `conv5`,
`fc6`, `fc7`, `fc8`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers
from cnn.ops.roi import PYRAMID, spatial_pyramid


class ZF(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `conv1` ... `conv5` after their ReLU, `pool1`, `pool2`, `pool5`, `fc6`, `fc7` (= `pre_logits`), `logits`.
    Dropout draws from the stream `dropout`.
    """

    num_classes: int
    convs: tuple[tuple[int, int, int, int], ...]
    hidden: tuple[int, int]
    pool_padding: int
    lrn: dict[str, Any]
    pyramid: tuple[int, ...]
    small: bool
    dropout: float
    dtype: layers.Dtype

    def _steps(self):
        """(name, kernel, stride, padding) of all that reads a window, in order."""
        for i, (_, kernel, stride, padding) in enumerate(self.convs, 1):
            yield f'conv{i}', kernel, stride, padding
            if i in (1, 2) or (i == 5 and not self.pyramid):
                # pool5 is not part of any detector.
                yield f'pool{i}', 3, 2, self.pool_padding if i < 5 else 0

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        strides, total = {}, 1
        for name, _, stride, _ in self._steps():
            strides[name] = total = total * stride
        return strides

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        offsets, at, total = {}, 0.0, 1
        for name, kernel, stride, padding in self._steps():
            offsets[name] = at = at + total * ((kernel - 1) / 2 - padding)
            total *= stride
        return offsets

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        x, endpoints, wide = images.astype(self.dtype), {}, self.convs[0][0] >= 96
        init = initializers.normal(0.01) if wide else initializers.he_fan_in
        for i, (features, kernel, stride, padding) in enumerate(self.convs, 1):
            make = layers.Conv(features, kernel, stride, padding, dtype=self.dtype, kernel_init=init, name=f'conv{i}')
            endpoints[f'conv{i}'] = x = nn.relu(make(x))
            if i <= 2:
                x = layers.LocalResponseNorm(**self.lrn, name=f'lrn{i}')(x)
            if i in (1, 2) or (i == 5 and not self.pyramid):
                padding = self.pool_padding if i < 5 else 0
                endpoints[f'pool{i}'] = x = layers.max_pool(x, 3, 2, padding, ceil_mode=True)
        if not self.num_classes:
            return x, endpoints
        if self.pyramid:
            x = spatial_pyramid(x, levels=self.pyramid)
        elif not self.small:
            # pool5 of 224 pixels has 7 x 7 cells, and fc6 reads 6 x 6: means of neighbours, no part of the release.
            x = layers.adaptive_avg_pool(x, 6)
        x = x.reshape(x.shape[0], -1)
        for name, features in zip(('fc6', 'fc7'), self.hidden, strict=True):
            endpoints[name] = x = nn.relu(layers.Dense(features, dtype=self.dtype, kernel_init=init, name=name)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        endpoints['pre_logits'] = endpoints['fc7']
        x = layers.Dense(self.num_classes, kernel_init=init, name='fc8')(x.astype(jnp.float32))
        endpoints['logits'] = x
        return x, endpoints


def create(
    num_classes: int,
    *,
    variant: str = 'ZF',
    stem: str = 'imagenet',
    width: float = 0,
    dropout: float = 0.5,
    dtype: layers.Dtype = jnp.float32,
) -> ZF:
    """A ZF net.

    Args:
      variant: 'ZF', 'SPP' or 'M'.
      stem: 'imagenet' (224 x 224), or 'small' for images of 28 to 32 pixels: conv1 is 5x5 and conv2 3x3, at stride 1.
      width: factor on every layer's features; 0 is 1, and 1/4 for 'small'.
      dropout: share of fc6's and fc7's outputs dropped in training.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('zf variant', variant, tuple(VARIANTS))
    layers.check_choice('zf stem', stem, ('imagenet', 'small'))
    chosen, small = VARIANTS[variant], stem == 'small'
    width = width or (0.25 if small else 1)
    convs = list(chosen['convs'])
    if small:
        convs[:2] = (convs[0][0], 5, 1, 2), (convs[1][0], 3, 1, 1)
    return ZF(
        num_classes,
        tuple((max(1, int(features * width)), *window) for features, *window in convs),
        tuple(max(1, int(features * width)) for features in chosen['hidden']),
        chosen['pool_padding'],
        chosen['lrn'],
        chosen.get('pyramid', ()),
        small,
        dropout,
        dtype,
    )


# (features, kernel, stride, padding) of each convolution. Sources: the prototxt files of SPP_net, py-faster-rcnn (ZF,
# VGG_CNN_M_1024), whose LRN divides alpha by the window: Caffe's convention.
_ZF = {
    'convs': ((96, 7, 2, 3), (256, 5, 2, 2), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1)),
    'hidden': (4096, 4096),
    'pool_padding': 1,
    'lrn': {'size': 3, 'alpha': 5e-5, 'beta': 0.75, 'k': 1.0, 'divide_by_size': True},
}
VARIANTS = {
    'ZF': _ZF,
    'SPP': _ZF | {'pyramid': PYRAMID},
    'M': {
        'convs': ((96, 7, 2, 0), (256, 5, 2, 1), (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1)),
        'hidden': (4096, 1024),
        'pool_padding': 0,
        'lrn': {'size': 5, 'alpha': 5e-4, 'beta': 0.75, 'k': 2.0, 'divide_by_size': True},
    },
}

"""SqueezeNet (Iandola et al. 2016, arXiv:1602.07360), versions 1.0 (the paper's) and 1.1 (the authors' release).

Layers are `conv1`, `fire2` ... `fire9`, `conv10`; inside a fire module, as in the authors' files, `squeeze1x1`,
`expand1x1` and `expand3x3`. Version 1.1 needs 2.4 times fewer operations for the same accuracy: a 3x3 stem of 64 maps,
and pools earlier (forresti/SqueezeNet, SqueezeNet_v1.1).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers


class Fire(nn.Module):
    """1x1 down to `squeeze` maps, then 1x1 and 3x3 side by side up to `expand` each; ReLU after every one."""

    squeeze: int
    expand: int
    conv: Callable
    conv3x3: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(self.conv(self.squeeze, 1, name='squeeze1x1')(x))
        one = self.conv(self.expand, 1, name='expand1x1')(x)
        three = self.conv3x3(self.expand, 3, name='expand3x3')(x)
        return nn.relu(jnp.concatenate([one, three], axis=-1))


class SqueezeNet(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `conv1`, `fire2` ... `fire9`, the pools after some of them (`pool1`, `pool3` ...), `pre_logits`
    `[B, features]` (the means of fire9), `logits`. The classifier is convolutional: conv10 makes a map of each class,
    and the logits are their means. Dropout draws from the stream `dropout`.
    """

    num_classes: int
    stem_size: tuple[int, int]
    pools: tuple[str, ...]
    small: bool
    relu_last: bool
    dropout: float
    width: Callable
    conv: Callable
    conv3x3: Callable

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        stride, strides = (1 if self.small else 2), {}
        for name in ('conv1', *FIRES):
            strides[name] = stride
            if name in self.pools:
                stride *= 2
                strides[_pool_after(name)] = stride
        return strides

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        at, offsets = (0.0 if self.small else (self.stem_size[1] - 1) / 2), {}
        strides = self.endpoint_strides
        for name in ('conv1', *FIRES):
            offsets[name] = at
            if name in self.pools:
                # Windows of three, not padded, move the centre by one cell.
                offsets[_pool_after(name)] = at = at + strides[name]
        return offsets

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        features, kernel = self.stem_size
        # The release pads nothing here; images of 28 pixels have none to lose.
        padding, stride = (kernel // 2, 1) if self.small else (0, 2)
        x = nn.relu(self.conv(self.width(features), kernel, stride, padding, name='conv1')(images))
        endpoints = {'conv1': x}
        x = self._pool(x, 'conv1', endpoints)
        for name, (squeeze, expand) in FIRES.items():
            x = Fire(self.width(squeeze), self.width(expand), self.conv, self.conv3x3, name=name)(x)
            endpoints[name] = x
            x = self._pool(x, name, endpoints)
        if not self.num_classes:
            return x, endpoints
        endpoints['pre_logits'] = layers.global_avg_pool(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        # Deviation 0.01 as torchvision has it; the layers below by their fan-in.
        last = partial(self.conv, dtype=jnp.float32, kernel_init=initializers.normal(0.01))
        x = last(self.num_classes, 1, name='conv10')(x)
        endpoints['logits'] = x = layers.global_avg_pool(nn.relu(x) if self.relu_last else x)
        return x, endpoints

    def _pool(self, x: jax.Array, after: str, endpoints: dict[str, jax.Array]) -> jax.Array:
        if after not in self.pools:
            return x
        # Caffe rounds up.
        endpoints[_pool_after(after)] = x = layers.max_pool(x, 3, 2, ceil_mode=True)
        return x


def _pool_after(layer: str) -> str:
    """`fire3 -> pool3`."""
    return 'pool' + layer.removeprefix('conv').removeprefix('fire')


def create(
    num_classes: int,
    *,
    variant: str = '1.1',
    stem: str = 'imagenet',
    width: float = 0,
    relu_last: bool = True,
    conv: str = 'standard',
    dropout: float = 0.5,
    dtype: layers.Dtype = jnp.float32,
) -> SqueezeNet:
    """A SqueezeNet.

    Args:
      variant: '1.0' or '1.1'.
      stem: 'imagenet', or 'small' for images of 28 to 64 pixels: conv1 is 3x3 at stride 1, with no pool behind it.
      width: factor on every layer's features; 0 is 1, and 1/2 for 'small'.
      relu_last: the ReLU behind conv10 that all releases have. Without it a new classifier learns faster: no class's
        maps can fall silent.
      conv: kind of the 3x3 convolutions of the fire modules, a name of `layers.CONVOLUTIONS`.
      dropout: share of fire9's outputs dropped in training.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('squeezenet variant', variant, tuple(VARIANTS))
    layers.check_choice('squeezenet stem', stem, ('imagenet', 'small'))
    small, (stem_size, pools) = stem == 'small', VARIANTS[variant]
    width = width or (0.5 if small else 1)
    options = {'dtype': dtype, 'kernel_init': initializers.he_fan_in}
    return SqueezeNet(
        num_classes,
        (stem_size[0], 3) if small else stem_size,
        tuple(p for p in pools if not small or p != 'conv1'),
        small,
        relu_last,
        dropout,
        lambda features: max(1, int(features * width)),
        partial(layers.Conv, **options),
        layers.make_conv(conv, **options),
    )


# Table 1 of the paper: maps after the 1x1 reduction, and maps of each of the two expansions.
FIRES = {
    'fire2': (16, 64),
    'fire3': (16, 64),
    'fire4': (32, 128),
    'fire5': (32, 128),
    'fire6': (48, 192),
    'fire7': (48, 192),
    'fire8': (64, 256),
    'fire9': (64, 256),
}
# The stem's maps and kernel, and what is followed by a pool.
VARIANTS = {'1.0': ((96, 7), ('conv1', 'fire4', 'fire8')), '1.1': ((64, 3), ('conv1', 'fire3', 'fire5'))}

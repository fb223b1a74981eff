"""DenseNet (Huang et al. 2016, arXiv:1608.06993) for ImageNet and for small images, with and without BC.

Layers are `conv1` (with `norm1` for ImageNet) the stem, `dense2_3` the third layer of the second block with `norm1`,
`conv1`, `norm2`, `conv2`, `transition2` with `norm` and `conv`, `norm_last` and `fc`.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers


class DenseLayer(nn.Module):
    """Norm, ReLU, 3x3 to `growth_rate` new maps; with `bottleneck` a norm, ReLU, 1x1 to four times as many before."""

    growth_rate: int
    bottleneck: bool
    dropout: float
    conv: Callable
    conv3x3: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        # As the authors' release, every convolution's output is dropped from, for training without augmentation.
        dropout = nn.Dropout(self.dropout, deterministic=not train)
        x = nn.relu(self.norm(name='norm1')(x, train))
        if not self.bottleneck:
            return dropout(self.conv3x3(self.growth_rate, 3, name='conv1')(x))
        x = dropout(self.conv(4 * self.growth_rate, 1, name='conv1')(x))
        x = nn.relu(self.norm(name='norm2')(x, train))
        return dropout(self.conv3x3(self.growth_rate, 3, name='conv2')(x))


class Transition(nn.Module):
    """Norm, ReLU, 1x1 to `features` maps, mean over 2x2."""

    features: int
    dropout: float
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.conv(self.features, 1, name='conv')(nn.relu(self.norm(name='norm')(x, train)))
        return layers.avg_pool(nn.Dropout(self.dropout, deterministic=not train)(x), 2, 2)


class DenseNet(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `stem`, `dense1` ... (each block's concatenated maps), `transition1` ..., `pre_logits` `[B, features]`,
    `logits`. Dropout draws from the stream `dropout`.
    """

    num_classes: int
    block_sizes: tuple[int, ...]
    layer: Callable
    transition: Callable
    conv: Callable
    norm: Callable
    stem: str
    stem_features: int
    compression: float

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        stem, first = (2, 4) if self.stem == 'imagenet' else (1, 1)
        strides = {'stem': stem} | {f'dense{i + 1}': first * 2**i for i in range(len(self.block_sizes))}
        return strides | {f'transition{i}': first * 2**i for i in range(1, len(self.block_sizes))}

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        # Means over two by two cells move the centre by half a cell each.
        first = 4 if self.stem == 'imagenet' else 1
        blocks = [first * (2**i - 1) / 2 for i in range(len(self.block_sizes))]
        offsets = {'stem': 0.0} | {f'dense{i + 1}': at for i, at in enumerate(blocks)}
        return offsets | {f'transition{i}': at for i, at in enumerate(blocks) if i}

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        imagenet = self.stem == 'imagenet'
        kernel, stride = (7, 2) if imagenet else (3, 1)
        x = self.conv(self.stem_features, kernel, strides=stride, padding=kernel // 2, name='conv1')(images)
        x = nn.relu(self.norm(name='norm1')(x, train)) if imagenet else x
        endpoints = {'stem': x}
        if imagenet:
            x = layers.max_pool(x, 3, 2, padding=1)
        for block, size in enumerate(self.block_sizes, 1):
            for i in range(1, size + 1):
                x = jnp.concatenate([x, self.layer(name=f'dense{block}_{i}')(x, train)], axis=-1)
            endpoints[f'dense{block}'] = x
            if block < len(self.block_sizes):
                features = int(x.shape[-1] * self.compression)
                endpoints[f'transition{block}'] = x = self.transition(features, name=f'transition{block}')(x, train)
        x = nn.relu(self.norm(name='norm_last')(x, train))
        if not self.num_classes:
            return x, endpoints
        endpoints['pre_logits'] = x = layers.global_avg_pool(x)
        fc = layers.Dense(self.num_classes, kernel_init=initializers.torch_uniform, name='fc')
        endpoints['logits'] = x = fc(x)
        return x, endpoints


def create(
    num_classes: int,
    *,
    depth: int = 0,
    growth_rate: int = 0,
    bottleneck: bool = True,
    stem: str = 'imagenet',
    stem_features: int = 0,
    dropout: float = 0.0,
    conv: str = 'standard',
    norm: str = 'batch',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    remat: bool = False,
    dtype: layers.Dtype = jnp.float32,
) -> DenseNet:
    """A DenseNet.

    Args:
      depth: for `stem='imagenet'` 121, 161, 169, 201 or 264 (0: 121); for `'cifar'` 3n + 4, or 6n + 4 with
        `bottleneck` (0: 40, or 100 with `bottleneck`), in three blocks.
      growth_rate: new maps of each layer; 0 is 32 (48 at depth 161), or 12 for 'cifar'.
      bottleneck: DenseNet-BC: 1x1 before each 3x3, and transitions that halve the maps. Always so for 'imagenet'.
      stem_features: 0 is twice the growth rate, or 16 for 'cifar' without `bottleneck`: the paper's, whose published
        sizes it meets (the authors' Lua file has twice the growth rate there too, and misses them).
      dropout: share of each convolution's outputs dropped in training; the paper has 0.2 where nothing is augmented.
      conv: kind of the 3x3 convolutions, a name of `layers.CONVOLUTIONS`.
      norm: 'batch', 'group' or 'none'; `norm_axis` names the mapped axis of synchronised batch norm.
      remat: recomputes every layer in the backward pass: memory linear in depth instead of quadratic (Pleiss et al.
        2017, arXiv:1707.06990), for a third more time.

    Raises:
      ValueError: for sizes that no such network has; it names the nearest right ones.
    """
    layers.check_choice('densenet stem', stem, ('imagenet', 'cifar'))
    imagenet = stem == 'imagenet'
    if imagenet:
        if not bottleneck:
            raise ValueError("densenet bottleneck=False is for stem='cifar': every ImageNet depth has bottlenecks")
        depth = depth or 121
        growth_rate = growth_rate or (48 if depth == 161 else 32)
    else:
        depth = depth or (100 if bottleneck else 40)
        growth_rate = growth_rate or 12
    options = {'use_bias': norm == 'none', 'dtype': dtype, 'kernel_init': initializers.he_fan_in}
    make_conv, conv3x3 = partial(layers.Conv, **options), layers.make_conv(conv, **options)
    make_norm = layers.make_norm(norm, axis_name=norm_axis, momentum=norm_momentum, dtype=dtype)
    layer = nn.remat(DenseLayer, static_argnums=(2,)) if remat else DenseLayer
    return DenseNet(
        num_classes,
        _block_sizes(depth, imagenet, bottleneck),
        partial(layer, growth_rate, bottleneck, dropout, make_conv, conv3x3, make_norm),
        partial(Transition, dropout=dropout, conv=make_conv, norm=make_norm),
        make_conv,
        make_norm,
        stem,
        stem_features or (2 * growth_rate if bottleneck else 16),
        0.5 if bottleneck else 1.0,
    )


def _block_sizes(depth: int, imagenet: bool, bottleneck: bool) -> tuple[int, ...]:
    if imagenet:
        return layers.choose_depth('densenet', depth, VARIANTS)
    return (layers.count_units('densenet', depth, 6 if bottleneck else 3, 4),) * 3


# Table 1 of the paper: layers of each block by depth.
VARIANTS = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}

"""GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842) as the paper and Caffe have it, and as torchvision has it.

Layers are `conv1`, `conv2_reduce`, `conv2`, `inception_3a` ... `inception_5b`, `fc`; inside a module the columns of the
paper's table 1: `1x1`, `3x3_reduce`, `3x3`, `5x5_reduce`, `5x5`, `pool_proj`. A norm bears its convolution's name and
`_norm`. The auxiliary heads `aux1` (on 4a) and `aux2` (on 4d) have `conv`, `fc1`, `fc2`.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers


def _unit(conv: Callable, norm: Callable, train: bool) -> Callable:
    """`unit(x, name, features, kernel, strides=1)`: convolution, norm and ReLU under the caller's scope."""

    def unit(x: jax.Array, name: str, features: int, kernel: int, strides: int = 1) -> jax.Array:
        y = conv(features, kernel, strides=strides, padding=kernel // 2, name=name)(x)
        return nn.relu(norm(name=f'{name}_norm')(y, train))

    return unit


class Inception(nn.Module):
    """Four branches over the same input, joined by channels in the order of `features`.

    `features`: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
    """

    features: tuple[int, ...]
    kernel5: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        unit = _unit(self.conv, self.norm, train)
        one, reduce3, three, reduce5, five, projection = self.features
        branches = [
            unit(x, '1x1', one, 1),
            unit(unit(x, '3x3_reduce', reduce3, 1), '3x3', three, 3),
            unit(unit(x, '5x5_reduce', reduce5, 1), '5x5', five, self.kernel5),
            unit(layers.max_pool(x, 3, 1, padding=1), 'pool_proj', projection, 1),
        ]
        return jnp.concatenate(branches, axis=-1)


class Auxiliary(nn.Module):
    """A classifier half way up, whose loss (at weight 0.3) carries gradient to the lower layers; training only."""

    num_classes: int
    width: Callable
    adaptive: bool
    conv: Callable
    norm: Callable
    dense: Callable
    bias_init: initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        # The same 4x4 means of the paper's 14x14 maps are 5x5 windows at stride 3, and adaptive cells in torchvision.
        x = layers.adaptive_avg_pool(x, 4) if self.adaptive else layers.avg_pool(x, 5, 3)
        x = _unit(self.conv, self.norm, train)(x, 'conv', self.width(128), 1).reshape(x.shape[0], -1)
        x = nn.relu(self.dense(self.width(1024), bias_init=self.bias_init, name='fc1')(x))
        x = nn.Dropout(0.7, deterministic=not train)(x)
        return self.dense(self.num_classes, dtype=jnp.float32, name='fc2')(x)


class GoogLeNet(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `conv1`, `conv2`, every `inception_*`, the pools after them, `pre_logits` `[B, features]`, `logits`; in
    training, where the net has auxiliary heads, their `aux1_logits` and `aux2_logits`. Dropout draws from `dropout`.
    """

    num_classes: int
    auxiliary: bool
    small: bool
    lrn: bool
    last_pool: int
    kernel5: int
    adaptive: bool
    dropout: float
    width: Callable
    conv: Callable
    norm: Callable
    dense: Callable
    bias_init: initializers.Initializer

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        third = 2 if self.small else 8
        strides = {'conv1': 1, 'conv2': 1} if self.small else {'conv1': 2, 'pool1': 4, 'conv2': 4}
        strides |= {'pool2': third, 'pool3': third * 2, 'pool4': third * 4}
        return strides | {f'inception_{name}': third * 2 ** (int(name[0]) - 3) for name in INCEPTION}

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        # Pools are not padded: their windows of three move the centre by one cell, of two by half a cell.
        at, offsets = 0.0, {'conv1': 0.0}
        strides = self.endpoint_strides
        for name in ('pool1', 'conv2', 'pool2', 'pool3', 'pool4'):
            if name in strides:
                window = self.last_pool if name == 'pool4' else 3
                at += strides[name] / 2 * (window - 1) / 2 if name.startswith('pool') else 0
                offsets[name] = at
        return offsets | {f'inception_{name}': offsets[f'pool{int(name[0]) - 1}'] for name in INCEPTION}

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        unit = _unit(self.conv, self.norm, train)
        normalise = (lambda x, name: layers.LocalResponseNorm(**LRN, name=name)(x)) if self.lrn else lambda x, name: x
        pool = partial(layers.max_pool, ceil_mode=True)
        endpoints = {}
        kernel, stride = (3, 1) if self.small else (7, 2)
        endpoints['conv1'] = x = unit(images, 'conv1', self.width(64), kernel, stride)
        if not self.small:
            endpoints['pool1'] = x = pool(x, 3, 2)
        x = unit(normalise(x, 'lrn1'), 'conv2_reduce', self.width(64), 1)
        endpoints['conv2'] = x = unit(x, 'conv2', self.width(192), 3)
        endpoints['pool2'] = x = pool(normalise(x, 'lrn2'), 3, 2)
        for name, features in INCEPTION.items():
            if name in ('4a', '5a'):
                window = 3 if name == '4a' else self.last_pool
                endpoints[f'pool{int(name[0]) - 1}'] = x = pool(x, window, 2)
            features = tuple(self.width(f) for f in features)
            x = Inception(features, self.kernel5, self.conv, self.norm, name=f'inception_{name}')(x, train)
            endpoints[f'inception_{name}'] = x
            if name in AUXILIARY and self.auxiliary and (train or self.is_initializing()):
                head = AUXILIARY[name]
                parts = (self.width, self.adaptive, self.conv, self.norm, self.dense, self.bias_init)
                endpoints[f'{head}_logits'] = Auxiliary(self.num_classes, *parts, name=head)(x, train)
        if not self.num_classes:
            return x, endpoints
        endpoints['pre_logits'] = x = layers.global_avg_pool(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        endpoints['logits'] = x = self.dense(self.num_classes, dtype=jnp.float32, name='fc')(x)
        return x, endpoints


def create(
    num_classes: int,
    *,
    variant: str = 'paper',
    auxiliary: bool = False,
    stem: str = 'imagenet',
    width: float = 0,
    norm: str = '',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    lrn: str = '',
    dropout: float = -1.0,
    dtype: layers.Dtype = jnp.float32,
) -> GoogLeNet:
    """A GoogLeNet.

    Args:
      variant: 'paper' (LRN, biases, no batch norm) or 'torchvision' (batch norm of epsilon 0.001, and a 3x3
        convolution where the paper has 5x5, a slip that its weights depend on: pytorch/vision#906).
      auxiliary: the two auxiliary heads, which exist in training only.
      stem: 'imagenet', or 'small' for images of 28 to 32 pixels: conv1 is 3x3 at stride 1, and there is no pool1.
      width: factor on every layer's features; 0 is 1, and 1/4 for 'small'.
      norm: 'batch', 'group' or 'none'; '' is the variant's own, and 'batch' for 'small': in the paper's net that small
        nothing carries the signal through 22 thin layers (ten epochs of digits leave it at chance).
      lrn: local response normalisation, 'paper' or 'none'; '' is 'paper' where there is no other norm.
      dropout: share of the last features dropped in training; -1 is the variant's own, 0.4 or 0.2.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('googlenet variant', variant, tuple(VARIANTS))
    layers.check_choice('googlenet stem', stem, ('imagenet', 'small'))
    if lrn:
        layers.check_choice('googlenet lrn', lrn, ('paper', 'none'))
    chosen, small = VARIANTS[variant], stem == 'small'
    norm = norm or ('batch' if small else chosen['norm'])
    width = width or (0.25 if small else 1)
    make_norm = layers.make_norm(
        norm, axis_name=norm_axis, momentum=norm_momentum, epsilon=chosen['epsilon'], dtype=dtype
    )
    plain = norm == 'none'
    # Twenty thin layers of Glorot's variance halve the signal at each ReLU, and biases of 0.2 drown what is left.
    init = initializers.he_fan_in if small and plain else chosen['init']
    bias = initializers.constant(0.2 if plain and not small else 0)
    conv = partial(layers.Conv, use_bias=plain, dtype=dtype, kernel_init=init, bias_init=bias)
    return GoogLeNet(
        num_classes,
        auxiliary,
        small,
        lrn == 'paper' or (not lrn and plain),
        chosen['last_pool'],
        chosen['kernel5'],
        chosen['adaptive'],
        chosen['dropout'] if dropout < 0 else dropout,
        lambda features: max(1, int(features * width)),
        conv,
        make_norm,
        partial(layers.Dense, dtype=dtype, kernel_init=init),
        bias,
    )


# Table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
INCEPTION = {
    '3a': (64, 96, 128, 16, 32, 32),
    '3b': (128, 128, 192, 32, 96, 64),
    '4a': (192, 96, 208, 16, 48, 64),
    '4b': (160, 112, 224, 24, 64, 64),
    '4c': (128, 128, 256, 24, 64, 64),
    '4d': (112, 144, 288, 32, 64, 64),
    '4e': (256, 160, 320, 32, 128, 128),
    '5a': (256, 160, 320, 32, 128, 128),
    '5b': (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {'4a': 'aux1', '4d': 'aux2'}
# The BVLC release stands for what the paper leaves unsaid: LRN, Glorot's initialisation by fan-in, biases of 0.2.
LRN = {'size': 5, 'alpha': 1e-4, 'beta': 0.75, 'k': 1.0, 'divide_by_size': True}
VARIANTS = {
    'paper': {
        'norm': 'none',
        'epsilon': 1e-5,
        'kernel5': 5,
        'last_pool': 3,
        'adaptive': False,
        'dropout': 0.4,
        'init': initializers.caffe_xavier,
    },
    'torchvision': {
        'norm': 'batch',
        'epsilon': 1e-3,
        'kernel5': 3,
        'last_pool': 2,
        'adaptive': True,
        'dropout': 0.2,
        'init': initializers.normal(0.01)  # truncated in name only: at 200 deviations,
    },
}

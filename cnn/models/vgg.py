"""VGG (Simonyan and Zisserman 2014, arXiv:1409.1556): configurations A, B, C, D, E, with torchvision's conventions.

Layers are `conv1_1` ... `conv5_4` (with `norm<i>_<j>` where there are norms), `fc6`, `fc7`, `fc8`. The classifier is
dense or, with the same numbers in another shape, convolutional (section 3.2: dense evaluation at any image size).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import alexnet, initializers, layers


class VGG(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `conv1` ... `conv5` (the last of each stage, after its ReLU), `pool1` ... `pool5`, `fc6`, `fc7`,
    `pre_logits` `[B, features]`, `logits`. The convolutional classifier keeps `fc6` and `fc7` as maps, adds `score`
    `[B, h, w, num_classes]` and averages it over space into the logits, as the paper does. Dropout draws from the
    stream `dropout`.
    """

    num_classes: int
    stages: tuple[tuple[tuple[int, int], ...], ...]
    hidden: int
    classifier: str
    conv: Callable
    norm: Callable
    lrn: bool
    small: bool
    ceil_mode: bool
    dropout: float
    dense_init: initializers.Initializer
    dtype: layers.Dtype

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        strides = {f'conv{i}': 2 ** (i - 1) for i in range(1, 6)} | {f'pool{i}': 2**i for i in range(1, 6)}
        convolutional = self.classifier == 'conv' and self.num_classes
        return strides | (dict.fromkeys(('fc6', 'fc7', 'score'), 32) if convolutional else {})

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        offsets = {name: (stride - 1) / 2 for name, stride in self.endpoint_strides.items()}
        # fc6 reads seven by seven cells.
        return offsets | {name: offsets[name] + 32 * 3 for name in ('fc6', 'fc7', 'score')
                          if name in offsets and not self.small}  # fmt: skip

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        x, endpoints = images.astype(self.dtype), {}
        for i, stage in enumerate(self.stages, 1):
            for j, (features, kernel) in enumerate(stage, 1):
                first = i == j == 1
                # Three channels divide into no groups, so the first layer is standard whatever the kind.
                make = layers.make_conv('standard', dtype=self.dtype) if first else self.conv
                x = make(features, kernel, name=f'conv{i}_{j}')(x)
                x = nn.relu(self.norm(name=f'norm{i}_{j}')(x, train))
                if first and self.lrn:
                    # AlexNet's, its alpha scaled to images of deviation one, which the other VGGs read.
                    x = layers.LocalResponseNorm(**alexnet.LRN['unit'], name='lrn1')(x)
            endpoints[f'conv{i}'] = x
            # Rounding up leaves small images (28 pixels) a cell in the end.
            endpoints[f'pool{i}'] = x = layers.max_pool(x, 2, 2, ceil_mode=self.ceil_mode or self.small)

        if not self.num_classes:
            return x, endpoints
        dropout = nn.Dropout(self.dropout, deterministic=not train)
        dense = self.classifier == 'dense'
        if not dense and not self.small and min(x.shape[1:3]) < 7:
            raise ValueError(
                f"vgg classifier='conv' reads 7 x 7 cells, and images of {images.shape[1]} x {images.shape[2]} have "
                f"{x.shape[1]} x {x.shape[2]}; take 224 pixels or more, or classifier='dense'"
            )
        if dense:
            x = x if self.small else layers.adaptive_avg_pool(x, 7)
            x = x.reshape(x.shape[0], -1)
        for name in ('fc6', 'fc7'):
            endpoints[name] = x = nn.relu(self._full(name, self.hidden, self.dtype)(x))
            x = dropout(x)
        endpoints['pre_logits'] = endpoints['fc7'] if dense else endpoints['fc7'].mean((1, 2))
        x = self._full('fc8', self.num_classes, jnp.float32)(x)
        if not dense:
            endpoints['score'] = x
            x = x.mean((1, 2))
        endpoints['logits'] = x
        return x, endpoints

    def _full(self, name: str, features: int, dtype: layers.Dtype) -> nn.Module:
        if self.classifier == 'dense':
            return layers.Dense(features, dtype=dtype, kernel_init=self.dense_init, name=name)
        size = (1 if self.small else 7) if name == 'fc6' else 1
        return layers.Conv(features, size, padding=0, dtype=dtype, kernel_init=self.dense_init, name=name)


def convert_classifier(params: dict[str, Any], classifier: str) -> dict[str, Any]:
    """The same parameters for `classifier` 'dense' or 'conv': fc6 `[h w c, n]` is `[h, w, c, n]` row by row.

    The images' last map must be as large as the dense net's: 7x7 cells, or the one cell of `stem='small'`.

    Raises:
      ValueError: for another classifier.
    """
    layers.check_choice('vgg classifier', classifier, ('dense', 'conv'))
    last = max(name for name in params if name.startswith('conv5'))
    inputs = params[last]['kernel'].shape[-1]
    converted = dict(params)
    for name in ('fc6', 'fc7', 'fc8'):
        kernel = params[name]['kernel']
        if classifier == 'conv' and kernel.ndim == 2:
            size = round((kernel.shape[0] / inputs) ** 0.5) if name == 'fc6' else 1
            kernel = kernel.reshape(size, size, -1, kernel.shape[-1])
        elif classifier == 'dense':
            kernel = kernel.reshape(-1, kernel.shape[-1])
        converted[name] = params[name] | {'kernel': kernel}
    return converted


def create(
    num_classes: int,
    *,
    variant: str = '16',
    batch_norm: bool = False,
    norm: str = '',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    classifier: str = 'dense',
    conv: str = 'standard',
    lrn: bool = False,
    stem: str = 'imagenet',
    width: float = 0,
    ceil_mode: bool = False,
    dropout: float = 0.5,
    dtype: layers.Dtype = jnp.float32,
) -> VGG:
    """A VGG.

    Args:
      variant: layers with weights, '11', '13', '16', '19', or the paper's letter: A, B, C (16 with 1x1 third
        convolutions), D, E; or 'B5x5', the shallow net of section 4.1 that B is compared with.
      batch_norm: True is `norm='batch'`, which no paper net has but torchvision's `_bn` do; the biases stay. `norm` may
        also be 'group' or 'none'; `norm_axis` names the mapped axis of synchronised batch norm.
      classifier: 'dense', or 'conv' for images of at least 224 pixels; `convert_classifier` turns the parameters of
        one into the other's.
      conv: kind of every convolution but the first, a name of `layers.CONVOLUTIONS`.
      lrn: local response normalisation after the first layer (A-LRN, with variant '11').
      stem: 'imagenet', or 'small' for images of 28 to 32 pixels, whose last map is one cell.
      width: factor on every layer's features; 0 is 1, and 1/4 for 'small'.
      ceil_mode: poolings round odd sizes up, as Caffe's; always for 'small'.
      dropout: share of fc6's and fc7's outputs dropped in training.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    variant = LETTERS.get(str(variant).upper(), str(variant).upper())
    layers.check_choice('vgg variant', variant, tuple(VARIANTS))
    layers.check_choice('vgg stem', stem, ('imagenet', 'small'))
    layers.check_choice('vgg classifier', classifier, ('dense', 'conv'))
    small = stem == 'small'
    width = width or (0.25 if small else 1)
    stages = tuple(
        tuple((max(1, int(features * width)), kernel) for kernel in kernels)
        for features, kernels in zip((64, 128, 256, 512, 512), VARIANTS[variant], strict=True)
    )
    norm = norm or ('batch' if batch_norm else 'none')
    return VGG(
        num_classes,
        stages,
        max(1, int(4096 * width)),
        classifier,
        layers.make_conv(conv, dtype=dtype),
        layers.make_norm(norm, axis_name=norm_axis, momentum=norm_momentum, dtype=dtype),
        lrn,
        small,
        ceil_mode,
        dropout,
        # torchvision's 0.01 suits layers of 4,096; thin ones would pass on almost nothing.
        initializers.he_fan_in if small else initializers.normal(0.01),
        dtype,
    )


# Table 1 of the paper: kernel sizes of the convolutions of each stage.
VARIANTS = {
    '11': ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    '13': ((3, 3),) * 5,
    'C': ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    '16': ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    '19': ((3, 3), (3, 3), (3,) * 4, (3,) * 4, (3,) * 4),
    # Section 4.1: the shallow net, B with each pair of 3x3 convolutions replaced by one of 5x5.
    'B5X5': ((5,),) * 5,
}
LETTERS = {'A': '11', 'B': '13', 'D': '16', 'E': '19'}

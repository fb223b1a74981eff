"""The convolutional nets that YOLO v1 is pretrained as (Redmon et al. 2016, arXiv:1506.02640, section 2.2).

Layers are `conv1_1` ... `conv5_4` with `norm<i>_<j>`, activations leaky, the classifier `fc` after a mean over space.
The paper pretrains the first twenty convolutions of its 24 on ImageNet at half the resolution of detection.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers

LEAK = 0.1
leaky_relu = partial(nn.leaky_relu, negative_slope=LEAK)


class Darknet(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `conv1`, `conv2` ... (the last of each stage, before the pooling that follows all but the last stage),
    `pre_logits` `[B, features]`, `logits`.
    """

    num_classes: int
    stages: tuple[tuple[tuple[int, int], ...], ...]
    first_stride: int
    pooled: tuple[bool, ...]
    norm: Callable
    use_bias: bool
    dtype: layers.Dtype

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        strides, stride = {}, self.first_stride
        for i, pooled in enumerate((*self.pooled, False), 1):
            strides[f'conv{i}'] = stride
            stride *= 2 if pooled else 1
        return strides

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        # The first layer is centred on pixel 0 whatever its stride; every pooling moves by half a cell.
        return {name: (stride - self.first_stride) / 2 for name, stride in self.endpoint_strides.items()}

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        x, endpoints = images.astype(self.dtype), {}
        make = partial(layers.Conv, use_bias=self.use_bias, kernel_init=initializers.he_fan_in, dtype=self.dtype)
        for i, stage in enumerate(self.stages, 1):
            for j, (features, kernel) in enumerate(stage, 1):
                stride = self.first_stride if i == j == 1 else 1
                x = make(features, kernel, strides=stride, padding=kernel // 2, name=f'conv{i}_{j}')(x)
                x = leaky_relu(self.norm(name=f'norm{i}_{j}')(x, train))
            endpoints[f'conv{i}'] = x
            if i < len(self.stages) and self.pooled[i - 1]:
                x = layers.max_pool(x, 2, 2)
        if not self.num_classes:
            return x, endpoints
        endpoints['pre_logits'] = x = layers.global_avg_pool(x)
        endpoints['logits'] = x = layers.Dense(self.num_classes, name='fc')(x)
        return x, endpoints


def create(
    num_classes: int,
    *,
    variant: str = 'yolo',
    stem: str = 'imagenet',
    width: float = 0,
    stages: int = 0,
    norm: str = 'batch',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    dtype: layers.Dtype = jnp.float32,
) -> Darknet:
    """A trunk of YOLO v1 as a classifier.

    Args:
      variant: 'yolo', the twenty convolutions; 'tiny', seven, those of darknet's cfg/yolov1-tiny.cfg.
      stem: 'imagenet', or 'small' for images of 28 to 64 pixels: the first layer 3x3 with stride 1 and no pooling after
        the first two stages.
      width: factor on every layer's features; 0 is 1, and 1/4 for 'small'.
      stages: only the first so many, for small trunks; 0 for all.
      norm: 'batch' as in darknet's files (the convolutions then have no biases), 'group', or 'none' as in the paper.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('darknet variant', variant, tuple(VARIANTS))
    layers.check_choice('darknet stem', stem, ('imagenet', 'small'))
    small = stem == 'small'
    width = width or (0.25 if small else 1)
    whole = VARIANTS[variant]
    if not 0 <= stages <= len(whole):
        raise ValueError(
            f'darknet {variant} has {len(whole)} stages, not {stages}; give 1 to {len(whole)}, or 0 for all'
        )
    sizes = [
        [(max(1, int(features * width)), kernel) for features, kernel in stage] for stage in whole[: stages or None]
    ]
    if small:
        sizes[0][0] = (sizes[0][0][0], 3)
    return Darknet(
        num_classes,
        tuple(tuple(stage) for stage in sizes),
        2 if variant == 'yolo' and not small else 1,
        tuple(not small or i >= 2 for i in range(len(sizes) - 1)),
        layers.make_norm(norm, axis_name=norm_axis, momentum=norm_momentum, dtype=dtype),
        norm == 'none',
        dtype,
    )


# Features and kernel sizes of each stage: figure 3 of the paper; cfg/yolov1-tiny.cfg of github.com/pjreddie/darknet.
VARIANTS = {
    'yolo': (
        ((64, 7),),
        ((192, 3),),
        ((128, 1), (256, 3), (256, 1), (512, 3)),
        (*((256, 1), (512, 3)) * 4, (512, 1), (1024, 3)),
        ((512, 1), (1024, 3)) * 2,
    ),
    'tiny': (((16, 3),), ((32, 3),), ((64, 3),), ((128, 3),), ((256, 3),), ((512, 3),), ((1024, 3),)),
}

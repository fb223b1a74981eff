"""Fully convolutional networks (Long, Shelhamer, Darrell 2015, arXiv:1411.4038): any trunk, scored pixel by pixel.

The trunk's last map is scored by a 1x1 convolution, `score_fr`, and enlarged to the image. FCN-16s and FCN-8s enlarge
it by two at a time and add the scores of finer maps of the trunk on the way, `score16` and `score8`, named by their
strides. What enlarges is in `decoder`, named by the strides between which it stands: `up32to16`, `up16to8`, `up8to1`.

Every cell's place in the image is known (`endpoint_offsets` of the trunk), and scores are put exactly there. With 100
pixels of padding that arithmetic yields the crops of the reference net (fcn.berkeleyvision.org): 19 for FCN-32s, 5 and
27 for FCN-16s, 5, 9 and 31 for FCN-8s, 18 for FCN-AlexNet.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn import models
from cnn.models import initializers, layers
from cnn.models.upsampling import ALIGNMENTS, KINDS, Decoder, Grid

HEADS = ('fc', 'conv', 'none')
# The reference pads 100 pixels around the image instead of the one (VGG) or none (AlexNet) of the classifier.
REFERENCE_PADDING = 100


class FCN(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, H, W, num_classes], endpoints)`.

    Endpoints: the trunk's; `fc6`, `fc7` or `head`; `score_fr` and `score<stride>` of each skip; `logits`; in training
    and with `auxiliary`, `aux_logits` `[B, H, W, num_classes]`. Dropout draws from the stream `dropout`.
    """

    num_classes: int
    trunk: nn.Module
    last: str
    skips: tuple[str, ...]
    skip_scales: tuple[float, ...]
    head: str
    head_sizes: tuple[int, int]
    auxiliary: str
    alignment: str
    padding: int
    upsampling: str
    dropout: float
    norm: Callable
    dtype: layers.Dtype

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint of the trunk and the head."""
        strides = self.trunk.endpoint_strides
        heads = {'fc': ('fc6', 'fc7'), 'conv': ('head',), 'none': ()}[self.head]
        finer = {f'score{strides[name]}': strides[name] for name in self.skips}
        return strides | dict.fromkeys((*heads, 'score_fr'), strides[self.last]) | finer | {'logits': 1}

    def grid(self, endpoint: str) -> Grid:
        """Where the cells of one of the trunk's endpoints lie in the image."""
        return Grid(self.trunk.endpoint_offsets[endpoint] - self.padding, self.trunk.endpoint_strides[endpoint])

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        size = images.shape[1:3]
        if self.padding:
            images = jnp.pad(images, ((0, 0), *((self.padding, self.padding),) * 2, (0, 0)))
        x, endpoints = self.trunk(images, train)
        endpoints = dict(endpoints)
        x, grid = self._head(x, endpoints, train)
        endpoints['score_fr'] = x = self._score('score_fr')(x)
        scores = [(x, grid)]
        for name, scale in zip(self.skips, self.skip_scales, strict=True):
            stride = self.trunk.endpoint_strides[name]
            endpoints[f'score{stride}'] = x = self._score(f'score{stride}')(endpoints[name] * scale)
            scores.append((x, self.grid(name)))
        endpoints['logits'] = x = Decoder(self.upsampling, self.alignment, name='decoder')(scores, size)
        if self.auxiliary and (train or self.is_initializing()):
            y = self._convolved('aux', endpoints[self.auxiliary], train)
            scores = [(self._score('aux_score')(y), self.grid(self.auxiliary))]
            endpoints['aux_logits'] = Decoder(self.upsampling, self.alignment, name='aux_decoder')(scores, size)
        return x, endpoints

    def _head(self, x: jax.Array, endpoints: dict[str, jax.Array], train: bool) -> tuple[jax.Array, Grid]:
        """What is scored instead of the trunk's last map, and where its cells lie."""
        grid = self.grid(self.last)
        if self.head == 'conv':
            endpoints['head'] = x = self._convolved('head', x, train)
            return x, grid
        if self.head == 'none':
            return x, grid
        dropout = nn.Dropout(self.dropout, deterministic=not train)
        hidden, kernel = self.head_sizes
        # An even kernel reads one cell more before than behind, so that its cells begin near the image's edge.
        before, after = (0, 0) if self.alignment == 'reference' else (kernel // 2, (kernel - 1) // 2)
        for name, size, pads in (('fc6', kernel, ((before, after),) * 2), ('fc7', 1, 0)):
            make = partial(layers.Conv, dtype=self.dtype, kernel_init=initializers.he_fan_in)
            endpoints[name] = x = nn.relu(make(hidden, size, padding=pads, name=name)(x))
            x = dropout(x)
        return x, grid.behind(kernel, before)

    def _convolved(self, name: str, x: jax.Array, train: bool) -> jax.Array:
        """3x3 to a quarter of the maps, norm, ReLU, dropout: the head of torchvision's FCN."""
        x = layers.Conv(x.shape[-1] // 4, 3, use_bias=False, dtype=self.dtype, name=f'{name}_conv')(x)
        x = nn.relu(self.norm(name=f'{name}_norm')(x, train))
        return nn.Dropout(self.dropout, deterministic=not train)(x)

    def _score(self, name: str) -> layers.Conv:
        # Section 4.1 of the paper: zeros learn as fast and as well as random numbers.
        return layers.Conv(self.num_classes, 1, kernel_init=initializers.zeros, name=name)


def create(
    num_classes: int,
    *,
    trunk: str = 'vgg',
    variant: str = '8s',
    depth: int = 0,
    trunk_variant: str = '',
    stem: str = 'imagenet',
    width: float = 0,
    norm: str = '',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    output_stride: int = 0,
    head: str = '',
    head_size: int = 0,
    hidden: int = 0,
    alignment: str = 'exact',
    upsampling: str = 'fixed',
    skip_scales: tuple[float, ...] = (),
    auxiliary: bool = False,
    dropout: float = -1.0,
    dtype: layers.Dtype = jnp.float32,
) -> FCN:
    """A fully convolutional network.

    Args:
      trunk: any network of `models`; its `depth`, `trunk_variant` (the network's own `variant`; VGG's default is '16'),
        `stem`, `width`, `norm` and, for a dilated ResNet, `output_stride` where they are given.
      variant: '32s', '16s', '8s' ...: the stride of the finest map that is scored. The coarsest is the trunk's last
        stride, which has no skip; every halving adds one.
      head: on the trunk's last map: 'fc', two convolutions instead of a classifier's dense layers (VGG and AlexNet),
        `head_size` cells wide (0: the classifier's 7 or 6, or 3 for small images) with `hidden` maps (0: 4,096 times
        the width); 'conv', torchvision's 3x3 to a quarter of the maps; 'none'. '' is the trunk's own, 'fc' or 'none'.
      alignment: where scores go: 'exact', each centred where its receptive field is, and at the border the outermost
        values go on; 'reference', the same with 100 pixels of padding around the image and unpadded fc6, cropped, as
        the release has it; 'resize', stretched over the image, as torchvision has it.
      upsampling: 'fixed' linear interpolation; 'learnt', transposed convolutions between all classes; or
        'learnt_per_class'. Learnt ones begin as the fixed one.
      skip_scales: factors on the maps that skips score, for training 'at once' (the release's 0.01 and 0.0001 for 16
        and 8); () for 1.
      auxiliary: a second head on the map before the last stage's, for training (torchvision's FCN-ResNets).
      dropout: share of the head's maps dropped in training; -1 is 0.5, or 0.1 for the 'conv' head.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one, and where variant and trunk do not go together.
    """
    layers.check_choice('fcn alignment', alignment, ALIGNMENTS)
    layers.check_choice('fcn upsampling', upsampling, KINDS)
    head = head or ('fc' if trunk in FC_SIZES else 'none')
    layers.check_choice('fcn head', head, HEADS)
    sizes = {
        'depth': depth,
        'variant': trunk_variant or ('16' if trunk == 'vgg' else ''),
        'stem': '' if stem == 'imagenet' else stem,
        'width': int(width) if width == int(width) else width,
        'norm': norm,
        'norm_axis': norm_axis,
        'norm_momentum': norm_momentum if norm_momentum != 0.9 else 0,
        'output_stride': output_stride,
    }
    # The release's poolings round up; rounded down, the last map would not reach the image's end (500 x 375 pixels).
    if alignment == 'reference' and trunk == 'vgg':
        sizes['ceil_mode'] = True
    network = models.create(trunk, num_classes=0, dtype=dtype, **{key: value for key, value in sizes.items() if value})
    # The trunk's maps at each stride: the last of its stages, not the transition behind it.
    last_at = {stride: name for name, stride in network.endpoint_strides.items() if not name.startswith('transition')}
    skips = _skips(variant, last_at)
    if len(skip_scales) not in (0, len(skips)):
        raise ValueError(f'fcn {variant} has {len(skips)} skips, not {len(skip_scales)}: {", ".join(skips) or "none"}')
    if alignment == 'reference' and trunk not in FIRST_PADDING:
        raise ValueError(f"fcn alignment='reference' is for vgg and alexnet, not for {trunk}; use 'exact'")
    last = last_at[max(last_at)]
    kernel = head_size or (FC_SIZES.get(trunk, 3) if stem == 'imagenet' else 3)
    return FCN(
        num_classes,
        network,
        last,
        skips,
        tuple(skip_scales) or (1.0,) * len(skips),
        head,
        (hidden or int(4096 * (width or (1 if stem == 'imagenet' else 0.25))), kernel),
        _before_last(network, last) if auxiliary else '',
        alignment,
        REFERENCE_PADDING - FIRST_PADDING[trunk] if alignment == 'reference' else 0,
        upsampling,
        dropout if dropout >= 0 else 0.1 if head == 'conv' else 0.5,
        layers.make_norm('batch' if norm == '' else norm, axis_name=norm_axis, momentum=norm_momentum, dtype=dtype),
        dtype,
    )


def _skips(variant: str, last_at: dict[int, str]) -> tuple[str, ...]:
    """The trunk's endpoints that a variant adds, coarse to fine."""
    coarsest, known = max(last_at), [f'{stride}s' for stride in sorted(last_at, reverse=True) if stride > 0]
    layers.check_choice('fcn variant', variant, known)
    finest, strides = int(variant[:-1]), []
    while coarsest > finest:
        coarsest //= 2
        if coarsest not in last_at:
            raise ValueError(f'fcn variant {variant} needs a map of stride {coarsest}; there are {", ".join(known)}')
        strides.append(coarsest)
    return tuple(last_at[stride] for stride in strides)


def _before_last(network: nn.Module, last: str) -> str:
    """The endpoint before the last one of a ResNet (conv4) or of another network of stages."""
    names = list(network.endpoint_strides)
    return names[names.index(last) - 1]


# What stands for each classifier's first dense layer, and the padding of its first convolution.
FC_SIZES = {'vgg': 7, 'alexnet': 6}
FIRST_PADDING = {'vgg': 1, 'alexnet': 0}
VARIANTS = ('32s', '16s', '8s')

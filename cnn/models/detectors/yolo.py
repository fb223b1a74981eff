"""YOLO v1 (Redmon, Divvala, Girshick, Farhadi 2016, arXiv:1506.02640): one pass from the image to a grid of boxes.

A trunk, and a head of convolutions `conv1` ..., dense layers `fc1` ..., and the last layer `output`, which is linear.
Every cell of the S x S grid gives B boxes and one distribution over C classes.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers
from cnn.models.darknet import leaky_relu
from cnn.models.detectors import trunks

HEADS = ('dense', 'local', 'conv')
ORDERS = ('cell', 'darknet')
# Outputs begin near 0: no box anywhere. The paper leaves the start open.
START = initializers.normal(0.01)


class YOLO(nn.Module):
    """`apply(variables, images [B, H, W, 3], train=...) -> (output float32 [B, S, S, 5 B + C], endpoints)`.

    Of a cell, for each of its `boxes`: x and y (of the centre, in cells, from the cell's corner), the square roots of
    width and height (in images), and the confidence; then the `num_classes` classes. Endpoints: the trunk's under
    `trunk_<name>`, the head's convolutions `conv1` ..., `output`. Dropout draws from the stream `dropout`.
    """

    trunk: nn.Module
    endpoint: str
    head: nn.Module

    @property
    def boxes(self) -> int:
        """B, the predictors of a cell."""
        return self.head.boxes

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint of the trunk and the head."""
        of_trunk = self.trunk.endpoint_strides
        stride = of_trunk[self.endpoint] if self.endpoint else max(of_trunk.values())
        strides = {f'trunk_{name}': stride for name, stride in of_trunk.items()}
        for i in range(len(self.head.convs)):
            stride *= self.head.stride_of(i)
            strides[f'conv{i + 1}'] = stride
        return strides

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        x, found = self.trunk(images, train)
        output, own = self.head(found[self.endpoint] if self.endpoint else x, train)
        return output, {f'trunk_{name}': value for name, value in found.items()} | own


class Head(nn.Module):
    """What turns a trunk's map into the grid: `conv1` with `norm1` ..., `local`, `fc1` ..., `output`."""

    num_classes: int
    convs: tuple[int, ...]
    strided: bool
    kind: str
    local: int
    hidden: tuple[int, ...]
    side: int
    boxes: int
    dropout: float
    order: str
    norm: Callable
    use_bias: bool
    dtype: layers.Dtype

    def stride_of(self, i: int) -> int:
        """The stride of convolution `i`, from 0: the paper halves the map in the second of its four."""
        return 2 if self.strided and i == min(1, len(self.convs) - 1) else 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        endpoints = {}
        make = partial(layers.Conv, kernel_init=initializers.he_fan_in, use_bias=self.use_bias, dtype=self.dtype)
        for i, features in enumerate(self.convs):
            x = make(features, 3, strides=self.stride_of(i), padding=1, name=f'conv{i + 1}')(x)
            endpoints[f'conv{i + 1}'] = x = leaky_relu(self.norm(name=f'norm{i + 1}')(x, train))
        if self.kind == 'conv':
            outputs = 5 * self.boxes + self.num_classes
            x = layers.Conv(outputs, 1, kernel_init=START, name='output')(x)
        else:
            x = self._dense(x, train)
        endpoints['output'] = x = x.astype(jnp.float32)
        return x, endpoints

    def _dense(self, x: jax.Array, train: bool) -> jax.Array:
        grid = (self.side, self.side) if self.side else x.shape[1:3]
        cells, boxes, classes = grid[0] * grid[1], self.boxes, self.num_classes
        if self.kind == 'local':
            x = leaky_relu(LocallyConnected(self.local, dtype=self.dtype, name='local')(x))
        x = x.reshape(x.shape[0], -1)
        for i, features in enumerate(self.hidden, 1):
            init = initializers.he_fan_in
            x = leaky_relu(layers.Dense(features, kernel_init=init, dtype=self.dtype, name=f'fc{i}')(x))
        if self.hidden or self.kind == 'local':
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = layers.Dense(cells * (5 * boxes + classes), kernel_init=START, name='output')(x)
        if self.order == 'darknet':
            # Classes of all cells, then confidences of all, then boxes of all.
            ends = (cells * classes, cells * (classes + boxes))
            classes, confidences, places = (part.reshape(x.shape[0], cells, -1) for part in jnp.split(x, ends, axis=1))
            places = places.reshape(x.shape[0], cells, boxes, 4)
            places = jnp.concatenate([places, confidences[..., None]], -1).reshape(x.shape[0], cells, 5 * boxes)
            x = jnp.concatenate([places, classes], -1)
        return x.reshape(x.shape[0], *grid, -1)


class LocallyConnected(nn.Module):
    """A 3x3 convolution whose kernel is another one in every cell: `kernel` `[H, W, 9 C, features]`, `bias` `[H, W,
    features]`; darknet's [local] layer. The kernel's third axis runs over the window's rows, its columns, the channels.
    """

    features: int
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        height, width, channels = x.shape[1:]
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        shape = (height, width, 9 * channels, self.features)
        # Every cell is a dense layer by itself.
        init = initializers.normal((2 / (9 * channels)) ** 0.5)
        kernel = self.param('kernel', init, shape, jnp.float32).astype(self.dtype)
        bias = self.param('bias', initializers.zeros, shape[:2] + shape[3:], jnp.float32).astype(self.dtype)
        return jnp.einsum('bhwk,hwkf->bhwf', jnp.concatenate(windows, -1), kernel) + bias


def create(
    num_classes: int,
    *,
    variant: str = 'paper',
    trunk: str = '',
    depth: int = 0,
    trunk_variant: str = '',
    stem: str = '',
    width: float = 0,
    stages: int = 0,
    endpoint: str = '',
    convs: tuple[int, ...] = (),
    head: str = '',
    hidden: tuple[int, ...] = (),
    side: int = 0,
    boxes: int = 0,
    dropout: float = 0.5,
    order: str = 'cell',
    norm: str = 'none',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    dtype: layers.Dtype = jnp.float32,
) -> YOLO:
    """A YOLO v1; what is not given is the variant's.

    Args:
      variant: 'paper', 24 convolutions and two dense layers; 'fast', the nine convolutions of the paper's Fast YOLO;
        'tiny' and 'local', what darknet's files hold under those names today; 'small', for images of 96 pixels or so.
      trunk: any network of `cnn.models`, with its `depth`, `trunk_variant` (its own `variant`), `stem`, `width`,
        `stages` where they are given; `endpoint`: which of its maps the detector reads, '' for the last.
      convs: features of the detector's own 3x3 convolutions; of variants 'paper' and 'local' the second
        one has a stride of two.
      head: 'dense'; 'local', a locally connected layer before it (darknet's cfg/yolov1.cfg); or 'conv', where every
        cell sees its own receptive field alone.
      hidden: features of the dense layers before the last.
      side: S of a dense head; 0 for the side of the map it reads.
      boxes: B.
      dropout: share of what the last layer reads that is dropped in training, where there are layers before it.
      order: of a dense head's outputs: 'cell' by cell, or 'darknet', all classes, all confidences, all boxes.
      norm: of the trunk and the convolutions: 'none' as in the paper, or 'batch' as in darknet's files.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('yolo variant', variant, tuple(VARIANTS))
    sizes = dict(VARIANTS[variant])
    head = head or sizes['head']
    layers.check_choice('yolo head', head, HEADS)
    layers.check_choice('yolo order', order, ORDERS)
    own = {'stages': sizes.get('stages', 0), 'variant': sizes['trunk_variant']} if trunk in ('', 'darknet') else {}
    # ResNets and their like have norms of their own kind; what has none by default gets none.
    asked = norm if trunk in ('', 'darknet') or norm != 'none' else ''
    given = {'depth': depth, 'variant': trunk_variant, 'stem': stem, 'width': width, 'stages': stages, 'norm': asked,
             'norm_axis': norm_axis, 'norm_momentum': norm_momentum if norm_momentum != 0.9 else 0}  # fmt: skip
    network = trunks.create(trunk or 'darknet', dtype=dtype, **own | {k: v for k, v in given.items() if v})
    if endpoint and endpoint not in network.endpoint_strides:
        known = ', '.join(network.endpoint_strides)
        raise ValueError(f'the trunk {trunk or "darknet"} has no endpoint {endpoint!r}; there are {known}')
    own = Head(
        num_classes,
        tuple(convs) or sizes['convs'],
        sizes['strided'],
        head,
        sizes.get('local', 256),
        tuple(hidden) or sizes['hidden'],
        side,
        boxes or sizes.get('boxes', 2),
        dropout,
        order,
        layers.make_norm(norm, axis_name=norm_axis, momentum=norm_momentum, dtype=dtype),
        norm == 'none',
        dtype,
    )
    return YOLO(network, endpoint, own)


# 'paper': figure 3. 'fast': section 2.1 and, for its sizes, cfg/yolo-tiny.cfg of darknet's first release. 'tiny' and
# 'local': cfg/yolov1-tiny.cfg and cfg/yolov1.cfg of github.com/pjreddie/darknet.
VARIANTS = {
    'paper': {'trunk_variant': 'yolo', 'convs': (1024,) * 4, 'strided': True, 'head': 'dense', 'hidden': (4096,)},
    'fast': {'trunk_variant': 'tiny', 'convs': (1024,) * 2, 'strided': False, 'head': 'dense', 'hidden': (256, 4096)},
    'tiny': {'trunk_variant': 'tiny', 'convs': (256,), 'strided': False, 'head': 'dense', 'hidden': ()},
    'local': {
        'trunk_variant': 'yolo', 'convs': (1024,) * 4, 'strided': True, 'head': 'local', 'hidden': (), 'boxes': 3,
    },
    'small': {
        'trunk_variant': 'tiny', 'stages': 5, 'convs': (128,), 'strided': False, 'head': 'conv', 'hidden': (),
    },
}  # fmt: skip

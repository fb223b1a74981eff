"""A classifier made fully convolutional (Sermanet et al. 2013; Long et al. 2015): its scores all over an image.

    heat_map, heat_variables = convolutionalize(model, variables)
    scores, _ = heat_map.apply(heat_variables, images)       # [B, h, w, C], images of any size
    cells(heat_map, images.shape[1:])                        # where each of them lies

A dense layer over a map of k x k cells is a k x k convolution with the same numbers; a mean over the whole map is one
over windows of the map's usual size; a dense layer behind it is a 1x1 convolution.

What is equal to what: at the native size the map has one cell, whose scores are the classifier's logits, but for
rounding. On a larger image cell (i, j) has the logits of the native crop that begins at pixel (i stride, j stride)
exactly where (a) no layer pads: a padded layer reads zeros around a crop, and the surroundings in the image; (b) no
pooling window of the crop or of the cell is cut off; (c) nothing is normalised over space (group norm). Of the
published networks none meets (a): their cells differ from crops by what the zeros at a crop's border do.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.analysis import grad_cam
from cnn.models import layers

# The dense layers of a classifier in order, or its one convolution before the mean.
_DENSE = ('fc6', 'fc7', 'fc8')
_CONVOLUTION = 'conv10'
NATIVE, NATIVE_SMALL = 224, 32


class HeatMap(nn.Module):
    """`apply(variables, images [B, H, W, C]) -> (scores float32 [B, h, w, num_classes], endpoints)`.

    Attributes:
      trunk: the classifier without its head.
      kernels: (name, side of the kernel, outputs) of each layer of the head; ReLU between them.
      before, after: sides of the windows that are averaged before the head, or behind it; 0 for none.
      relu_last: a ReLU behind the last layer (SqueezeNet).
      image_size: the side of the images that the classifier was made for.
    """

    trunk: nn.Module
    kernels: tuple[tuple[str, int, int], ...]
    before: int
    after: int
    relu_last: bool
    image_size: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        if train:
            raise ValueError('a heat map shows a trained classifier; train the classifier itself, or an fcn')
        x, endpoints = self.trunk(images, False)
        endpoints = dict(endpoints)
        if self.before:
            x = layers.avg_pool(x.astype(jnp.float32), self.before, 1)
        for place, (name, kernel, features) in enumerate(self.kernels, 1):
            last = place == len(self.kernels)
            dtype = jnp.float32 if last or self.before else x.dtype
            x = layers.Conv(features, kernel, padding=0, dtype=dtype, name=name)(x)
            endpoints[name] = x = nn.relu(x) if not last or self.relu_last else x
        if self.after:
            x = layers.avg_pool(x, self.after, 1)
        endpoints['scores'] = x
        return x, endpoints


class Cells(NamedTuple):
    """Where the cells of a heat map lie, in rows and columns.

    Attributes:
      shape: how many there are.
      stride: pixels between neighbours.
      offset: the pixel over which the receptive field of cell 0 is centred.
      window: the side of the native crop that a cell scores; cell i's begins at pixel i `stride`.
    """

    shape: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    window: int


def convolutionalize(
    model: nn.Module, variables: Mapping[str, Any], *, image_size: int = 0, window: int = 0
) -> tuple[HeatMap, dict[str, Any]]:
    """A classifier of the zoo as a network that scores every place of an image, and its variables.

    Args:
      model: an AlexNet, VGG (with either classifier), GoogLeNet, ResNet, DenseNet or SqueezeNet.
      variables: of the model; the arrays are shared, not copied, where their shape stays.
      image_size: the native size; 0 is 224, or 32 for networks of small images.
      window: for networks that average their last map: over so many cells; 0 is all those of the native size. With 1
        each cell speaks for itself (class activation mapping, Zhou et al. 2016), and an image's logits are the mean.

    Raises:
      ValueError: another kind of network, or a native size at which the classifier's dense layer does not fit.
    """
    params = variables['params']
    dense = [name for name in _DENSE if name in params]
    head = dense or [name for name in ('fc', _CONVOLUTION) if name in params]
    if not head or not getattr(model, 'num_classes', 0):
        raise ValueError(f'{type(model).__name__} has no classifier that this function knows')
    trunk = model.clone(num_classes=0)
    image_size = image_size or _native(model)
    rest = {name: leaf for name, leaf in params.items() if name not in (*head, 'aux1', 'aux2')}
    inner = {'params': rest, **{name: tree for name, tree in variables.items() if name != 'params'}}
    channels = _first_kernel(params).shape[2]
    shape = jax.eval_shape(
        lambda v, x: trunk.apply(v, x, train=False)[0],
        inner,
        jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32),
    ).shape
    converted, kernels = {}, []
    for name in head:
        kernel = jnp.asarray(params[name]['kernel'])
        if kernel.ndim == 2:
            side = round((kernel.shape[0] / shape[-1]) ** 0.5) if name == 'fc6' else 1
            kernel = kernel.reshape(side, side, -1, kernel.shape[-1])
        converted[name] = {**params[name], 'kernel': kernel}
        kernels.append((name, kernel.shape[0], kernel.shape[-1]))
    cells = shape[1] - kernels[0][1] + 1
    if dense and cells != 1:
        side, found = kernels[0][1], f'{shape[1]} x {shape[2]}'
        raise ValueError(
            f'{type(model).__name__} classifies {side} x {side} cells, but at image_size={image_size} its last map has '
            f'{found}; give the size that it was made for'
        )
    averaged = 0 if dense else window or cells
    relu_last = bool(getattr(model, 'relu_last', False)) and head == [_CONVOLUTION]
    heat_map = HeatMap(
        trunk,
        tuple(kernels),
        averaged if head == ['fc'] else 0,
        averaged if head == [_CONVOLUTION] else 0,
        relu_last,
        image_size,
    )
    others = {name: {'trunk': tree} for name, tree in inner.items() if name != 'params'}
    return heat_map, {'params': {'trunk': rest, **converted}, **others}


def _native(model: nn.Module) -> int:
    small = getattr(model, 'small', False) or getattr(model, 'stem', 'imagenet') == 'cifar'
    sizes = getattr(model, 'sizes', {})
    return NATIVE_SMALL if small or ('conv1' in sizes and sizes['conv1'][2] == 1) else NATIVE


def _first_kernel(params: Mapping[str, Any]) -> Any:
    return params[next(name for name in ('conv1', 'conv1_1') if name in params)]['kernel']


def cells(heat_map: HeatMap, image_shape: tuple[int, int, int]) -> Cells:
    """Where the cells of the heat map of an image `(H, W, C)` lie; nothing is computed on numbers."""
    rows, columns = grad_cam.grid(heat_map, 'scores', image_shape)
    shape = jax.eval_shape(
        lambda x: heat_map.init_with_output(jax.random.key(0), x)[0][0],
        jax.ShapeDtypeStruct((1, *image_shape), jnp.float32),
    ).shape
    return Cells(shape[1:3], (rows[1], columns[1]), (rows[0], columns[0]), heat_map.image_size)

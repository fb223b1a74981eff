"""AlexNet (Krizhevsky et al. 2012): two towers or one, and torchvision's single tower.

Layers are `conv1` ... `conv5`, `fc6`, `fc7`, `fc8`. The two-tower net is one set of arrays: conv2, conv4 and conv5 are
grouped convolutions, so tower t is the t-th half of every layer's outputs. `alexnet_towers` runs the same variables on
two devices.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers

# Convolutions that read their own tower only; conv3 and the dense layers read both.
GROUPED = ('conv2', 'conv4', 'conv5')


class AlexNet(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `conv1` ... `conv5` after their ReLU, `pool1`, `pool2`, `pool5`, `fc6`, `fc7` (= `pre_logits`), `logits`.
    Dropout draws from the stream `dropout`.
    """

    num_classes: int
    sizes: dict[str, tuple]
    towers: int
    lrn: str
    overlapping: bool
    dropout: float
    dropout_first: bool
    adaptive: int
    ceil_mode: bool
    pool_padding: int
    init_of: Callable
    dtype: layers.Dtype

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        stride = self.sizes['conv1'][2]
        strides = {'conv1': stride, 'pool1': stride * 2, 'conv2': stride * 2, 'pool2': stride * 4}
        return strides | dict.fromkeys(('conv3', 'conv4', 'conv5'), stride * 4) | {'pool5': stride * 8}

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        strides, offsets, at, step = self.endpoint_strides, {}, 0.0, 1
        for name in ('conv1', 'pool1', 'conv2', 'pool2', 'conv3', 'conv4', 'conv5', 'pool5'):
            kernel, padding = self.sizes[name][1::2] if name in self.sizes else self._pool(name)
            at += step * ((kernel - 1) / 2 - padding)
            offsets[name], step = at, strides[name]
        return offsets

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        x, endpoints = images, {}
        for i in range(1, 6):
            endpoints[f'conv{i}'] = x = nn.relu(self._conv(f'conv{i}', x))
            if i <= 2 and self.lrn != 'none':
                x = self._lrn(f'lrn{i}', x)
            if i in (1, 2, 5):
                # Section 3.4 of the paper: windows of 3 at stride 2 overlap. Caffe's rounding up, which changes nothing
                # at 227 pixels, gives 224 the same 6x6 maps; windows of 2 give them rounding down ("output of
                # equivalent dimensions").
                window, padding = self._pool(f'pool{i}')
                ceil_mode = self.ceil_mode and self.overlapping
                endpoints[f'pool{i}'] = x = layers.max_pool(x, window, 2, padding, ceil_mode=ceil_mode)
        if not self.num_classes:
            return x, endpoints
        if self.adaptive:
            x = layers.adaptive_avg_pool(x, self.adaptive)
        x = self._exchange('fc6', x).reshape(x.shape[0], -1)
        dropout = nn.Dropout(self.dropout, deterministic=not train)
        for name in ('fc6', 'fc7'):
            # The paper drops the outputs of fc6 and fc7; torchvision drops their inputs.
            x = dropout(x) if self.dropout_first else x
            endpoints[name] = x = nn.relu(self._dense(name, x))
            x = x if self.dropout_first else dropout(x)
        endpoints['pre_logits'] = endpoints['fc7']
        endpoints['logits'] = x = self._classify(x.astype(jnp.float32))
        return x, endpoints

    def _pool(self, name: str) -> tuple[int, int]:
        """A pooling's window and padding."""
        return 3 if self.overlapping else 2, 0 if name == 'pool5' else self.pool_padding

    def _conv(self, name: str, x: jax.Array) -> jax.Array:
        features, kernel, stride, padding = self.sizes[name]
        x, groups = self._exchange(name, x), self.towers if name in GROUPED else 1
        make = layers.make_conv('standard', groups=groups, dtype=self.dtype, name=name)
        init = self.init_of(name, kernel * kernel * x.shape[-1] // groups)
        return make(self._share(features), kernel, stride, padding, **init)(x)

    def _dense(self, name: str, x: jax.Array) -> jax.Array:
        x = self._exchange(name, x) if name != 'fc6' else x
        init = self.init_of(name, x.shape[-1])
        return layers.Dense(self._share(self.sizes[name]), dtype=self.dtype, name=name, **init)(x)

    def _classify(self, x: jax.Array) -> jax.Array:
        return layers.Dense(self.num_classes, name='fc8', **self.init_of('fc8', x.shape[-1]))(x)

    def _lrn(self, name: str, x: jax.Array) -> jax.Array:
        """Over each tower's own maps (a tower cannot see the other's); Caffe's net over all of them."""
        groups = self.towers if self.lrn in ('paper', 'unit') else 1
        return layers.LocalResponseNorm(**LRN[self.lrn], groups=groups, name=name)(x)

    # What one tower on a device of its own does differently (alexnet_towers).
    def _share(self, features: int) -> int:
        return features

    def _exchange(self, name: str, x: jax.Array) -> jax.Array:
        return x


def _paper_init(name: str, fan_in: int) -> dict[str, initializers.Initializer]:
    """Section 5: deviation 0.01; biases 1 where they feed ReLUs that would otherwise start dead, else 0."""
    ones = name in ('conv2', 'conv4', 'conv5', 'fc6', 'fc7')
    return {
        'kernel_init': initializers.normal(0.01),
        'bias_init': initializers.ones if ones else initializers.zeros,
    }


def _torch_init(name: str, fan_in: int) -> dict[str, initializers.Initializer]:
    return initializers.torch_default(fan_in)


def _he_init(name: str, fan_in: int) -> dict[str, initializers.Initializer]:
    return {'kernel_init': initializers.he_fan_in}


def create(
    num_classes: int,
    *,
    variant: str = 'paper',
    towers: int = 2,
    stem: str = 'imagenet',
    width: float = 0,
    lrn: str = '',
    overlapping: bool = True,
    padded: bool = False,
    dropout: float = 0.5,
    init: str = '',
    dtype: layers.Dtype = jnp.float32,
) -> AlexNet:
    """An AlexNet.

    Args:
      variant: 'paper' (227 x 227 images, or 224 x 224) or 'torchvision' (224 x 224, no LRN, after arXiv:1404.5997).
      towers: 2, or 1 for the net whose every layer reads all maps.
      stem: 'imagenet', or 'small' for images of 28 to 32 pixels: conv1 is 5x5 at stride 1.
      width: factor on every layer's features; 0 is 1, and 1/4 for 'small'.
      lrn: 'paper' (k = 2, alpha a neighbour, within a tower), 'caffe' (k = 1, alpha a window, over all maps), 'unit' or
        'none'; '' is the variant's own, and for 'small' 'unit' in place of 'paper'. The paper's alpha of 1e-4 is for
        pixels of 0 to 255 less their mean; beside images normalised to a deviation of one it makes the divisor a
        constant. 'unit' is the paper's for these: alpha times 57 squared, which divides as it would there.
      overlapping: pooling windows of 3 at stride 2 rather than 2 at stride 2.
      padded: conv1 by 5 and the first two poolings by 1, so that cells are centred over every 16th pixel from the first
        on, as in Fast R-CNN's release of CaffeNet; the same parameters.
      dropout: share of fc6's and fc7's outputs dropped in training.
      init: 'paper', 'torch' or 'he'; '' is the variant's own, and 'he' for 'small'.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('alexnet variant', variant, tuple(VARIANTS))
    layers.check_choice('alexnet stem', stem, ('imagenet', 'small'))
    chosen = VARIANTS[variant]
    if towers not in (1, 2):
        raise ValueError(f'alexnet has 1 or 2 towers, not {towers}')
    small = stem == 'small'
    lrn = lrn or ('unit' if small and chosen['lrn'] == 'paper' else chosen['lrn'])
    layers.check_choice('alexnet lrn', lrn, (*LRN, 'none'))
    sizes = chosen['sizes'] | ({'conv1': (chosen['sizes']['conv1'][0], *SMALL_CONV1)} if small else {})
    # The paper's deviation of 0.01 suits its wide layers; thin ones would pass on almost nothing.
    init = init or ('he' if small else chosen['init'])
    layers.check_choice('alexnet init', init, tuple(INITS))
    width = width or (0.25 if small else 1)
    if padded:
        if small or variant != 'paper' or not overlapping:
            raise ValueError("alexnet padded=True is of variant='paper' with stem='imagenet' and overlapping pooling")
        sizes = sizes | {'conv1': (*sizes['conv1'][:3], 5)}
    return AlexNet(
        num_classes,
        {name: _scaled(size, width) for name, size in sizes.items()},
        towers if variant == 'paper' else 1,
        lrn,
        overlapping,
        dropout,
        chosen['dropout_first'],
        0 if small else chosen['adaptive'],
        chosen['ceil_mode'],
        int(padded),
        INITS[init],
        dtype,
    )


def _scaled(size, width: float):
    """Features times `width`, kept even so that two towers share them."""
    if isinstance(size, tuple):
        return (_scaled(size[0], width), *size[1:])
    return max(2, int(size * width) // 2 * 2)


# (features, kernel, stride, padding) of each convolution, features of each dense layer.
VARIANTS = {
    'paper': {
        'sizes': {
            'conv1': (96, 11, 4, 0),
            'conv2': (256, 5, 1, 2),
            'conv3': (384, 3, 1, 1),
            'conv4': (384, 3, 1, 1),
            'conv5': (256, 3, 1, 1),
            'fc6': 4096,
            'fc7': 4096,
        },
        'lrn': 'paper',
        'dropout_first': False,
        'adaptive': 0,
        'ceil_mode': True,
        'init': 'paper',
    },
    'torchvision': {
        'sizes': {
            'conv1': (64, 11, 4, 2),
            'conv2': (192, 5, 1, 2),
            'conv3': (384, 3, 1, 1),
            'conv4': (256, 3, 1, 1),
            'conv5': (256, 3, 1, 1),
            'fc6': 4096,
            'fc7': 4096,
        },
        'lrn': 'none',
        'dropout_first': True,
        'adaptive': 6,
        'ceil_mode': False,
        'init': 'torch',
    },
}
SMALL_CONV1 = (5, 1, 2)
LRN = {
    'paper': {'size': 5, 'alpha': 1e-4, 'beta': 0.75, 'k': 2.0},
    # ImageNet's pixels deviate by 57 from their mean (0.225 x 255).
    'unit': {'size': 5, 'alpha': 1e-4 * 57**2, 'beta': 0.75, 'k': 2.0},
    'caffe': {'size': 5, 'alpha': 1e-4, 'beta': 0.75, 'k': 1.0, 'divide_by_size': True},
}
INITS = {'paper': _paper_init, 'torch': _torch_init, 'he': _he_init}

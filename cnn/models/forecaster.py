"""Dilated causal convolutions that forecast a series, `[B, T, F] -> [B, H]`.

Two kinds of residual blocks, each block reading twice as far back as the one before (dilations 1, 2, 4, ...):

- `gated`: WaveNet (van den Oord et al. 2016, arXiv:1609.03499, section 2): one convolution into tanh times sigmoid,
  then 1x1 convolutions into the residual path and into a sum of skips, which two more 1x1 convolutions read. It sees
  1 + (K - 1)(2**blocks - 1) values.
- `tcn`: Bai, Kolter and Koltun (2018, arXiv:1803.01271, section 3): two convolutions of one dilation, each with ReLU
  and dropout, added to the block's input; a linear layer at the end. It sees 1 + 2 (K - 1)(2**blocks - 1) values.

The output is what the last layer says at the last time, after which nothing comes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers
from cnn.models.layers import Dtype, check_choice
from cnn.ops.causal import causal_conv


class CausalConv(nn.Module):
    """`kernel` `[K, C, features]`, `bias` `[features]`; with `weight_norm` (Salimans and Kingma 2016,
    arXiv:1602.07868) `direction` and `scale` instead of the kernel, each output's direction made of length 1."""

    features: int
    kernel_size: int = 1
    dilation: int = 1
    weight_norm: bool = False
    dtype: Dtype = jnp.float32
    kernel_init: initializers.Initializer = initializers.he_fan_in

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, x.shape[-1], self.features)
        if self.weight_norm:
            direction = self.param('direction', self.kernel_init, shape, jnp.float32)
            # He's deviation made of a kernel of length 1: a length of sqrt(2) is what `he_fan_in` starts with.
            scale = self.param('scale', initializers.constant(2**0.5), (self.features,), jnp.float32)
            length = jnp.sqrt(jnp.sum(jnp.square(direction), (0, 1)) + 1e-12)
            kernel = direction * (scale / length)
        else:
            kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
        bias = self.param('bias', initializers.zeros, (self.features,), jnp.float32)
        y = causal_conv(x.astype(self.dtype), kernel.astype(self.dtype), dilation=self.dilation)
        return y + bias.astype(self.dtype)


class Forecaster(nn.Module):
    """`apply(variables, series [B, T, F], train=...) -> (forecast float32 [B, horizon], endpoints)`.

    Endpoints: `input` and `block1` ... `[B, T, width]`; `every`, what the last layer says at each time, float32
    `[B, T, horizon]`, whose last row is the output; `pre_logits` `[B, width]`, what it read there. Dropout draws from
    the stream `dropout`, a whole channel of a series at a time (Bai et al., section 3.4).
    """

    horizon: int
    width: int
    kernel_size: int
    blocks: int
    block: str
    weight_norm: bool
    dropout: float
    dtype: Dtype

    def depth(self, times: int) -> int:
        """The number of blocks for series of this length: as many as see all of it, unless `blocks` says otherwise.

        Raises:
          ValueError: `blocks` see less.
        """
        needed = 1
        while receptive_field(self.block, self.kernel_size, needed) < times:
            needed += 1
        if self.blocks and self.blocks < needed:
            seen = receptive_field(self.block, self.kernel_size, self.blocks)
            raise ValueError(
                f'{self.blocks} {self.block} blocks with kernels of {self.kernel_size} see {seen} of {times} past '
                f'values; use blocks={needed}, larger kernels or a shorter past'
            )
        return self.blocks or needed

    @nn.compact
    def __call__(self, series: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        depth = self.depth(series.shape[1])
        x = self._conv(self.width, name='input')(series)
        endpoints, skips = {'input': x}, []
        for i in range(depth):
            kind = self._gated if self.block == 'gated' else self._tcn
            endpoints[f'block{i + 1}'] = x = kind(x, 2**i, f'block{i + 1}', train, skips)
        if skips:
            x = nn.relu(self._conv(self.width, name='head')(nn.relu(sum(skips[1:], skips[0]))))
        # Small at first: the first forecast is then near zero, the last value where the task takes changes from it.
        last = initializers.variance_scaling(0.01, 'fan_in', 'normal')
        every = CausalConv(self.horizon, kernel_init=last, name='forecast')(x.astype(jnp.float32))
        endpoints |= {'pre_logits': x[:, -1], 'every': every}
        return every[:, -1], endpoints

    def _conv(self, features: int, kernel_size: int = 1, dilation: int = 1, *, name: str) -> CausalConv:
        return CausalConv(features, kernel_size, dilation, self.weight_norm, self.dtype, name=name)

    def _gated(self, x, dilation, name, train, skips):
        y = self._conv(2 * self.width, self.kernel_size, dilation, name=f'{name}_conv')(x)
        signal, gate = jnp.split(y, 2, axis=-1)
        y = self._drop(jnp.tanh(signal) * nn.sigmoid(gate), train)
        skips.append(self._conv(self.width, name=f'{name}_skip')(y))
        return x + self._conv(self.width, name=f'{name}_residual')(y)

    def _tcn(self, x, dilation, name, train, _skips):
        y = x
        for i in (1, 2):
            y = nn.relu(self._conv(self.width, self.kernel_size, dilation, name=f'{name}_conv{i}')(y))
            y = self._drop(y, train)
        return nn.relu(x + y)

    def _drop(self, x, train):
        return nn.Dropout(self.dropout, broadcast_dims=(1,), deterministic=not train)(x)


def receptive_field(block: str, kernel_size: int, blocks: int) -> int:
    """How many values, its own time included, the last output of so many blocks sees."""
    return 1 + LAYERS[block] * (kernel_size - 1) * (2**blocks - 1)


def create(
    num_classes: int,
    *,
    width: int = 16,
    kernel_size: int = 2,
    blocks: int = 0,
    block: str = 'gated',
    weight_norm: bool = False,
    dropout: float = 0.0,
    dtype: Dtype = jnp.float32,
) -> Forecaster:
    """A forecaster.

    Args:
      num_classes: the horizon H, how many values it forecasts.
      width: channels of every block.
      kernel_size: K, 2 or more.
      blocks: how many; 0 for as many as see the whole past that it is given.
      block: 'gated' (WaveNet) or 'tcn'.
      weight_norm: as Bai et al. have it.
      dropout: share of a block's channels dropped in training.

    Raises:
      ValueError: an unknown block, naming the nearest, or a size out of range.
    """
    check_choice('forecaster block', block, tuple(LAYERS))
    if kernel_size < 2 or width < 1 or blocks < 0 or num_classes < 1:
        sizes = f'kernel_size {kernel_size}, width {width}, blocks {blocks}, horizon {num_classes}'
        raise ValueError(f'a forecaster of {sizes}: kernels of 2 or more, no size below 1 (blocks=0 for as needed)')
    return Forecaster(num_classes, width, kernel_size, blocks, block, weight_norm, dropout, dtype)


# Convolutions of one dilation in a block.
LAYERS = {'gated': 1, 'tcn': 2}
VARIANTS = LAYERS

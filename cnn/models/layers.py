"""Layers that the networks are made of: convolution, normalisation, dense, pooling. Channels last, `[B, H, W, C]`.

Parameters carry Flax's usual names (`kernel`, `bias`, `scale`; statistics `mean`, `var`), padding is explicit as in the
papers and in PyTorch (an integer pads both sides), and every module takes a compute `dtype` beside float32 parameters.
`CONVOLUTIONS` holds every kind of convolution by name. One long file, so that a network needs a single import.
"""

import difflib
import math
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cnn.models import initializers
from cnn.models.initializers import Initializer
from cnn.ops import norm, pool
from cnn.ops.conv import conv, dense
from cnn.ops.conv_transpose import conv_transpose
from cnn.ops.lrn import local_response_norm
from cnn.ops.sampling import deformable_conv

Dtype = Any


def check_choice(what: str, value: str, known: Sequence[str]) -> None:
    """Raises ValueError, naming the nearest right choice, unless `value` is one of `known`."""
    if value not in known:
        close = difflib.get_close_matches(str(value), known, n=1)
        hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(known)}'
        raise ValueError(f'unknown {what} {value!r}; {hint}')


def choose_depth(what: str, depth: int, variants: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    """The sizes of a published depth; ValueError naming the nearest ones for any other."""
    if depth not in variants:
        near = sorted(sorted(variants, key=lambda d: abs(d - depth))[:2])
        raise ValueError(f"{what} depth {depth} is none of the paper's; the nearest are {near[0]} and {near[1]}")
    return variants[depth]


def count_units(what: str, depth: int, period: int, rest: int) -> int:
    """n of depth = period n + rest, at least 1; ValueError naming the nearest right depths for any other."""
    units = (depth - rest) // period
    if units < 1 or period * units + rest != depth:
        near = [period * max(1, units) + rest, period * (max(1, units) + 1) + rest]
        raise ValueError(
            f"{what} depth {depth} is not {period}n + {rest} (stem='cifar'); the nearest are {near[0]} and {near[1]}"
        )
    return units


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """`3 -> (3, 3)`; a pair stays."""
    return (value, value) if isinstance(value, int) else tuple(value)


def padding_pairs(padding, kernel_size, dilation=(1, 1)) -> tuple[tuple[int, int], tuple[int, int]]:
    """Explicit zeros ((top, bottom), (left, right)) for an integer, a pair (rows, columns), pairs, 'same' or 'valid'.

    'same' keeps the size at stride 1 (the smaller half first).
    """
    if padding == 'valid':
        return (0, 0), (0, 0)
    if padding == 'same':
        total = [d * (k - 1) for k, d in zip(pair(kernel_size), pair(dilation), strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    return tuple(pair(p) for p in padding)


class _Convolution(nn.Module):
    """What every kind of convolution takes. 'same' padding keeps the size at stride 1, whatever the kind's dilation."""

    features: int
    kernel_size: int | tuple[int, int] = 3
    strides: int | tuple[int, int] = 1
    padding: Any = 'same'
    dilation: int | tuple[int, int] = 1
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = initializers.he_fan_out
    bias_init: Initializer = initializers.zeros

    def _kernel(self, inputs: int, outputs: int) -> jax.Array:
        shape = (*pair(self.kernel_size), inputs, outputs)
        return self.param('kernel', self.kernel_init, shape, jnp.float32).astype(self.dtype)

    def _spatial(self) -> dict[str, tuple]:
        return {
            'strides': pair(self.strides),
            'padding': padding_pairs(self.padding, self.kernel_size, self.dilation),
            'dilation': pair(self.dilation),
        }

    def _add_bias(self, y: jax.Array) -> jax.Array:
        if not self.use_bias:
            return y
        return y + self.param('bias', self.bias_init, (y.shape[-1],), jnp.float32).astype(self.dtype)


class Conv(_Convolution):
    """Convolution, optionally grouped or dilated; `kernel` `[kh, kw, C_in / groups, features]`, `bias` `[features]`."""

    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = x.shape[-1]
        if inputs % self.groups or self.features % self.groups:
            raise ValueError(f'{self.name}: {inputs} -> {self.features} channels do not divide by {self.groups} groups')
        kernel = self._kernel(inputs // self.groups, self.features)
        return self._add_bias(conv(x.astype(self.dtype), kernel, groups=self.groups, **self._spatial()))


class ConvTranspose(_Convolution):
    """Transposed convolution, the adjoint of a `Conv` of the same sizes; it enlarges by `strides`.

    `kernel` `[kh, kw, features, C_in]` is the kernel of that `Conv` (from `features` to C_in channels), so both may
    share one array. `padding` is that convolution's: here it takes rows and columns away.
    """

    output_padding: int | tuple[int, int] = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self._kernel(self.features, x.shape[-1])
        pad = pair(self.output_padding)
        return self._add_bias(conv_transpose(x.astype(self.dtype), kernel, output_padding=pad, **self._spatial()))


class Depthwise(_Convolution):
    """Each channel by itself; `kernel` `[kh, kw, 1, features]`, `features` a multiple of the inputs (0: as many)."""

    features: int = 0
    # An output sums over one channel only: the fan-out of the other kinds would start it far too small.
    kernel_init: Initializer = initializers.he_fan_in

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = x.shape[-1]
        features = self.features or inputs
        if features % inputs:
            raise ValueError(
                f'{self.name}: a depthwise convolution cannot turn {inputs} channels into {features}, which is no '
                "multiple; use 'depthwise_separable'"
            )
        return self._add_bias(conv(x.astype(self.dtype), self._kernel(1, features), groups=inputs, **self._spatial()))


class DepthwiseSeparable(_Convolution):
    """Depthwise, then pointwise, nothing between (Chollet 2016, arXiv:1610.02357); `depthwise`, `pointwise`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        spatial = (self.kernel_size, self.strides, self.padding, self.dilation)
        x = Depthwise(0, *spatial, use_bias=False, dtype=self.dtype, name='depthwise')(x)
        last = partial(Conv, use_bias=self.use_bias, dtype=self.dtype)
        return last(self.features, 1, kernel_init=self.kernel_init, bias_init=self.bias_init, name='pointwise')(x)


class SpatiallySeparable(_Convolution):
    """kh x 1, then 1 x kw, with `features` channels between; `vertical`, `horizontal`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        (kh, kw), (sh, sw), (dh, dw) = pair(self.kernel_size), pair(self.strides), pair(self.dilation)
        rows, columns = padding_pairs(self.padding, (kh, kw), (dh, dw))
        make = partial(Conv, self.features, dtype=self.dtype, kernel_init=self.kernel_init)
        x = make((kh, 1), (sh, 1), (rows, (0, 0)), (dh, 1), use_bias=False, name='vertical')(x)
        last = partial(make, use_bias=self.use_bias, bias_init=self.bias_init, name='horizontal')
        return last((1, kw), (1, sw), ((0, 0), columns), (1, dw))(x)


class Deformable(_Convolution):
    """Deformable convolution, v1 or (`modulated`) v2; `offset` is the convolution that places the taps.

    It starts as the plain convolution: offsets zero, and v2's factors one half each (Zhu et al. 2018).
    """

    modulated: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x, taps = x.astype(self.dtype), math.prod(pair(self.kernel_size))
        spatial = (self.kernel_size, self.strides, self.padding, self.dilation)
        place = partial(Conv, dtype=self.dtype, kernel_init=initializers.zeros, name='offset')
        placed = place(taps * (3 if self.modulated else 2), *spatial)(x)
        offsets, mask = jnp.split(placed, [2 * taps], axis=-1)
        mask = nn.sigmoid(mask) if self.modulated else None
        kernel = self._kernel(x.shape[-1], self.features)
        return self._add_bias(deformable_conv(x, offsets, kernel, mask, **self._spatial()))


def _pointwise(features: int, kernel_size=1, **options) -> Conv:
    """1x1 whatever the size asked for, so that it can stand in any network."""
    return Conv(features, 1, **options | ({'padding': 0} if 'padding' in options else {}))


CONVOLUTIONS = {
    'standard': Conv,
    'dilated': partial(Conv, dilation=2),
    'transposed': ConvTranspose,
    'spatially_separable': SpatiallySeparable,
    'grouped': partial(Conv, groups=4),
    'pointwise': _pointwise,
    'depthwise': Depthwise,
    'depthwise_separable': DepthwiseSeparable,
    'deformable': Deformable,
    'modulated_deformable': partial(Deformable, modulated=True),
}


class Dense(nn.Module):
    """`x @ kernel + bias`; `kernel` `[inputs, features]`, `bias` `[features]`."""

    features: int
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = initializers.variance_scaling(1.0, 'fan_in', 'normal')
    bias_init: Initializer = initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param('kernel', self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        y = dense(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            y = y + self.param('bias', self.bias_init, (self.features,), jnp.float32).astype(self.dtype)
        return y


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) over all axes but the last.

    `momentum` is the share of the old running statistic that is kept: 0.9 here is PyTorch's 0.1. Statistics are
    computed in float32 in one pass. With `axis_name` they are averaged over that mapped axis (synchronised); without,
    each replica normalises by its own. `unbiased` stores n / (n - 1) of the variance, as PyTorch does.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None
    unbiased: bool = True
    dtype: Dtype = jnp.float32
    scale_init: Initializer = initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        features = x.shape[-1]
        scale = self.param('scale', self.scale_init, (features,), jnp.float32)
        bias = self.param('bias', initializers.zeros, (features,), jnp.float32)
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (features,), jnp.float32)
        running_var = self.variable('batch_stats', 'var', jnp.ones, (features,), jnp.float32)
        if not train:
            mean, var = running_mean.value, running_var.value
        else:
            mean, var, count = norm.batch_moments(x, None if self.is_initializing() else self.axis_name)
            if not self.is_initializing():
                stored = var * (count / max(count - 1, 1)) if self.unbiased else var
                running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
                running_var.value = self.momentum * running_var.value + (1 - self.momentum) * stored
        return norm.normalize(x.astype(self.dtype), mean, var, scale, bias, self.epsilon)


def still(paths: Collection[tuple[str, ...]]):
    """A context in which the batch norms at these paths normalise by their running statistics in training too.

    For frozen layers: normalised by the batch, they would train what follows on other numbers than evaluation gives it.
    """

    def call(function, args, kwargs, context):
        module = context.module
        if isinstance(module, BatchNorm) and context.method_name == '__call__' and tuple(module.path) in paths:
            return function(args[0], train=False)
        return function(*args, **kwargs)

    return nn.intercept_methods(call)


class GroupNorm(nn.Module):
    """Group normalisation (Wu and He 2018, arXiv:1803.08494) over space and the channels of each group.

    `groups` is lowered to the largest common divisor with the channels, so that narrow nets work.
    """

    groups: int = 32
    epsilon: float = 1e-5
    dtype: Dtype = jnp.float32
    scale_init: Initializer = initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        features = x.shape[-1]
        scale = self.param('scale', self.scale_init, (features,), jnp.float32)
        bias = self.param('bias', initializers.zeros, (features,), jnp.float32)
        groups = math.gcd(self.groups, features)
        x32 = x.astype(jnp.float32).reshape(*x.shape[:-1], groups, features // groups)
        axes = (*range(1, x.ndim - 1), x.ndim)
        mean, var = x32.mean(axes, keepdims=True), x32.var(axes, keepdims=True)
        y = ((x32 - mean) * lax.rsqrt(var + self.epsilon)).reshape(x.shape)
        return (y * scale + bias).astype(self.dtype)


class NoNorm(nn.Module):
    """The identity in a norm's place; convolutions beside it get a bias instead."""

    scale_init: Initializer = initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return x


def make_norm(
    kind: str,
    *,
    axis_name: str | None = None,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    dtype: Dtype = jnp.float32,
) -> partial:
    """A factory `norm(name=, scale_init=) -> module`, called as `module(x, train)`, for 'batch', 'group' or 'none'.

    Raises:
      ValueError: for any other kind.
    """
    check_choice('norm', kind, ('batch', 'group', 'none'))
    if kind == 'batch':
        return partial(BatchNorm, axis_name=axis_name, momentum=momentum, epsilon=epsilon, dtype=dtype)
    if kind == 'group':
        return partial(GroupNorm, epsilon=epsilon, dtype=dtype)
    return partial(NoNorm)


def make_conv(kind: str, **options) -> partial:
    """A factory of the named kind of convolution with these options bound; takes what `Conv` takes.

    A network that lets its user choose the kind passes `padding='same'`, for kinds that bring their own dilation.

    Raises:
      ValueError: for a kind that `CONVOLUTIONS` does not hold.
    """
    check_choice('convolution', kind, tuple(CONVOLUTIONS))
    return partial(CONVOLUTIONS[kind], **options)


class LocalResponseNorm(nn.Module):
    """`ops.lrn.local_response_norm` under a name of its own in summaries; no parameters."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    divide_by_size: bool = False
    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        own = {name: getattr(self, name) for name in ('size', 'alpha', 'beta', 'k', 'divide_by_size', 'groups')}
        return local_response_norm(x, **own)


def pool_padding(size: Sequence[int], window: int, stride: int, padding=0, ceil_mode: bool = False):
    """`padding_pairs`, and with `ceil_mode` as much more at the bottom and right as Caffe's rounding up reads.

    A window must start inside the image or its first padding, as in Caffe and PyTorch.
    """
    pairs = padding_pairs(padding, window)
    if not ceil_mode:
        return pairs
    ends = []
    for n, (low, high) in zip(size, pairs, strict=True):
        count = -(-(n + low + high - window) // stride) + 1
        count -= (count - 1) * stride >= n + low
        ends.append((low, max(high, (count - 1) * stride + window - n - low)))
    return tuple(ends)


def max_pool(x: jax.Array, window: int, stride: int, padding=0, ceil_mode: bool = False) -> jax.Array:
    """Maximum over `window` x `window`; padded cells never win. `padding` as in `padding_pairs`."""
    edges = pool_padding(x.shape[1:3], window, stride, padding, ceil_mode)
    return pool.max_pool(x, pair(window), pair(stride), edges)


def avg_pool(x: jax.Array, window: int, stride: int, padding=0) -> jax.Array:
    """Mean over `window` x `window`, padded zeros counted, as Caffe and PyTorch do by default."""
    return pool.avg_pool(x, pair(window), pair(stride), padding_pairs(padding, window))


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
    """Means over `size` x `size` nearly equal, perhaps overlapping cells; PyTorch's `adaptive_avg_pool2d`."""
    if x.shape[1:3] == (size, size):
        return x
    rows, columns = (jnp.asarray(_cell_weights(n, size), x.dtype) for n in x.shape[1:3])
    return jnp.einsum('bhwc,ih,jw->bijc', x, rows, columns)


def _cell_weights(n: int, cells: int) -> list[list[float]]:
    """`[cells, n]`: cell i averages the whole numbers from floor(i n / cells) to ceil((i + 1) n / cells)."""
    spans = [(i * n // cells, -(-(i + 1) * n // cells)) for i in range(cells)]
    return [[(low <= j < high) / (high - low) for j in range(n)] for low, high in spans]


def global_avg_pool(x: jax.Array) -> jax.Array:
    """`[B, H, W, C] -> [B, C]`, in float32."""
    return x.astype(jnp.float32).mean((1, 2))

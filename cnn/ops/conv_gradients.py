"""Convolution on the CPU with both gradients written out, so that neither transposes an activation.

The gradient of the image is a convolution of the cotangent, one for each phase of the stride. The gradient of the
kernel is a matrix product over all pixels. `fast` is whether oneDNN computes them, or XLA. Products and convolutions
of narrower types run in float32, which is what XLA does with them on the CPU too.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn.ops import onednn
from cnn.ops.backend import once, stored

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def product(a: jax.Array, b: jax.Array, fast: bool, transpose_a: bool = False) -> jax.Array:
    """`a @ b`, or its transpose's: matrices of one dtype, which the result has."""
    a32, b32 = a.astype(jnp.float32), b.astype(jnp.float32)
    if fast:
        return onednn.matmul(a32, b32, transpose_a, False).astype(a.dtype)
    return lax.dot_general(a32, b32, (((0 if transpose_a else 1,), (0,)), ((), ()))).astype(a.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6, 7))
def convolution(
    x, kernel, strides: Pair, padding: Padding, dilation: Pair, groups: int, fast: bool, swapped: bool = False
) -> jax.Array:
    """As `cnn.ops.conv.conv`; with `swapped` (and one group) the kernel is `[kh, kw, C_out, C_in]`."""
    if fast:
        x32, kernel32 = x.astype(jnp.float32), kernel.astype(jnp.float32)
        return onednn.convolution(x32, kernel32, strides, padding, dilation, groups, swapped).astype(x.dtype)
    if 1 < groups < x.shape[3]:
        # XLA's grouped convolution is slow (2 groups: 184 ms for what dense takes 24): one convolution a group.
        parts = zip(jnp.split(x, groups, 3), jnp.split(kernel, groups, 3), strict=True)
        return jnp.concatenate([convolution(a, k, strides, padding, dilation, 1, fast) for a, k in parts], 3)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=('NHWC', 'HWOI' if swapped else 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def _fwd(x, kernel, strides, padding, dilation, groups, fast, swapped):
    x = once(x)
    return convolution(x, kernel, strides, padding, dilation, groups, fast, swapped), (x, kernel)


def _bwd(strides, padding, dilation, groups, fast, swapped, saved, g):
    x, kernel = saved
    g = once(g)
    dx = image_gradient(g, kernel, x.shape[1:3], strides, padding, dilation, groups, fast, swapped)
    dw = kernel_gradient(x, g, kernel.shape[:2], strides, padding, dilation, groups, fast)
    return dx, dw.swapaxes(2, 3) if swapped else dw


convolution.defvjp(_fwd, _bwd)


def image_gradient(g, kernel, size: Pair, strides, padding, dilation, groups, fast, swapped=False) -> jax.Array:
    """`[B, *size, C_in]`: where the cotangent `g` of the output came from."""
    if groups > 1:
        kernel = _swap_channels(kernel, groups)
    # One group's kernel is read with its channels the other way round: to turn them about takes longer than to add up.
    options = (dilation, groups, fast, groups == 1 and not swapped)
    inputs = kernel.shape[2 if options[-1] else 3]
    if strides == (1, 1) or dilation != (1, 1):
        # With holes in the kernel as well, the cotangent itself is spread out to stride 1.
        g = lax.pad(g, jnp.zeros((), g.dtype), ((0, 0, 0), *((0, 0, s - 1) for s in strides), (0, 0, 0)))
        return _correlate(g, kernel, size, [low for low, _ in padding], *options)
    # Pixels whose row and column leave the same remainder by the stride are reached by the same part of the kernel.
    dx = jnp.zeros((), g.dtype)
    for remainder in np.ndindex(*strides):
        first = [(r + p[0]) % s for r, p, s in zip(remainder, padding, strides, strict=True)]
        part = kernel[first[0] :: strides[0], first[1] :: strides[1]]
        count = [max(-(-(n - r) // s), 0) for n, r, s in zip(size, remainder, strides, strict=True)]
        if 0 in (*part.shape, *count):
            continue
        ahead = [(r + p[0] - f) // s for r, p, f, s in zip(remainder, padding, first, strides, strict=True)]
        phase = _correlate(g, part, count, ahead, *options)
        gaps = [(r, n - r - s * (c - 1) - 1, s - 1) for n, r, c, s in zip(size, remainder, count, strides, strict=True)]
        dx = dx + lax.pad(phase, jnp.zeros((), g.dtype), ((0, 0, 0), *gaps, (0, 0, 0)))
    return jnp.broadcast_to(dx, (g.shape[0], *size, inputs))


def _correlate(g, kernel, count, ahead, dilation, groups, fast, swapped):
    """At each n below `count`, the sum over taps t of `g[n + ahead - t * dilation]` times the kernel at t."""
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape[:2], strict=True)]
    low = [r - a for r, a in zip(reach, ahead, strict=True)]
    high = [c + a - n for c, a, n in zip(count, ahead, g.shape[1:3], strict=True)]
    # A convolution takes no negative padding: what lies outside is cut off first.
    cut = [(min(a, 0), min(b, 0), 0) for a, b in zip(low, high, strict=True)]
    if any(c != (0, 0, 0) for c in cut):
        g = lax.pad(g, jnp.zeros((), g.dtype), ((0, 0, 0), *cut, (0, 0, 0)))
    edges = tuple((max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True))
    return convolution(g, jnp.flip(kernel, (0, 1)), (1, 1), edges, dilation, groups, fast, swapped)


def _swap_channels(kernel, groups):
    """`[kh, kw, C_in / groups, C_out] -> [kh, kw, C_out / groups, C_in]`."""
    kh, kw, inputs, outputs = kernel.shape
    split = kernel.reshape(kh, kw, inputs, groups, outputs // groups)
    return split.transpose(0, 1, 4, 3, 2).reshape(kh, kw, outputs // groups, groups * inputs)


def kernel_gradient(x, g, size: Pair, strides, padding, dilation, groups, fast) -> jax.Array:
    """`[kh, kw, C_in / groups, C_out]`: for each tap, the pixels that it met times the cotangents it made of them."""
    if groups == x.shape[3]:
        return _depthwise_kernel_gradient(x, g, size, strides, padding, dilation)
    if groups > 1:
        parts = zip(jnp.split(x, groups, 3), jnp.split(g, groups, 3), strict=True)
        rest = (size, strides, padding, dilation, 1, fast)
        return jnp.concatenate([kernel_gradient(a, b, *rest) for a, b in parts], 3)
    (kh, kw), inputs, outputs = size, x.shape[3], g.shape[3]
    (top, _), (left, _) = padding
    if strides != (1, 1) and dilation == (1, 1) and inputs <= 4:
        # The first layer of most networks: runs of three numbers are moved slowly (AlexNet's took 270 ms).
        return _folded_kernel_gradient(x, g, size, strides, padding, fast)
    columns = _shifts(x, 2, kw, g.shape[2], step=dilation[1], start=-left, stride=strides[1])
    if strides[0] == 1 and kw * inputs + kh * outputs < kh * kw * inputs:
        # The columns' shifts lie beside the image's channels and the rows' beside the cotangent's: one product holds
        # all taps, and 2 k copies are made where unfolding the image makes k².
        rows = _shifts(g, 1, kh, x.shape[1], step=-dilation[0], start=top)
        dw = product(columns.reshape(-1, kw * inputs), rows.reshape(-1, kh * outputs), fast, transpose_a=True)
        return dw.reshape(kw, inputs, kh, outputs).transpose(2, 0, 1, 3)
    unfolded = _shifts(columns, 1, kh, g.shape[1], step=dilation[0], start=-top, stride=strides[0])
    dw = product(unfolded.reshape(-1, kh * kw * inputs), g.reshape(-1, outputs), fast, transpose_a=True)
    return dw.reshape(kh, kw, inputs, outputs)


def _depthwise_kernel_gradient(x, g, size, strides, padding, dilation):
    """A tap and a channel have one number: the sum of an elementwise product, not a matrix product."""
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)))
    (rows, cols), channels = g.shape[1:3], x.shape[3]
    g = g.astype(jnp.float32).reshape(*g.shape[:3], channels, -1)
    sums = []
    for i, j in np.ndindex(*size):
        top, left = i * dilation[0], j * dilation[1]
        tap = padded[:, top : top + strides[0] * (rows - 1) + 1 : strides[0]]
        tap = tap[:, :, left : left + strides[1] * (cols - 1) + 1 : strides[1]]
        sums.append((tap[..., None] * g).sum((0, 1, 2)))
    return jnp.stack(sums).reshape(*size, 1, -1).astype(x.dtype)


def _folded_kernel_gradient(x, g, size, strides, padding, fast):
    """`kernel_gradient` at stride 1 of the image whose blocks of a stride's pixels have become channels."""
    taps = [-(-k // s) for k, s in zip(size, strides, strict=True)]
    blocks = [n + t - 1 for n, t in zip(g.shape[1:3], taps, strict=True)]
    edges = [
        (low, b * s - n - low, 0) for n, (low, _), b, s in zip(x.shape[1:3], padding, blocks, strides, strict=True)
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    batch, (rows, cols), (sh, sw), inputs = x.shape[0], blocks, strides, x.shape[3]
    x = x.reshape(batch, rows, sh, cols, sw, inputs).transpose(0, 1, 3, 2, 4, 5)
    x = stored(x.reshape(batch, rows, cols, sh * sw * inputs))
    dw = kernel_gradient(x, g, tuple(taps), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, fast)
    dw = dw.reshape(*taps, sh, sw, inputs, -1).transpose(0, 2, 1, 3, 4, 5)
    return dw.reshape(taps[0] * sh, taps[1] * sw, inputs, -1)[: size[0], : size[1]]


def _shifts(x, axis: int, count: int, size: int, *, step: int, start: int, stride: int = 1) -> jax.Array:
    """`count` views of `x` side by side in the channels: along `axis`, the j-th is `x[start + j * step + n * stride]`.

    n runs below `size`; outside of `x` are zeros. It is a sum of padded slices, which XLA computes in one parallel
    loop; a concatenation takes three times as long, and one gather ten times.
    """
    channels, total = x.shape[3], jnp.zeros((), x.dtype)
    for j in range(count):
        first = start + j * step
        low = max(-(first // stride), 0)
        high = min((x.shape[axis] - 1 - first) // stride + 1, size)
        if high <= low:
            continue
        begin = first + low * stride
        part = lax.slice_in_dim(x, begin, begin + (high - low - 1) * stride + 1, stride, axis)
        edges = [(0, 0, 0), (0, 0, 0), (0, 0, 0), (j * channels, (count - 1 - j) * channels, 0)]
        edges[axis] = (low, size - high, 0)
        total = total + lax.pad(part, jnp.zeros((), x.dtype), edges)
    shape = [*x.shape[:3], count * channels]
    shape[axis] = size
    return jnp.broadcast_to(total, shape)

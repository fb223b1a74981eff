"""Reading images between their pixels: bilinear samples, and the convolution that reads where it is told to.

Positions are in pixels, pixel centres at whole numbers; what lies outside the image is zero, so samples fall off
linearly over the last pixel, as in torchvision's `deform_conv2d`.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import backend

Pair = tuple[int, int]


def bilinear(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Samples `x` `[B, H, W, C]` at `rows`, `columns` `[B, ...]`, giving `[B, ..., C]` of the dtype of `x`.

    Differentiable in the image and in the positions; positions may lie anywhere.
    """
    batch, height, width, channels = x.shape
    flat = x.reshape(batch, height * width, channels)
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = rows - top, columns - left
    total = 0.0
    for i, row_weight in ((0, 1 - down), (1, down)):
        for j, column_weight in ((0, 1 - right), (1, right)):
            row, column = top + i, left + j
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            # Clipped before the cast: a wild offset must not overflow the integer.
            row = jnp.clip(row, 0, height - 1).astype(jnp.int32)
            column = jnp.clip(column, 0, width - 1).astype(jnp.int32)
            index = (row * width + column).reshape(batch, math.prod(rows.shape[1:]), 1)
            pixels = jnp.take_along_axis(flat, index, axis=1).reshape(*rows.shape, channels)
            weight = jnp.where(inside, row_weight * column_weight, 0.0)
            total = total + pixels * weight[..., None].astype(x.dtype)
    return total


def deformable_conv(
    x: jax.Array,
    offsets: jax.Array,
    kernel: jax.Array,
    mask: jax.Array | None = None,
    *,
    strides: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> jax.Array:
    """Convolution whose taps are displaced (v1, Dai et al. 2017, arXiv:1703.06211) and, with `mask`, weighed (v2, Zhu
    et al. 2018, arXiv:1811.11168).

    Args:
      x: `[B, H, W, C_in]`.
      offsets: `[B, H', W', groups * kh * kw * 2]` pixels, (down, right) of each tap in row-major order, as torchvision
        orders them; each of `groups` slices of the input channels may have its own.
      kernel: `[kh, kw, C_in, C_out]`.
      mask: `[B, H', W', groups * kh * kw]` factors of the taps, or None.
      strides, padding, dilation: as `conv`; H' and W' are those of the same plain convolution.

    Returns:
      `[B, H', W', C_out]` of the dtype of `x`. With zero offsets and no mask it is the plain convolution.

    Raises:
      ValueError: where the sizes of offsets, mask and kernel disagree.
    """
    batch, height, width, inputs = x.shape
    kh, kw = kernel.shape[:2]
    (top, bottom), (left, right) = padding
    out_h = (height + top + bottom - dilation[0] * (kh - 1) - 1) // strides[0] + 1
    out_w = (width + left + right - dilation[1] * (kw - 1) - 1) // strides[1] + 1
    groups, rest = divmod(offsets.shape[-1], 2 * kh * kw)
    if offsets.shape[:3] != (batch, out_h, out_w) or rest or not groups or inputs % groups:
        raise ValueError(
            f'offsets {offsets.shape} do not fit: expected [{batch}, {out_h}, {out_w}, groups * {2 * kh * kw}] '
            f'with groups dividing {inputs} channels'
        )
    if mask is not None and mask.shape != (batch, out_h, out_w, groups * kh * kw):
        raise ValueError(f'mask {mask.shape} does not fit: expected {(batch, out_h, out_w, groups * kh * kw)}')
    # A group is sampled as an image of its own. Positions need more than bfloat16's eight bits of mantissa.
    share, size = inputs // groups, (batch * groups, out_h, out_w, kh * kw)
    offsets = jnp.moveaxis(offsets.astype(jnp.float32).reshape(batch, out_h, out_w, groups, kh * kw, 2), 3, 1)
    down, right = jnp.moveaxis(offsets.reshape(*size, 2), -1, 0)
    taps = jnp.arange(kh * kw, dtype=jnp.float32)
    rows = jnp.arange(out_h, dtype=jnp.float32)[:, None, None] * strides[0] - top + taps // kw * dilation[0] + down
    columns = jnp.arange(out_w, dtype=jnp.float32)[:, None] * strides[1] - left + taps % kw * dilation[1] + right
    if mask is None:
        factors = jnp.ones(size, x.dtype)
    else:
        factors = jnp.moveaxis(mask.reshape(batch, out_h, out_w, groups, kh * kw), 3, 1).reshape(size).astype(x.dtype)
    x = jnp.moveaxis(x.reshape(batch, height, width, groups, share), 3, 1).reshape(batch * groups, height, width, share)
    kernel = kernel.astype(x.dtype).reshape(kh * kw, groups, share, kernel.shape[-1])

    # On the CPU a loop over the taps, recomputed in the backward pass, is the fastest form to run and to compile: with
    # gradients 72 ms against 378 unrolled and 187 as a single gather (8 x 28 x 28 x 64, two cores). The plain form has
    # no loop, so that analysis sees each tap.
    @jax.checkpoint
    def add_tap(y, tap):
        rows, columns, factors, weights = tap
        samples = bilinear(x, rows, columns) * factors[..., None]
        samples = samples.reshape(batch, groups, out_h, out_w, share)
        return y + jnp.einsum('bghwc,gcf->bhwf', samples, weights), None

    y = jnp.zeros((batch, out_h, out_w, kernel.shape[-1]), x.dtype)
    positions = [jnp.moveaxis(p, -1, 0) for p in (rows, columns, factors)]
    if backend.form() != 'plain':
        return lax.scan(add_tap, y, (*positions, kernel))[0]
    for tap in range(kh * kw):
        y, _ = add_tap(y, tuple(p[tap] for p in (*positions, kernel)))
    return y

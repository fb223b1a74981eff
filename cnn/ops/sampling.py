"""Reading images between their pixels: bilinear samples, and the convolution that reads where it is told to.

Positions are in pixels, pixel centres at whole numbers; what lies outside the image is zero, so samples fall off
linearly over the last pixel, as in torchvision's `deform_conv2d`.
"""

import jax
import jax.numpy as jnp

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
            index = (row * width + column).reshape(batch, -1, 1)
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
    # Positions need more than bfloat16's eight bits of mantissa.
    offsets = offsets.astype(jnp.float32).reshape(batch, out_h, out_w, groups, kh * kw, 2)
    mask = None if mask is None else mask.reshape(batch, out_h, out_w, groups, kh * kw)
    base_rows = (jnp.arange(out_h, dtype=jnp.float32) * strides[0] - top)[:, None]
    base_columns = (jnp.arange(out_w, dtype=jnp.float32) * strides[1] - left)[None, :]
    # Tap by tap: nine gathers of the output's size each instead of one of nine times that.
    y = jnp.zeros((batch, out_h, out_w, kernel.shape[-1]), x.dtype)
    per_group = inputs // groups
    for tap in range(kh * kw):
        i, j = divmod(tap, kw)
        for g in range(groups):
            channels = slice(g * per_group, (g + 1) * per_group)
            rows = base_rows + i * dilation[0] + offsets[..., g, tap, 0]
            columns = base_columns + j * dilation[1] + offsets[..., g, tap, 1]
            samples = bilinear(x[..., channels], rows, columns)
            if mask is not None:
                samples = samples * mask[..., g, tap, None].astype(x.dtype)
            y = y + samples @ kernel[i, j, channels].astype(x.dtype)
    return y

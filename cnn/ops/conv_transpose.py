"""Transposed convolution: the adjoint of a convolution, not its inverse (Dumoulin and Visin 2016, arXiv:1603.07285)."""

import jax
from jax import lax

Pair = tuple[int, int]


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    output_padding: Pair = (0, 0),
) -> jax.Array:
    """Applies to `x` `[B, H, W, C_in]` the adjoint of `conv` with `kernel` `[kh, kw, C_out, C_in]`.

    `strides`, `padding` and `dilation` are those of the convolution that it is the adjoint of: <conv(u), x> =
    <u, conv_transpose(x)> for the same arguments. `output_padding` adds rows and columns at the bottom and right, for
    a convolution whose last stride did not come out even.

    Returns:
      `[B, H', W', C_out]` of the dtype of `x`, with H' = (H - 1) stride - top - bottom + dilation (kh - 1) + 1 +
      output_padding.
    """
    reach = [d * (k - 1) for k, d in zip(kernel.shape[:2], dilation, strict=True)]
    padding = [(r - a, r - b + o) for r, (a, b), o in zip(reach, padding, output_padding, strict=True)]
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1].swapaxes(2, 3),
        window_strides=(1, 1),
        padding=padding,
        lhs_dilation=strides,
        rhs_dilation=dilation,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

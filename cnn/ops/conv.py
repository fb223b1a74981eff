"""The project's one convolution: every network calls `conv`, and it picks the lowering for the backend.

Layout is channels last: images `[B, H, W, C]`, kernels `[kh, kw, C_in / groups, C_out]`, as `lax` calls NHWC and HWIO.
"""

import jax
from jax import lax

Pair = tuple[int, int]


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> jax.Array:
    """Cross-correlates `x` `[B, H, W, C_in]` with `kernel` `[kh, kw, C_in / groups, C_out]`.

    Args:
      strides, dilation: rows, columns.
      padding: explicit ((top, bottom), (left, right)) zeros.
      groups: `feature_group_count`; both channel counts must divide by it.

    Returns:
      `[B, H', W', C_out]` of the dtype of `x`, with H' = (H + top + bottom - dilation (kh - 1) - 1) // stride + 1.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )

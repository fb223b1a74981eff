"""The project's one convolution: every network calls `conv`, and it picks the lowering for the backend.

Layout is channels last: images `[B, H, W, C]`, kernels `[kh, kw, C_in / groups, C_out]`, as `lax` calls NHWC and HWIO.
On accelerators that is `lax.conv_general_dilated`, untouched. XLA's CPU backend is slow on several convolutions that it
is given that way; there the rules below rewrite them, each for a measured reason.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import backend

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
    build = _cpu if backend.prefers_cpu_forms() else plain
    return build(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups)


def plain(x, kernel, *, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1) -> jax.Array:
    """`conv` as one `lax.conv_general_dilated`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def _cpu(x, kernel, *, strides, padding, dilation, groups):
    if groups > 1 and kernel.shape[2] > 1:
        # The gradient of a grouped convolution has no fast kernel (2 groups: 184 ms where dense takes 24): one dense
        # convolution a group. Depthwise (one input channel a group) is better left whole.
        rest = {'strides': strides, 'padding': padding, 'dilation': dilation, 'groups': 1}
        parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
        return jnp.concatenate([_cpu(a, k, **rest) for a, k in parts], axis=-1)
    if kernel.shape[:2] == (1, 1) and groups == 1:
        # A pointwise convolution is a matrix product; as a convolution its weight gradient takes four times as long.
        if any(p for pair in padding for p in pair):
            x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        x = x[:, :: strides[0], :: strides[1]]
        return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())))
    return plain(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups)

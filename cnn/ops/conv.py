"""The project's one convolution: every network calls `conv`, and it picks the form for the backend.

Layout is channels last: images `[B, H, W, C]`, kernels `[kh, kw, C_in / groups, C_out]`, as `lax` calls NHWC and HWIO.
On accelerators a convolution is one `lax.conv_general_dilated`. On the CPU it is a matrix product or oneDNN's
convolution, and its gradients are written as further convolutions and products (`conv_gradients`): as XLA derives
them they transpose whole activations, for longer than they compute.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import backend
from cnn.ops.backend import lowering as lowering
from cnn.ops.conv_gradients import convolution, product

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

    It can be differentiated in reverse mode any number of times, mapped with `vmap`, and stands in `lax.scan` at full
    speed. Forward mode (`jax.jvp`) works in the plain form alone: `with conv.lowering('plain')`.

    Args:
      strides, dilation: rows, columns.
      padding: explicit ((top, bottom), (left, right)) zeros.
      groups: `feature_group_count`; both channel counts must divide by it.

    Returns:
      `[B, H', W', C_out]` of the dtype of `x`, with H' = (H + top + bottom - dilation (kh - 1) - 1) // stride + 1.

    Raises:
      ValueError: where the channels of image, kernel and groups do not agree.
    """
    strides, dilation, padding = tuple(strides), tuple(dilation), tuple(tuple(p) for p in padding)
    if x.shape[-1] != kernel.shape[2] * groups or kernel.shape[3] % groups:
        raise ValueError(f'a kernel {kernel.shape} in {groups} groups does not fit an image {x.shape}')
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[:2], strict=True)]
    fits = all(min(p) >= 0 and n + sum(p) >= s for n, p, s in zip(x.shape[1:3], padding, spans, strict=True))
    form = backend.form()
    if form == 'plain' or not fits or not _is_for_the_cpu_forms(x, kernel):
        return plain(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups)
    if kernel.shape[:2] == (1, 1) and groups == 1:
        # A pointwise convolution is a matrix product.
        if any(sum(padding, ())):
            x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        x = x[:, :: strides[0], :: strides[1]]
        y = product(x.reshape(-1, x.shape[3]), kernel[0, 0], form == 'onednn')
        return y.reshape(*x.shape[:3], -1)
    return convolution(x, kernel, strides, padding, dilation, groups, form == 'onednn')


def dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x` `[..., inputs]` times `kernel` `[inputs, outputs]`."""
    form = backend.form()
    if form == 'plain' or x.shape[-1] != kernel.shape[0] or not _is_for_the_cpu_forms(x, kernel):
        return x @ kernel
    y = product(x.reshape(-1, x.shape[-1]), kernel, form == 'onednn')
    return y.reshape(*x.shape[:-1], -1)


def _is_for_the_cpu_forms(x, kernel) -> bool:
    """Types that the CPU computes in float32; no empty arrays."""
    narrow = x.dtype in (jnp.float32, jnp.bfloat16, jnp.float16)
    return narrow and x.dtype == kernel.dtype and 0 not in (*x.shape, *kernel.shape)


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

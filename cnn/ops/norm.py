"""Batch normalisation as functions of arrays (Ioffe and Szegedy 2015, arXiv:1502.03167); channels last.

Plain operations on every backend, differentiated by JAX: what it derives has the fewest passes over memory there are
(one sum of the cotangent and one of its product with the input, then one elementwise pass), and XLA's sums run as
fast as PyTorch's whole layer.
"""

import jax
import jax.numpy as jnp
from jax import lax


def batch_moments(x: jax.Array, axis_name: str | None = None) -> tuple[jax.Array, jax.Array, int | jax.Array]:
    """Mean and biased variance over all axes but the last, float32 `[C]`, and over how many values each was taken.

    One pass: mean and mean of squares, in float32 whatever the dtype of `x`. With `axis_name` both are averaged over
    that mapped axis, so that the replicas agree.
    """
    axes = tuple(range(x.ndim - 1))
    x32 = x.astype(jnp.float32)
    moments = jnp.stack([x32.mean(axes), jnp.square(x32).mean(axes)])
    count = x.size // x.shape[-1]
    if axis_name is not None:
        moments = lax.pmean(moments, axis_name)
        count = count * lax.axis_size(axis_name)
    # Rounding may leave less than nothing of the variance of a constant channel.
    return moments[0], jnp.maximum(moments[1] - jnp.square(moments[0]), 0.0), count


def normalize(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias` as one factor and one term a channel, in the dtype of `x`."""
    factor = scale * lax.rsqrt(var + epsilon)
    return x * factor.astype(x.dtype) + (bias - mean * factor).astype(x.dtype)

"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def local_response_norm(
    x: jax.Array,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    divide_by_size: bool = False,
    groups: int = 1,
) -> jax.Array:
    """Divides `x` `[..., C]` by (k + a * the sum of squares over `size` neighbouring channels) ** beta.

    The paper has a = alpha and k = 2; Caffe, and PyTorch after it, has a = alpha / size (`divide_by_size`) and k = 1.
    Channels beyond the ends count as zero, and so do those of another of `groups` equal groups (AlexNet's towers).
    Computed in float32, returned in the dtype of `x`.

    Raises:
      ValueError: for an even or non-positive `size`, or groups that are not equal.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f'local response normalisation needs an odd size, got {size}; try {size + 1}')
    if groups < 1 or x.shape[-1] % groups:
        raise ValueError(f'{x.shape[-1]} channels are not {groups} equal groups')
    alpha = alpha / size if divide_by_size else alpha
    return _normalize(x.astype(jnp.float32), size, alpha, beta, k, groups).astype(x.dtype)


# The gradient of the sum over neighbours is a sum over neighbours. Differentiated slice by slice, XLA computes what
# stands before anew for each slice: on the CPU forward and backward together took four times as long for AlexNet's
# conv1, eleven for 24 maps of 24 x 24.
@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4, 5))
def _normalize(x, size, alpha, beta, k, groups):
    return x * _factor(k + alpha * _over_neighbours(jnp.square(x), size, groups), beta)


def _forward(x, size, alpha, beta, k, groups):
    base = k + alpha * _over_neighbours(jnp.square(x), size, groups)
    return x * _factor(base, beta), (x, base)


def _backward(size, alpha, beta, k, groups, saved, g):
    x, base = saved
    factor = _factor(base, beta)
    return (g * factor - 2 * alpha * beta * x * _over_neighbours(g * x * factor / base, size, groups),)


_normalize.defvjp(_forward, _backward)


def _factor(base: jax.Array, beta: float) -> jax.Array:
    # Two square roots are several times faster than a power, and 0.75 is what everyone uses.
    return lax.rsqrt(base * jnp.sqrt(base)) if beta == 0.75 else base**-beta


def _over_neighbours(x: jax.Array, size: int, groups: int) -> jax.Array:
    """Each channel's sum with its `size` // 2 neighbours on either side that are of its group."""
    channels, half = x.shape[-1], size // 2
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    total = x
    for shift in (d for d in range(-half, half + 1) if d):
        neighbours = lax.slice_in_dim(padded, half + shift, half + shift + channels, axis=-1)
        if groups > 1:
            # An axis of groups would be shorter than a vector register: twice as long for 2 x 12 maps.
            place = np.arange(channels) % (channels // groups) + shift
            neighbours = neighbours * ((place >= 0) & (place < channels // groups)).astype(np.float32)
        total = total + neighbours
    return total

"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3)."""

import jax
import jax.numpy as jnp
from jax import lax


def local_response_norm(
    x: jax.Array,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    divide_by_size: bool = False,
) -> jax.Array:
    """Divides `x` `[..., C]` by (k + a * the sum of squares over `size` neighbouring channels) ** beta.

    The paper has a = alpha and k = 2; Caffe, and PyTorch after it, has a = alpha / size (`divide_by_size`) and k = 1.
    Channels beyond the ends count as zero. Computed in float32, returned in the dtype of `x`.

    Raises:
      ValueError: for an even or non-positive `size`.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f'local response normalisation needs an odd size, got {size}; try {size + 1}')
    x32 = x.astype(jnp.float32)
    channels = x.shape[-1]
    half = size // 2
    squares = jnp.pad(jnp.square(x32), [(0, 0)] * (x.ndim - 1) + [(half, half)])
    total = sum(lax.slice_in_dim(squares, i, i + channels, axis=-1) for i in range(size))
    base = k + (alpha / size if divide_by_size else alpha) * total
    # Two square roots are several times faster than a power, and 0.75 is what everyone uses.
    factor = lax.rsqrt(base * jnp.sqrt(base)) if beta == 0.75 else base**-beta
    return (x32 * factor).astype(x.dtype)

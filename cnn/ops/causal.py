"""Causal dilated convolution of series, `[B, T, C]`: an output reads its own time and what lies before, never after.

On accelerators one `lax.conv_general_dilated`. On the CPU the taps are laid side by side and multiplied by the kernel:
several models at once (`vmap`) then make one batched product, where XLA's CPU backend would run a grouped convolution
many times slower.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import backend


def causal_conv(x: jax.Array, kernel: jax.Array, *, dilation: int = 1) -> jax.Array:
    """y[t] = sum over k of x[t - (K - 1 - k) dilation] @ kernel[k], zeros standing before the first time.

    Args:
      x: `[B, T, C]`.
      kernel: `[K, C, O]`; its last tap is the present.
      dilation: times between neighbouring taps, 1 or more.

    Returns:
      `[B, T, O]` of the dtype of `x`.

    Raises:
      ValueError: channels that do not agree, or a dilation below 1.
    """
    taps, inputs, outputs = kernel.shape
    if x.ndim != 3 or x.shape[-1] != inputs or dilation < 1:
        raise ValueError(f'no causal convolution of {x.shape} by {kernel.shape} with dilation {dilation}')
    before = (taps - 1) * dilation
    if backend.form() == 'plain':
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,),
            padding=((before, 0),),
            rhs_dilation=(dilation,),
            dimension_numbers=('NWC', 'WIO', 'NWC'),
        )
    batch, times = x.shape[:2]
    padded = jnp.pad(x, ((0, 0), (before, 0), (0, 0)))
    seen = [padded[:, k * dilation : k * dilation + times] for k in range(taps)]
    rows = jnp.concatenate(seen, axis=-1).reshape(batch * times, taps * inputs)
    return (rows @ kernel.reshape(taps * inputs, outputs)).reshape(batch, times, outputs)

"""Enlarging maps: linear interpolation at given places, and wide transposed convolutions, phase by phase."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn.ops.conv import conv


def bilinear_taps(size: int) -> np.ndarray:
    """float32 `[size]`: the triangle that a transposed convolution interpolates linearly with.

    Along both axes it is the kernel of Long et al. 2015 for a stride of (size + 1) // 2: the peak lies on the middle
    tap of an odd size, between the two middle taps of an even one.
    """
    middle, factor = (size - 1) / 2, (size + 1) // 2
    return (1 - np.abs(np.arange(size) - middle) / factor).astype(np.float32)


def interpolate(x: jax.Array, rows: np.ndarray, columns: np.ndarray, *, hold: bool = True) -> jax.Array:
    """Reads `x` `[B, h, w, C]` between its cells: `[B, len(rows), len(columns), C]`.

    Args:
      rows, columns: places in cells, so that 0 is the first cell's centre and 0.5 half way to the next; known when
        traced.
      hold: beyond the outermost centres their values go on; else they fade to zero within a cell, as behind a
        transposed convolution.
    """
    down = jnp.asarray(_weights(rows, x.shape[1], hold), x.dtype)
    across = jnp.asarray(_weights(columns, x.shape[2], hold), x.dtype)
    x = jnp.einsum('ph,bhwc->bpwc', down, x, precision='highest')
    return jnp.einsum('qw,bpwc->bpqc', across, x, precision='highest')


def _weights(places: np.ndarray, cells: int, hold: bool) -> np.ndarray:
    """`[len(places), cells]`: what each cell adds at each place."""
    places = np.asarray(places, np.float64)
    places = np.clip(places, 0, cells - 1) if hold else places
    return np.maximum(1 - np.abs(places[:, None] - np.arange(cells)), 0)


def enlarge(x: jax.Array, kernel: jax.Array, factor: int) -> jax.Array:
    """Transposed convolution of `x` `[B, h, w, C_in]` with stride `factor`, without padding.

    The same as `conv_transpose`, which spreads the map over a grid that is mostly zeros and multiplies them all. Here
    each of the `factor`² phases of the result is a convolution with every `factor`-th tap of the kernel, and all phases
    are the output channels of one: a 64 x 64 kernel at stride 32 becomes 2 x 2 taps.

    Args:
      kernel: `[k, k, C_out, C_in]` as `conv_transpose` takes it, or `[k, k, C]` for each channel by itself.

    Returns:
      `[B, (h - 1) factor + k, (w - 1) factor + k, C_out]` of the dtype of `x`.
    """
    size, channels = kernel.shape[0], kernel.shape[2]
    reach = -(-size // factor)
    fill = [(0, reach * factor - size)] * 2 + [(0, 0)] * (kernel.ndim - 2)
    # Tap j * factor + r is tap j of phase r.
    phases = jnp.pad(kernel, fill).reshape(reach, factor, reach, factor, *kernel.shape[2:])
    edge = (reach - 1, reach - 1)
    if kernel.ndim == 4:
        # A convolution reads its taps the other way round.
        taps = phases[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4).reshape(reach, reach, kernel.shape[3], -1)
        y = conv(x, taps.astype(x.dtype), padding=(edge, edge))
        y = y.reshape(*y.shape[:3], factor, factor, channels).swapaxes(2, 3)
    else:
        padded = jnp.pad(x, ((0, 0), edge, edge, (0, 0)))
        rows, columns = (n + reach - 1 for n in x.shape[1:3])
        y = sum(
            padded[:, reach - 1 - i : reach - 1 - i + rows, None, reach - 1 - j : reach - 1 - j + columns, None]
            * phases[i, :, j].astype(x.dtype)[:, None]
            for i in range(reach)
            for j in range(reach)
        )
    y = y.reshape(x.shape[0], y.shape[1] * factor, -1, channels)
    return y[:, : (x.shape[1] - 1) * factor + size, : (x.shape[2] - 1) * factor + size]


def placed(x: jax.Array, start: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """`x` `[B, H, W, C]` from row and column `start` on, as many as `size`; zeros where it has none."""
    (top, left), (height, width) = start, size
    edges = [(max(-at, 0), max(at + length - n, 0)) for at, length, n in zip(start, size, x.shape[1:3], strict=True)]
    x = jnp.pad(x, ((0, 0), *edges, (0, 0)))
    top, left = max(top, 0), max(left, 0)
    return x[:, top : top + height, left : left + width]

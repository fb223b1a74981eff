"""Pooling over windows, channels last. Padding is explicit: ((top, bottom), (left, right))."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import backend

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def max_pool(x: jax.Array, window: Pair, strides: Pair, padding: Padding = ((0, 0), (0, 0))) -> jax.Array:
    """Maximum over windows of `x` `[B, H, W, C]`; padded cells never win.

    The gradient goes to the first maximum of a window in row-major order, as in PyTorch and XLA.
    """
    if backend.form() != 'plain' and window[0] * window[1] < 256:
        return _max_pool(x, window, strides, padding)
    return _max_windows(x, window, strides, padding)


def avg_pool(x: jax.Array, window: Pair, strides: Pair, padding: Padding = ((0, 0), (0, 0))) -> jax.Array:
    """Mean over windows of `x` `[B, H, W, C]`, padded zeros counted, as Caffe and PyTorch do by default."""
    whole = x.shape[1] % window[0] == x.shape[2] % window[1] == 0
    if window == strides and whole and not any(sum(padding, ())) and backend.form() != 'plain':
        return _mean_of_tiles(x, window)
    total = lax.reduce_window(x, 0.0, lax.add, (1, *window, 1), (1, *strides, 1), _full(padding))
    return total / (window[0] * window[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _mean_of_tiles(x, window):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // window[0], window[0], width // window[1], window[1], channels).mean((2, 4))


def _spread(window, _, g):
    batch, height, width, channels = g.shape
    g = backend.stored(g)[:, :, None, :, None] / (window[0] * window[1])
    cells = jnp.broadcast_to(g, (batch, height, window[0], width, window[1], channels))
    return (cells.reshape(batch, height * window[0], width * window[1], channels),)


_mean_of_tiles.defvjp(lambda x, window: (_mean_of_tiles(x, window), None), _spread)


def _full(padding: Padding):
    return ((0, 0), *padding, (0, 0))


def _max_windows(x, window, strides, padding):
    return lax.reduce_window(x, _lowest(x.dtype), lax.max, (1, *window, 1), (1, *strides, 1), _full(padding))


def _lowest(dtype) -> float | int:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else int(jnp.iinfo(dtype).min)


# XLA differentiates a maximum over windows by select-and-scatter, on the CPU one element at a time: 100 ms for the
# 3x3/2 pooling of 8 x 112² x 64 where the forms below take 10. Forward, the maximum of strided slices; backward, for
# each of the stride's phases of the input the sum of the few windows whose maximum may lie there, then interleaved.
@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, strides, padding):
    return functools.reduce(jnp.maximum, _taps(x, window, strides, padding))


def _max_pool_fwd(x, window, strides, padding):
    y = _max_pool(x, window, strides, padding)
    return y, (x, y)


def _max_pool_bwd(window, strides, padding, saved, g):
    x, y = saved
    g = backend.once(g)
    (height, width), (rows, cols) = x.shape[1:3], y.shape[1:3]
    # Which tap of its window each maximum came from; 255 nowhere.
    first = jnp.full(y.shape, 255, jnp.uint8)
    for tap, values in reversed(list(enumerate(_taps(x, window, strides, padding)))):
        first = jnp.where(values == y, jnp.uint8(tap), first)
    first = lax.optimization_barrier(first)
    # Windows that reach a cell start at most this many windows before it.
    back = [-(-w // s) - 1 for w, s in zip(window, strides, strict=True)]
    size = [-(-(n + sum(p)) // s) for n, p, s in zip((height, width), padding, strides, strict=True)]
    edges = ((0, 0), (back[0], max(size[0] - rows, 0)), (back[1], max(size[1] - cols, 0)), (0, 0))
    g = jnp.pad(g, edges)
    first = jnp.pad(first, edges, constant_values=255)

    def phase(a, b):
        total = jnp.zeros((x.shape[0], *size, x.shape[3]), x.dtype)
        for i in range(a, window[0], strides[0]):
            for j in range(b, window[1], strides[1]):
                top, left = back[0] - i // strides[0], back[1] - j // strides[1]
                place = (slice(None), slice(top, top + size[0]), slice(left, left + size[1]))
                total = total + jnp.where(first[place] == i * window[1] + j, g[place], 0)
        return total

    phases = jnp.stack([jnp.stack([phase(a, b) for b in range(strides[1])], 3) for a in range(strides[0])], 2)
    dx = phases.reshape(x.shape[0], size[0] * strides[0], size[1] * strides[1], x.shape[3])
    (top, _), (left, _) = padding
    return (dx[:, top : top + height, left : left + width],)


_max_pool.defvjp(_max_pool_fwd, _max_pool_bwd)


def _taps(x, window, strides, padding) -> list[jax.Array]:
    """For each place in the window, row by row, that cell of every window: `[B, H', W', C]`."""
    padded = lax.pad(x, jnp.asarray(_lowest(x.dtype), x.dtype), [(low, high, 0) for low, high in _full(padding)])
    rows, cols = ((n - w) // s + 1 for n, w, s in zip(padded.shape[1:3], window, strides, strict=True))
    return [
        padded[:, i : i + strides[0] * (rows - 1) + 1 : strides[0], j : j + strides[1] * (cols - 1) + 1 : strides[1]]
        for i in range(window[0])
        for j in range(window[1])
    ]

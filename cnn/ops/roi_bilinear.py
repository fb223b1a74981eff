"""Averages of bilinear samples over the bins of regions, and their gradient.

The samples of a bin are a product of rows and columns, so the whole operation is, for each region, a matrix of weights
along the rows times the map times a matrix along the columns. Forward, samples are gathered: few cells matter to a bin.
Backward, the products are taken, a row of bins at a time: scattering additions to cells is many times slower.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

# Samples to a side of a bin, where their number goes by its size: a box gone astray must not take hours.
_MOST = 128


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def bins_mean(features: jax.Array, spans: jax.Array, grid: tuple[int, int], samples: int) -> jax.Array:
    """Means of bilinear samples over `grid` (rows, columns) of bins: `[B, R, rows, columns, C]`.

    Args:
      features: `[B, H, W, C]`.
      spans: float32 `[B, R, 4]`: first row, height, first column, width, in cells, cell centres at whole numbers.
      samples: to each side of a bin; 0 for as many as the bin has cells, rounded up, by region.

    A sample more than one cell outside the map is 0, the others outside take the nearest cell. No gradient for spans.
    """
    batch, height, width, channels = features.shape
    rows, columns = _axis(spans[..., :2], grid[0], height, samples), _axis(spans[..., 2:], grid[1], width, samples)
    flat, first = features.reshape(-1, channels), (jnp.arange(batch) * height)[:, None, None]

    def add(total, i, j):
        for row, row_weight in rows(i):
            for column, column_weight in columns(j):
                at = ((first + row) * width)[..., :, None] + column[..., None, :]
                weight = (row_weight[..., :, None] * column_weight[..., None, :])[..., None]
                total = total + jnp.take(flat, at, axis=0, mode='clip') * weight
        return total

    total = jnp.zeros((*spans.shape[:2], *grid, channels), jnp.float32)
    if samples:
        for k in range(samples * samples):
            total = add(total, k // samples, k % samples)
    else:
        down, across = (_counts(spans[..., 2 * a + 1], grid[a]).max() for a in (0, 1))
        total = lax.fori_loop(0, down * across, lambda k, total: add(total, k // across, k % across), total)
    return total.astype(features.dtype)


def _forward(features, spans, grid, samples):
    return bins_mean(features, spans, grid, samples), (spans, features.shape, jnp.zeros(0, features.dtype))


def _backward(grid, samples, saved, g):
    spans, shape, like = saved
    rows = _matrix(spans[..., :2], grid[0], shape[1], samples)
    columns = _matrix(spans[..., 2:], grid[1], shape[2], samples)

    def add(total, k):
        weights, values = (lax.dynamic_index_in_dim(x, k, 2, keepdims=False) for x in (rows, g))
        across = jnp.einsum('brqw,brqc->brwc', columns, values.astype(jnp.float32))
        return total + jnp.einsum('brh,brwc->bhwc', weights, across), None

    total, _ = lax.scan(add, jnp.zeros(shape, jnp.float32), jnp.arange(grid[0]))
    return total.astype(like.dtype), jnp.zeros_like(spans)


bins_mean.defvjp(_forward, _backward)


def _counts(length, bins):
    """Samples to a side of a bin where as many as its cells are taken: int32, the shape of `length`."""
    return jnp.clip(jnp.ceil(length / bins), 0, _MOST).astype(jnp.int32)


def _axis(span, bins, cells, samples):
    """Along one axis: a function of the sample i giving twice (cell int32, weight float32), `[B, R, bins]` each.

    Weights are over the number of samples, so that the sum is a mean; they are 0 past a region's own number.
    """
    start, length = span[..., 0, None], span[..., 1, None]
    count = jnp.full(length.shape, samples, jnp.int32) if samples else _counts(length, bins)
    side, among = length / bins, jnp.maximum(count, 1)
    start = start + jnp.arange(bins, dtype=jnp.float32) * side

    def sample(i):
        position = start + (i + 0.5) * side / among
        counts = (position >= -1) & (position <= cells) & (i < count)
        position = jnp.clip(position, 0, cells - 1)
        low = jnp.floor(position)
        share = jnp.where(counts, 1.0 / among, 0.0)
        upper = (position - low) * share
        low = low.astype(jnp.int32)
        return (low, share - upper), (jnp.minimum(low + 1, cells - 1), upper)

    return sample


def _matrix(span, bins, cells, samples):
    """The weight of each cell in each bin along one axis: float32 `[B, R, bins, cells]`."""
    sample, cell = _axis(span, bins, cells, samples), jnp.arange(cells)

    def add(i, total):
        for at, weight in sample(i):
            total = total + jnp.where(at[..., None] == cell, weight[..., None], 0.0)
        return total

    most = samples or _counts(span[..., 1], bins).max()
    return lax.fori_loop(0, most, add, jnp.zeros((*span.shape[:2], bins, cells), jnp.float32))

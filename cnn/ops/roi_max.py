"""The largest value over each bin of rectangles of a map's cells, for region and spatial pyramid pooling.

A rectangle of n rows is cut into P bins in whole numbers: bin i has the rows from floor(i n / P) up to, but not
including, ceil((i + 1) n / P). Bins may share a row, and none is empty.

Running maxima over 1, 2, 4 ... rows are tabulated once for the whole map, so that a bin takes two entries for each of
its columns, however high it is.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

# Columns that one round of the loop looks at.
_COLUMNS = 4
_NOWHERE = jnp.iinfo(jnp.int32).max
Grid = tuple[int, int]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def bins_max(features: jax.Array, rectangles: jax.Array, grids: tuple[Grid, ...], tallest: int = 0) -> jax.Array:
    """Maxima over the bins of all `grids`, (rows, columns) each: `[B, R, bins, C]`, grid by grid, row by row.

    Args:
      features: `[B, H, W, C]`.
      rectangles: int32 `[B, R, 4]`: first row, number of rows, first column, number of columns, at least 1 each. Bins
        are of the whole rectangle; what of them lies outside the map does not count, and a bin all outside gives 0.
      tallest: how many rows a rectangle has as a rule, for which it is fast; 0 for all of the map.

    Its gradient goes to the cell that the maximum came from, the first in row-major order among equals.
    """
    return _maxima(features, rectangles, grids, tallest, with_cells=False)[0]


def _forward(features, rectangles, grids, tallest):
    values, cells = _maxima(features, rectangles, grids, tallest, with_cells=True)
    return values, (cells, features.shape, jnp.zeros(0, features.dtype))


def _backward(grids, tallest, saved, g):
    cells, (batch, height, width, channels), like = saved
    cell = jnp.arange(batch)[:, None, None, None] * (height * width) + cells
    # What came from no cell goes past the end, and is dropped.
    to = jnp.where(cells == _NOWHERE, batch * height * width, cell) * channels + jnp.arange(channels)
    flat = jnp.zeros(batch * height * width * channels, jnp.float32)
    flat = flat.at[to.ravel()].add(g.ravel().astype(jnp.float32), mode='drop')
    return flat.reshape(batch, height, width, channels).astype(like.dtype), None


bins_max.defvjp(_forward, _backward)


def _maxima(features, rectangles, grids, tallest, with_cells):
    """Values and, `with_cells`, the cells they came from (row * W + column, int32 `[B, R, bins, C]`), else None."""
    batch, regions, channels = features.shape[0], rectangles.shape[1], features.shape[-1]
    computed = {}
    for grid in sorted(set(grids), reverse=True):
        finer = [other for other in computed if all(o % g == 0 for o, g in zip(other, grid, strict=True))]
        if finer:
            # Bins of half as many rows are exactly the unions of two of the finer ones, and so on.
            computed[grid] = _merged(*computed[finer[-1]], grid)
        else:
            computed[grid] = _scanned(features, rectangles, grid, tallest, with_cells)

    def joined(part):
        shapes = [(batch, regions, rows * columns, channels) for rows, columns in grids]
        return jnp.concatenate([computed[g][part].reshape(s) for g, s in zip(grids, shapes, strict=True)], 2)

    values, cells = joined(0), joined(1) if with_cells else None
    return jnp.where(values == -jnp.inf, jnp.zeros((), values.dtype), values), cells


def _merged(values, cells, grid):
    """The maxima of `[B, R, rows, columns, C]` over blocks of bins, and their cells."""

    def blocks(x):
        shape = (*x.shape[:2], grid[0], x.shape[2] // grid[0], grid[1], x.shape[3] // grid[1], x.shape[4])
        return x.reshape(shape)

    split = blocks(values)
    best = split.max((3, 5))
    if cells is None:
        return best, None
    return best, jnp.where(split == best[:, :, :, None, :, None], blocks(cells), _NOWHERE).min((3, 5))


def _scanned(features, rectangles, grid, tallest, with_cells):
    batch, height, width, channels = features.shape
    first, rows, left, columns = jnp.moveaxis(rectangles, -1, 0)
    top, bottom = _bounds(first, rows, grid[0], height)
    left, right = _bounds(left, columns, grid[1], width)
    shape = (*rectangles.shape[:2], *grid, channels)
    if 0 in shape:
        return jnp.zeros(shape, features.dtype), jnp.zeros(shape, jnp.int32)
    # High enough for two entries to a bin of any rectangle that fits the map; what does not fit takes more rounds.
    tallest = tallest or height
    levels = int(math.log2(min(tallest, _largest(tallest, grid[0]))))
    values, places = _tables(features, levels, with_cells)
    level = jnp.clip(31 - lax.clz(jnp.maximum(bottom - top, 1)), 0, levels)
    reach = 1 << level
    step = min(width, _largest(width, grid[1]), _COLUMNS)
    across = -(-(right - left).max() // step)
    down = -(-(-(-(bottom - top) // reach)).max() // 2)
    start = (level * batch + jnp.arange(batch)[:, None, None]) * height

    def entries(k):
        """The place in the tables of every entry that round k looks at."""
        for i in (2 * (k // across), 2 * (k // across) + 1):
            row = jnp.maximum(jnp.minimum(top + i * reach, bottom - reach), 0)
            for j in range(step):
                column = jnp.clip(k % across * step + j + left, 0, jnp.maximum(right - 1, 0))
                yield ((start + row) * width)[..., :, None] + column[..., None, :]

    def look(table, at):
        return jnp.take(table, at, axis=0, mode='clip')

    def largest(k, best):
        for at in entries(k):
            best = jnp.maximum(best, look(values, at))
        return best

    is_empty = ((bottom <= top)[..., :, None] | (right <= left)[..., None, :])[..., None]
    lowest = jnp.full(shape, -jnp.inf, features.dtype)
    best = jnp.where(is_empty, lowest, lax.fori_loop(0, down * across, largest, lowest))
    if not with_cells:
        return best, None

    # A second pass with one result is much faster than one with two, which XLA's CPU compiler computes twice.
    def earliest(k, cells):
        for at in entries(k):
            cells = jnp.minimum(cells, jnp.where(look(values, at) == best, look(places, at), _NOWHERE))
        return cells

    cells = lax.fori_loop(0, down * across, earliest, jnp.full(shape, _NOWHERE, jnp.int32))
    return best, jnp.where(is_empty, _NOWHERE, cells)


def _bounds(start, count, bins, limit):
    """First and last + 1 row of each bin inside the map: int32 `[B, R, bins]` each."""
    i = jnp.arange(bins, dtype=jnp.int32)
    start, count = start[..., None], count[..., None]
    low, high = start + i * count // bins, start - (-(i + 1) * count // bins)
    return jnp.clip(low, 0, limit), jnp.clip(high, 0, limit)


def _largest(cells, bins):
    """The most rows of a bin where a rectangle has at most one row more than the map."""
    return -(-(cells + 1) // bins) + 1


def _tables(features, levels, with_cells):
    """Maxima over 1, 2, 4 ... rows from each cell down: `[(levels + 1) * B * H * W, C]`; and the cells they are in."""
    _, height, width, channels = features.shape
    values = [features]
    rows = jnp.arange(height, dtype=jnp.int32)[:, None, None] * width
    places = [jnp.broadcast_to(rows + jnp.arange(width, dtype=jnp.int32)[:, None], features.shape)]
    for level in range(levels):
        # Rows past the end repeat the last one; no bin reaches them.
        here, below = values[-1], _moved_up(values[-1], 1 << level)
        values.append(jnp.maximum(here, below))
        if with_cells:
            places.append(jnp.where(below > here, _moved_up(places[-1], 1 << level), places[-1]))
    flat = (-1, channels)
    return jnp.stack(values).reshape(flat), jnp.stack(places).reshape(flat) if with_cells else None


def _moved_up(x, rows):
    return jnp.concatenate([x[:, rows:], jnp.broadcast_to(x[:, -1:], (x.shape[0], rows, *x.shape[2:]))], 1)

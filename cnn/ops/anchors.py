"""Anchors: the boxes that a region proposal network judges at each cell of its map (Ren et al. 2015, arXiv:1506.01497).

Boxes are x0, y0, x1, y1 in continuous pixels, as everywhere (boxes.py).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

RATIOS = (0.5, 1.0, 2.0)
SCALES = (8.0, 16.0, 32.0)


def base(
    size: float = 16,
    *,
    ratios: Sequence[float] = RATIOS,
    scales: Sequence[float] = SCALES,
    rounded: bool = True,
    inclusive: bool = False,
) -> np.ndarray:
    """The anchors of the cell at the map's origin, centred on (`size` / 2, `size` / 2).

    Args:
      size: side of the square, in pixels, that ratios reshape and scales enlarge: the map's stride, as a rule.
      ratios: heights over widths; `scales`: factors. An anchor for each pair, ratios first: all scales of the first
        ratio lead.
      rounded: sides are rounded to whole pixels before they are scaled, as the authors' release does; without, areas
        are the same for all ratios.
      inclusive: x1 and y1 name the last pixel inside, one less.

    Returns:
      float32 `[ratios * scales, 4]`. With all defaults the nine of the authors' release: `base(inclusive=True)` is the
      array of py-faster-rcnn's generate_anchors.py, and 1 more the matrix in its comment, which counts pixels from 1 as
      MATLAB does.
    """
    ratios, scales = np.asarray(ratios, np.float64), np.asarray(scales, np.float64)
    if np.any(ratios <= 0) or np.any(scales <= 0) or size <= 0:
        raise ValueError(f'anchors need positive sizes, ratios and scales, not {size}, {ratios}, {scales}')
    widths = np.sqrt(size * size / ratios)
    heights = widths * ratios
    if rounded:
        widths = np.round(widths)
        heights = np.round(widths * ratios)
    shape = np.stack([widths, heights], -1)[:, None] * scales[:, None]
    start = size / 2 - shape / 2
    end = start + shape - (1 if inclusive else 0)
    return np.concatenate([start, end], -1).reshape(-1, 4).astype(np.float32)


def grid(height: int, width: int, stride: float, cell: np.ndarray | None = None, *, offset: float = 0.0) -> jax.Array:
    """All anchors of a map of `height` x `width` cells: float32 `[height * width * A, 4]`.

    Row by row, in a row cell by cell, in a cell in the order of `cell`: what a head's `[B, H, W, A * k]` becomes by
    `reshape(B, -1, k)`.

    Args:
      stride: pixels between neighbouring cells.
      cell: `[A, 4]`, the anchors of the first cell; `base(stride)` where it is left out.
      offset: pixels by which the first cell's anchors are moved right and down. With `base(stride)` cell i is centred
        on (i + 1/2) stride + offset; a trunk whose first cell looks at pixel p (`endpoint_offsets`) has its anchors in
        place with offset = p + 1/2 - stride / 2.
    """
    cell = jnp.asarray(base(stride) if cell is None else cell, jnp.float32)
    rows = jnp.arange(height, dtype=jnp.float32)[:, None, None] * stride + offset
    columns = jnp.arange(width, dtype=jnp.float32)[None, :, None] * stride + offset
    x0, y0, x1, y1 = cell.T
    parts = jnp.broadcast_arrays(x0 + columns, y0 + rows, x1 + columns, y1 + rows)
    return jnp.stack(parts, -1).reshape(-1, 4)


def inside(anchors: jax.Array, height, width, *, border: float = 0.0) -> jax.Array:
    """Which anchors `[N, 4]` stay within `border` pixels of the image: bool `[..., N]`.

    Training leaves the others out, because their errors are large and hard to correct (section 3.1.3).

    Args:
      height, width: pixels, numbers or arrays `[...]`, one an image.
    """
    height, width = jnp.asarray(height)[..., None], jnp.asarray(width)[..., None]
    starts = (anchors[..., 0] >= -border) & (anchors[..., 1] >= -border)
    return starts & (anchors[..., 2] <= width + border) & (anchors[..., 3] <= height + border)

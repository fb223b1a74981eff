"""Regions of interest: a fixed-size description of each box from one map of features.

Maps are `[B, H, W, C]`, boxes float32 `[B, R, 4]`, x0, y0, x1, y1 in pixels of the image (boxes.py), R to an image. A
padded box costs what a real one does and gives finite numbers, to be masked. Differentiable in the features; no
gradient flows to the boxes, as in all the detectors of the R-CNN line.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from cnn.ops.roi_bilinear import bins_mean
from cnn.ops.roi_max import bins_max

PYRAMID = (6, 3, 2, 1)
# Beyond this many cells a box is as good as infinite; integers stay far from their limits.
_FAR = 2.0**20


def roi_pool(
    features: jax.Array, boxes: jax.Array, *, size: tuple[int, int] = (7, 7), scale: float = 1 / 16
) -> jax.Array:
    """Max pooling over `size` (rows, columns) of bins of each box: `[B, R, rows, columns, C]`.

    Caffe's rule (Girshick 2015, arXiv:1504.08083), as torchvision has it: corners times `scale` are rounded, halves
    away from zero, and both are inside; bins overlap by a cell where the cells do not divide (roi_max.py). It is
    computed in whole numbers, where Caffe's float32 quotients may round to a neighbouring cell. Bins outside the map
    give 0.

    Caffe's boxes end at the last pixel inside. This one, as torchvision, reads the corners as they are.

    Args:
      scale: cells to a pixel, 1 over the map's stride.
    """
    cells = _finite(boxes * scale)
    whole = jnp.trunc(cells)
    cells = (whole + jnp.where(jnp.abs(cells - whole) >= 0.5, jnp.sign(cells), 0)).astype(jnp.int32)
    x0, y0, x1, y1 = jnp.moveaxis(cells, -1, 0)
    rectangles = jnp.stack([y0, jnp.maximum(y1 - y0 + 1, 1), x0, jnp.maximum(x1 - x0 + 1, 1)], -1)
    return bins_max(features, rectangles, (tuple(size),)).reshape(*boxes.shape[:2], *size, features.shape[-1])


def roi_align(
    features: jax.Array,
    boxes: jax.Array,
    *,
    size: tuple[int, int] = (7, 7),
    scale: float = 1 / 16,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> jax.Array:
    """Means of bilinear samples over `size` (rows, columns) of bins of each box: `[B, R, rows, columns, C]`.

    He et al. 2017 (arXiv:1703.06870, section 3); the results are torchvision's.

    Args:
      scale: cells to a pixel, 1 over the map's stride.
      sampling_ratio: samples to each side of a bin; 0 or less for as many as the bin has cells, rounded up (at most
        128), which is slower.
      aligned: half a cell is taken off, because cell centres lie at halves in the image and at whole numbers in the
        map; without, as in the first release, boxes are taken half a cell too far and are at least one cell large.
    """
    cells = _finite(boxes * scale) - (0.5 if aligned else 0.0)
    x0, y0, x1, y1 = jnp.moveaxis(cells, -1, 0)
    width, height = x1 - x0, y1 - y0
    if not aligned:
        width, height = jnp.maximum(width, 1.0), jnp.maximum(height, 1.0)
    return bins_mean(features, jnp.stack([y0, height, x0, width], -1), tuple(size), max(sampling_ratio, 0))


def spatial_pyramid(
    features: jax.Array,
    boxes: jax.Array | None = None,
    *,
    levels: Sequence[int] = PYRAMID,
    stride: float = 16,
    first_centre: float = 0.0,
    inset: float | None = None,
) -> jax.Array:
    """Spatial pyramid pooling (He et al. 2014, arXiv:1406.4729): `[B, R, bins, C]`, or `[B, bins, C]` without boxes.

    For each level n the maxima of n x n bins, level by level and row by row: 50 bins for the default. A box takes the
    cells whose centres in the image lie strictly inside it (the corner rule of the paper's appendix: from
    floor(x0 / stride) + 1 to ceil(x1 / stride) - 1); where there is none, the one between those two; always cells of
    the map.

    Args:
      boxes: as in this file; without them the whole map is pooled.
      stride: pixels between neighbouring cells.
      first_centre: the place in the image of the first cell's centre: 0 in the paper, whose layers pad by half their
        filters; `endpoint_offsets` + 1/2 for this project's trunks.
      inset: pixels by which boxes are shrunk on each side before corners go to the nearest cell; stride / 2, the
        paper's rule, where it is left out. The authors' release has it as a number of its own for each network.
    """
    height, width = features.shape[1:3]
    if boxes is None:
        rectangles = jnp.broadcast_to(jnp.int32([0, height, 0, width]), (features.shape[0], 1, 4))
    else:
        rectangles = corner_cells(boxes, height, width, stride=stride, first_centre=first_centre, inset=inset)
    pooled = bins_max(features, rectangles, tuple((n, n) for n in levels))
    return pooled[:, 0] if boxes is None else pooled


def corner_cells(
    boxes: jax.Array, height: int, width: int, *, stride: float, first_centre: float, inset: float | None = None
) -> jax.Array:
    """The cells of a map of `height` rows that `spatial_pyramid` takes of boxes `[..., 4]`.

    Returns:
      int32 `[..., 4]`: first row, number of rows, first column, number of columns.
    """
    inset = stride / 2 if inset is None else inset
    start = jnp.floor(_finite((boxes[..., :2] - first_centre + inset) / stride) + 0.5)
    end = jnp.ceil(_finite((boxes[..., 2:] - first_centre - inset) / stride) - 0.5)
    middle = jnp.floor((start + end) / 2)
    limit = jnp.float32([width, height]) - 1
    start, end = (jnp.clip(jnp.where(start > end, middle, x), 0, limit).astype(jnp.int32) for x in (start, end))
    count = end - start + 1
    return jnp.stack([start[..., 1], count[..., 1], start[..., 0], count[..., 0]], -1)


def pyramid_of_scales(
    maps: Sequence[jax.Array],
    boxes: jax.Array,
    index: jax.Array,
    scale: jax.Array,
    *,
    factors: Sequence[tuple[float, float]],
    levels: Sequence[int] = PYRAMID,
    stride: float = 16,
    first_centre: float = 0.0,
) -> jax.Array:
    """`spatial_pyramid` of regions of any images, each from a map of one of several scales: `[N, bins, C]`.

    Args:
      maps: `[B, h, w, C]` of each scale.
      boxes: `[N, 4]`, in pixels of the image that the factors are of.
      index: int32 `[N]`, each region's image; `scale`: int32 `[N]`, which of the maps it is pooled from.
      factors: rows, columns: by which the image of each scale is larger.
    """
    images, channels = maps[0].shape[0], maps[0].shape[-1]
    heights, widths = [m.shape[1] for m in maps], [m.shape[2] for m in maps]
    # One tall map of all: no region reaches beyond its own part.
    padded = [jnp.pad(m, ((0, 0), (0, 0), (0, max(widths) - m.shape[2]), (0, 0))) for m in maps]
    tall = jnp.concatenate(padded, 1).reshape(1, images * sum(heights), max(widths), channels)
    first, rectangles = 0, jnp.zeros((*index.shape, 4), jnp.int32)
    for i, (height, width, (rows, columns)) in enumerate(zip(heights, widths, factors, strict=True)):
        moved = boxes * jnp.float32([columns, rows] * 2)
        own = corner_cells(moved, height, width, stride=stride, first_centre=first_centre)
        own = own.at[:, 0].add(index * sum(heights) + first)
        rectangles, first = jnp.where((scale == i)[:, None], own, rectangles), first + height
    return bins_max(tall, rectangles[None], tuple((n, n) for n in levels), max(heights))[0]


def _finite(cells: jax.Array) -> jax.Array:
    """Without gradients, NaN as 0 and everything within 2**20 of it."""
    return jnp.clip(jnp.nan_to_num(jax.lax.stop_gradient(cells.astype(jnp.float32))), -_FAR, _FAR)

"""Boxes: areas, overlaps, the coding that detectors regress, clipping, and conversions.

A box is x0, y0, x1, y1 in absolute pixels, float32 `[..., 4]`. Coordinates are continuous: pixel i covers i to i + 1,
so a box over the first three pixels is 0 to 3. With `inclusive`, x1 and y1 name the last pixel inside, as in the
PASCAL VOC development kit and the Caffe detectors (that box is then 0 to 2, and its width still 3).

Padding, zeros as a rule, is a box without area: its overlap with anything is 0, and what is computed of it is finite.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

# Pixels: what a side counts as at least, where a logarithm is taken of it or it divides.
SMALLEST_SIDE = 1e-3
# The most that `decode` enlarges a side by, as in detectron (1000 pixels out of an anchor of 16).
LARGEST_RATIO = 1000 / 16


def sides(boxes: jax.Array, *, inclusive: bool = False) -> tuple[jax.Array, jax.Array]:
    """Widths and heights `[...]` of boxes `[..., 4]`, never negative."""
    extra = 1.0 if inclusive else 0.0
    return tuple(jnp.maximum(boxes[..., i + 2] - boxes[..., i] + extra, 0.0) for i in (0, 1))


def area(boxes: jax.Array, *, inclusive: bool = False) -> jax.Array:
    """Square pixels `[...]` of boxes `[..., 4]`; 0 for an inverted box."""
    width, height = sides(boxes, inclusive=inclusive)
    return width * height


def intersection(a: jax.Array, b: jax.Array, *, inclusive: bool = False) -> jax.Array:
    """Common square pixels `[..., N, M]` of each of `a` `[..., N, 4]` with each of `b` `[..., M, 4]`."""
    extra = 1.0 if inclusive else 0.0
    a, b = a[..., :, None, :], b[..., None, :, :]
    width, height = (jnp.minimum(a[..., i + 2], b[..., i + 2]) - jnp.maximum(a[..., i], b[..., i]) for i in (0, 1))
    return jnp.maximum(width + extra, 0.0) * jnp.maximum(height + extra, 0.0)


def iou(a: jax.Array, b: jax.Array, *, inclusive: bool = False) -> jax.Array:
    """Intersection over union, 0 to 1, `[..., N, M]` of `a` `[..., N, 4]` and `b` `[..., M, 4]`.

    0 where neither has area. Either may have no rows.
    """
    common = intersection(a, b, inclusive=inclusive)
    union = area(a, inclusive=inclusive)[..., :, None] + area(b, inclusive=inclusive)[..., None, :] - common
    return _share(common, union)


def covered(a: jax.Array, b: jax.Array, *, inclusive: bool = False) -> jax.Array:
    """The share of each of `a` `[..., N, 4]` that lies in each of `b` `[..., M, 4]`: 0 to 1, `[..., N, M]`.

    What COCO compares with crowds: a box anywhere inside a crowd is covered by it.
    """
    return _share(intersection(a, b, inclusive=inclusive), area(a, inclusive=inclusive)[..., :, None])


def _share(part, whole):
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), 0.0)


def encode(
    boxes: jax.Array,
    anchors: jax.Array,
    *,
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    inclusive: bool = False,
) -> jax.Array:
    """What a network should say at `anchors` to find `boxes` (Girshick et al. 2014, arXiv:1311.2524, appendix C).

    The shift of the centre in widths and heights of the anchor, and the logarithms of the ratios of the sides:
    (x - xa) / wa, (y - ya) / ha, log(w / wa), log(h / ha); then less `means` and over `stds` (Faster R-CNN's release
    normalises its targets by 0.1, 0.1, 0.2, 0.2, Fast R-CNN by each class's own mean and deviation; what others call
    weights is 1 / stds).

    Args:
      boxes, anchors: `[..., 4]`, broadcast against each other. Sides below a thousandth of a pixel count as that, so
        padding gives finite numbers (to be masked).

    Returns:
      float32 `[..., 4]`.
    """
    x, y, w, h = _centred(boxes, inclusive)
    xa, ya, wa, ha = _centred(anchors, inclusive)
    deltas = jnp.stack([(x - xa) / wa, (y - ya) / ha, jnp.log(w / wa), jnp.log(h / ha)], -1)
    return (deltas - jnp.asarray(means, jnp.float32)) / jnp.asarray(stds, jnp.float32)


def decode(
    deltas: jax.Array,
    anchors: jax.Array,
    *,
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    inclusive: bool = False,
    largest: float = LARGEST_RATIO,
) -> jax.Array:
    """The boxes that `deltas` describe at `anchors`; undoes `encode`.

    Args:
      deltas, anchors: `[..., 4]`, broadcast: for boxes by class, deltas `[R, C, 4]` at `anchors[:, None]`.
      largest: the ratio of sides is cut to at most this, so that no output overflows.

    Returns:
      float32 `[..., 4]`, neither clipped to an image nor inverted. py-faster-rcnn, which is `inclusive`, forgets the 1
      here: its boxes are a pixel larger.
    """
    xa, ya, wa, ha = _centred(anchors, inclusive)
    deltas = deltas.astype(jnp.float32) * jnp.asarray(stds, jnp.float32) + jnp.asarray(means, jnp.float32)
    dx, dy, dw, dh = jnp.moveaxis(deltas, -1, 0)
    most = jnp.log(jnp.float32(largest))
    x, y, w, h = xa + dx * wa, ya + dy * ha, wa * jnp.exp(jnp.minimum(dw, most)), ha * jnp.exp(jnp.minimum(dh, most))
    extra = 1.0 if inclusive else 0.0
    return jnp.stack([x - w / 2, y - h / 2, x + w / 2 - extra, y + h / 2 - extra], -1)


def _centred(boxes, inclusive):
    boxes = boxes.astype(jnp.float32)
    w, h = (jnp.maximum(side, SMALLEST_SIDE) for side in sides(boxes, inclusive=inclusive))
    return boxes[..., 0] + w / 2, boxes[..., 1] + h / 2, w, h


def clip(boxes: jax.Array, height, width, *, inclusive: bool = False) -> jax.Array:
    """Boxes `[..., N, 4]` cut to their image.

    Args:
      height, width: pixels, numbers or arrays `[...]`, one an image.
    """
    last = 1.0 if inclusive else 0.0
    limit = jnp.stack(jnp.broadcast_arrays(jnp.asarray(width), jnp.asarray(height)) * 2, -1).astype(jnp.float32) - last
    return jnp.clip(boxes, 0.0, limit[..., None, :])


def at_least(boxes: jax.Array, side: float, *, inclusive: bool = False) -> jax.Array:
    """Whether both sides of boxes `[..., 4]` reach `side` pixels, bool `[...]`."""
    width, height = sides(boxes, inclusive=inclusive)
    return (width >= side) & (height >= side)


def mirror(boxes: jax.Array, width) -> jax.Array:
    """Boxes `[..., 4]` in the image mirrored left to right, `width` pixels wide."""
    return jnp.stack([width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], -1)


def to_source(boxes: jax.Array, placement: jax.Array) -> jax.Array:
    """Boxes `[..., N, 4]` in pixels of a network's input, in pixels of the image it was made of, clipped to that.

    Args:
      placement: `[..., 6]`, a batch's `placement`: y_scale, x_scale, y_offset, x_offset of the way from the image to
        the input (y' = y_scale * y + y_offset), and the image's height and width.
    """
    y, x, dy, dx, height, width = jnp.moveaxis(placement, -1, 0)[..., None, None]
    moved = (boxes - jnp.concatenate([dx, dy] * 2, -1)) / jnp.concatenate([x, y] * 2, -1)
    return clip(moved, height[..., 0, 0], width[..., 0, 0])


def xyxy_to_cxcywh(boxes: jax.Array) -> jax.Array:
    """Corners to centre, width and height."""
    start, end = boxes[..., :2], boxes[..., 2:]
    return jnp.concatenate([(start + end) / 2, end - start], -1)


def cxcywh_to_xyxy(boxes: jax.Array) -> jax.Array:
    """Centre, width and height to corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return jnp.concatenate([centre - half, centre + half], -1)


def xyxy_to_xywh(boxes: jax.Array) -> jax.Array:
    """Corners to the first corner, width and height, as COCO's files have them."""
    return jnp.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)


def xywh_to_xyxy(boxes: jax.Array) -> jax.Array:
    """First corner, width and height to corners."""
    return jnp.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)

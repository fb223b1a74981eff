"""From scored boxes to a fixed number of detections: threshold, suppression by class, the best of all classes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import nms
from cnn.ops.matching import take

PADDING = -1


class Detections(NamedTuple):
    """D detections an image, highest score first.

    Attributes:
      boxes: float32 `[..., D, 4]`, x0, y0, x1, y1 in pixels; zeros for padding.
      scores: float32 `[..., D]`; 0 for padding.
      labels: int32 `[..., D]`; PADDING for padding.
    """

    boxes: jax.Array
    scores: jax.Array
    labels: jax.Array


def select(
    boxes: jax.Array,
    scores: jax.Array,
    *,
    iou_threshold: float,
    score_threshold: float,
    count: int,
    valid: jax.Array | None = None,
    inclusive: bool = False,
) -> Detections:
    """Suppresses class by class and keeps the `count` highest scores of all classes, as the R-CNN family and YOLO do.

    Args:
      boxes: `[..., R, 4]`, the same for all classes, or `[..., R, C, 4]`, one for each.
      scores: `[..., R, C]`, without the background.
      iou_threshold: as nms.nms; 0.3 in the R-CNN papers.
      score_threshold: what is not above is no detection. Average precision is best served by a low one.
      count: D, over all classes of an image.
      valid: bool `[..., R]`; False for padding.
    """
    scores, by_class = scores.astype(jnp.float32), jnp.moveaxis(scores.astype(jnp.float32), -1, -2)
    regions, classes = scores.shape[-2:]
    if boxes.ndim == scores.ndim:
        boxes = jnp.broadcast_to(boxes[..., None, :, :], (*by_class.shape, 4))
    else:
        boxes = jnp.moveaxis(boxes, -2, -3)
    chosen = by_class > score_threshold
    if valid is not None:
        chosen &= valid[..., None, :]
    kept = nms.nms(
        boxes, by_class, iou_threshold=iou_threshold, count=min(count, regions), valid=chosen, inclusive=inclusive
    )
    flat = (*scores.shape[:-2], -1)
    found = jnp.where(kept.valid, take(by_class, kept.index), -jnp.inf).reshape(flat)
    boxes = take(boxes, kept.index).reshape(*flat, 4)
    labels = jnp.broadcast_to(jnp.arange(classes, dtype=jnp.int32)[:, None], kept.index.shape).reshape(flat)
    missing = max(count - found.shape[-1], 0)
    lead = ((0, 0),) * (found.ndim - 1)
    found = jnp.pad(found, (*lead, (0, missing)), constant_values=-jnp.inf)
    boxes, labels = jnp.pad(boxes, (*lead, (0, missing), (0, 0))), jnp.pad(labels, (*lead, (0, missing)))
    best, index = lax.top_k(found, count)
    real = best > -jnp.inf
    return Detections(
        jnp.where(real[..., None], take(boxes, index), 0.0).astype(jnp.float32),
        jnp.where(real, best, 0.0),
        jnp.where(real, take(labels, index), PADDING),
    )

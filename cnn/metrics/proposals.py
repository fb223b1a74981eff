"""Recall of region proposals: the share of objects that some proposal overlaps, whatever their class."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnn.metrics.base import Average
from cnn.ops import boxes

# From 0.5 to 0.95, as in Hosang et al. 2016 (arXiv:1502.05082), whose mean is the average recall.
THRESHOLDS = tuple(np.round(np.arange(0.5, 1.0, 0.05), 2).tolist())


def best_overlaps(proposals: jax.Array, valid: jax.Array, truth: jax.Array) -> jax.Array:
    """The largest overlap of any valid proposal with each object, 0 to 1: float32 `[..., N]`.

    Args:
      proposals: `[..., R, 4]`; valid: bool `[..., R]`; truth: `[..., N, 4]`. R may be 0.
    """
    overlap = jnp.where(valid[..., None], boxes.iou(proposals, truth), 0.0)
    return overlap.max(-2, initial=0.0)


def recall(
    proposals: jax.Array,
    valid: jax.Array,
    truth: jax.Array,
    truth_valid: jax.Array,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, Average]:
    """States `proposal_recall` (an overlap of at least 0.5) and `average_recall` (over `thresholds`).

    Args:
      proposals, valid, truth: as `best_overlaps`, with a leading axis B; truth_valid: bool `[B, N]`, the objects that
        count; padded rows of a batch have none.
    """
    best = best_overlaps(proposals, valid, truth)
    counts = truth_valid.astype(jnp.float32)
    found = (best[..., None] >= jnp.asarray(thresholds, jnp.float32)).mean(-1)
    return {
        'proposal_recall': Average((counts * (best >= 0.5)).sum(), counts.sum()),
        'average_recall': Average((counts * found).sum(), counts.sum()),
    }

"""Pictures of where regions come from: proposals on an image, and which anchors learn its objects."""

import os

import jax.numpy as jnp
import numpy as np

from cnn.ops import boxes as boxes_ops
from cnn.ops import matching
from cnn.ops.detections import PADDING
from cnn.tasks import proposals as proposing
from cnn.tasks.detection import Scene
from cnn.tasks.detection_record import Example, Seen

PROPOSALS, ANCHORS = 'proposals.png', 'anchors.png'
MANY = 500


def proposals(folder: str, image: np.ndarray, example: Example) -> None:
    """Writes PROPOSALS: the ten and the hundred best, or ten times as many of many; those on an object in colour."""
    from cnn.plots import anchors as plots

    found, truth = example.proposals, example.seen.input_truth
    overlaps = np.asarray(boxes_ops.iou(jnp.asarray(found), jnp.asarray(truth)))
    # Best first, as they come.
    scores = -np.arange(len(found), dtype=np.float32)
    counts = (10, 100) if len(found) <= MANY else (100, 1000)
    plots.draw_proposals(image, found, scores, overlaps, truth, os.path.join(folder, PROPOSALS), counts=counts)


def anchors(
    folder: str, image: np.ndarray, seen: Seen, grid: np.ndarray, options: proposing.ProposalOptions
) -> None:
    """Writes ANCHORS: those of one cell, and those that learn an object.

    Args:
      grid: float32 `[rows, columns, A, 4]`.
    """
    from cnn.plots import anchors as plots

    truth, plain = seen.input_truth, ~(seen.difficult | seen.crowd)
    height, width = image.shape[:2]
    scene = Scene(
        images=jnp.zeros((1, 1, 1, 3)),
        window=jnp.float32([[0, 0, width, height]]),
        row=jnp.zeros(1, jnp.int32),
        boxes=jnp.asarray(truth)[None],
        labels=jnp.where(jnp.asarray(plain), 0, PADDING)[None],
        valid=jnp.asarray(plain)[None],
        ignored=~jnp.asarray(plain)[None],
        crowd=jnp.asarray(seen.crowd)[None],
    )
    learnt = proposing.matched(jnp.asarray(grid).reshape(-1, 4), scene, options).label[0] == matching.POSITIVE
    stride = float(grid[0, 1, 0, 0] - grid[0, 0, 0, 0]) if grid.shape[1] > 1 else float(width)
    sides = grid[0, 0, :, 2:] - grid[0, 0, :, :2]
    ratios = len(np.unique(np.round(sides[:, 1] / sides[:, 0], 2)))
    plots.draw_anchors(
        image, grid, stride, truth, np.asarray(learnt).reshape(grid.shape[:3]), os.path.join(folder, ANCHORS),
        per_shape=max(len(sides) // ratios, 1),
    )  # fmt: skip

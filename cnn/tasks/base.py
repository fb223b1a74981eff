"""What a task is to the loop: the loop never asks which one it runs.

Shapes: B examples of this replica. A batch is a dict with at least `image` uint8 `[B, H, W, 3]`, `mask` float32 `[B]`
(1 real, 0 padding), `row` int32 `[B]` (the example's row in the global batch, for keys that do not depend on the
device count) and `index` int32 `[B]` (its place in the data set); the rest, `label` for one, is the task's own.
"""

from typing import Any, Protocol

import flax.struct
import jax
import numpy as np

Batch = dict[str, jax.Array]
Variables = dict[str, Any]


@flax.struct.dataclass
class LossOutput:
    """Sums, not means, so that replicas and micro-batches add up: loss = sum of `total` / sum of `weight`."""

    total: jax.Array
    weight: jax.Array
    model_state: Variables
    metrics: dict[str, Any]


class Collector(Protocol):
    """Host-side memory over one evaluation for what sums cannot hold: ranked lists, out-of-fold predictions."""

    def update(self, predictions: dict[str, Any], batch: dict[str, Any]) -> None:
        """Takes NumPy arrays of one batch, padding included (`batch['mask']` says which)."""

    def compute(self) -> dict[str, float]:
        """Metrics that need the whole set; may be empty."""

    def table(self) -> dict[str, Any]:
        """Columns over the examples seen, `index` and what was predicted for each, sorted by `index`."""


class Task(Protocol):
    """Joins a network and a loss. Pure functions of their arguments, traced inside the compiled step."""

    def dummy_batch(self, size: int) -> dict[str, np.ndarray]:
        """A host batch of one empty example with images of this side (or series of this length), for shapes."""

    def init(self, key: jax.Array, batch: Batch) -> Variables:
        """`{'params': ..., 'batch_stats': ...}` for a batch of this shape."""

    def loss(self, variables: Variables, batch: Batch, key: jax.Array) -> LossOutput:
        """Training loss of a raw batch: augmentation, normalisation and target encoding included."""

    def predict(self, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        """Predictions in evaluation mode, leading axis B."""

    def metrics(self, predictions: dict[str, jax.Array], batch: Batch) -> dict[str, Any]:
        """Metric states (cnn.metrics.base) of these predictions."""

    def collector(self) -> Collector:
        """A fresh host-side collector for one evaluation."""

    def draw(self, folder: str, states: dict[str, Any], collector: Collector, source: Any) -> list[str]:
        """Writes the task's pictures for one evaluation into `folder`; returns their file names."""


def dummy_images(size: int) -> dict[str, np.ndarray]:
    """One black image `[1, size, size, 3]` with the fields that every batch has."""
    return {
        'image': np.zeros((1, size, size, 3), np.uint8),
        'mask': np.ones(1, np.float32),
        'row': np.zeros(1, np.int32),
        'index': np.zeros(1, np.int32),
    }

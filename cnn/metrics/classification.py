"""Classification metrics: top-k hits, per-class counts, the confusion matrix; they merge as in cnn/metrics/base.py."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


def top_k_hits(logits: jax.Array, labels: jax.Array, k: int) -> jax.Array:
    """1 where the label is among the k largest logits, else 0: float32 `[B]` from `[B, C]` and int `[B]`.

    Equal logits rank by class number, lower first, as argmax does; so a network that says the same of every class is
    right about the first k, not about all. A label whose logit is NaN is never a hit.
    """
    right = jnp.take_along_axis(logits, labels[:, None], 1)
    before = jnp.arange(logits.shape[1])[None] < labels[:, None]
    # Not "greater", but "not less or equal": comparisons with NaN are false, and must count against the label.
    ahead = ~(logits <= right) | ((logits == right) & before)
    return (ahead.sum(1) < k).astype(jnp.float32)


def mean_class_accuracy(hits: np.ndarray, counts: np.ndarray) -> float:
    """The mean over classes of hits / examples `[C]`; classes without an example are left out, NaN if all are."""
    hits, counts = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    present = counts > 0
    return float(np.mean(hits[present] / counts[present])) if present.any() else float('nan')


@flax.struct.dataclass
class Confusion:
    """`matrix` int32 `[C, C]`: rows are true classes, columns predicted ones. Exact up to 2**31 - 1 in a cell."""

    matrix: jax.Array

    @classmethod
    def of(cls, predicted: jax.Array, labels: jax.Array, mask: jax.Array, num_classes: int) -> 'Confusion':
        """Counts int `[...]` predictions and labels where `mask` `[...]` is above 0; labels outside 0..C-1 nowhere."""
        # Numbers that do not exist are pushed past the end, where the scatter drops them: -1 would wrap around.
        known = (mask > 0) & (labels >= 0) & (predicted >= 0)
        rows = jnp.where(known, labels, num_classes)
        matrix = jnp.zeros((num_classes, num_classes), jnp.int32)
        return cls(matrix.at[rows.ravel(), predicted.ravel()].add(1, mode='drop'))

    def compute(self, name: str) -> dict[str, float]:
        """`mean_class_accuracy`, over the classes that the split has."""
        matrix = np.asarray(self.matrix)
        return {'mean_class_accuracy': mean_class_accuracy(np.diagonal(matrix), matrix.sum(1))}


@flax.struct.dataclass
class ClassCounts:
    """What `mean_class_accuracy` needs where a confusion matrix would be too large: int32 `[C]` twice."""

    hits: jax.Array
    counts: jax.Array

    @classmethod
    def of(cls, predicted: jax.Array, labels: jax.Array, mask: jax.Array, num_classes: int) -> 'ClassCounts':
        """As `Confusion.of`."""
        rows = jnp.where((mask > 0) & (labels >= 0), labels, num_classes).ravel()
        zeros = jnp.zeros(num_classes, jnp.int32)
        hits = (predicted == labels).ravel().astype(jnp.int32)
        return cls(zeros.at[rows].add(hits, mode='drop'), zeros.at[rows].add(1, mode='drop'))

    def compute(self, name: str) -> dict[str, float]:
        """`mean_class_accuracy`, over the classes that the split has."""
        return {'mean_class_accuracy': mean_class_accuracy(self.hits, self.counts)}

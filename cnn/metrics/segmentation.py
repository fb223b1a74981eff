"""Segmentation metrics (Long et al. 2015, section 5) from one confusion matrix of pixels over the whole set.

With n_ij the pixels of class i predicted as class j, and t_i = sum_j n_ij: pixel accuracy sum_i n_ii / sum_i t_i; mean
accuracy, the mean of n_ii / t_i; mean IU, the mean of IU_i = n_ii / (t_i + sum_j n_ji - n_ii); frequency weighted IU,
sum_i t_i IU_i / sum_i t_i. Pixels whose label is no class (255, void) count nowhere.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


def confusions(predicted: jax.Array, truth: jax.Array, num_classes: int) -> jax.Array:
    """Each image's confusion matrix: int32 `[B, C, C]` (true, predicted) of integers `[B, H, W]`.

    A pixel whose truth is not in 0..C-1 is left out; so is one whose prediction is not, which no argmax makes.
    """
    count, cells = len(truth), num_classes * num_classes
    truth, predicted = (x.reshape(count, -1).astype(jnp.int32) for x in (truth, predicted))
    known = (truth >= 0) & (truth < num_classes) & (predicted >= 0) & (predicted < num_classes)
    cell = jnp.arange(count)[:, None] * cells + truth * num_classes + predicted
    # One addition a pixel: the product of one-hot arrays that accelerators like is ten times slower on a CPU.
    flat = jnp.zeros(count * cells, jnp.int32).at[jnp.where(known, cell, count * cells).ravel()].add(1, mode='drop')
    return flat.reshape(count, num_classes, num_classes)


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """IU of each class, float64 `[..., C]` of counts `[..., C, C]`; NaN for a class neither there nor predicted."""
    matrix = np.asarray(matrix, np.float64)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    union = matrix.sum(-1) + matrix.sum(-2) - hits
    return np.divide(hits, union, out=np.full(union.shape, np.nan), where=union > 0)


def scores(matrix: np.ndarray) -> dict[str, float]:
    """`pixel_accuracy`, `mean_class_accuracy`, `mean_iou` and `frequency_weighted_iou` of counts `[C, C]`, 0 to 1.

    As in the authors' release, classes without a pixel are left out of the mean accuracy, and a class that is predicted
    although it never occurs has IU 0. NaN where nothing was labelled.
    """
    matrix = np.asarray(matrix, np.float64)
    hits, true = np.diagonal(matrix), matrix.sum(1)
    total, present, iou = true.sum(), true > 0, class_iou(matrix)
    if not total:
        return dict.fromkeys(('pixel_accuracy', 'mean_class_accuracy', 'mean_iou', 'frequency_weighted_iou'), np.nan)
    return {
        'pixel_accuracy': float(hits.sum() / total),
        'mean_class_accuracy': float(np.mean(hits[present] / true[present])),
        'mean_iou': float(np.nanmean(iou)),
        'frequency_weighted_iou': float((true[present] * iou[present]).sum() / total),
    }


@flax.struct.dataclass
class PixelConfusion:
    """`matrix` int32 `[C, C]`: rows are true classes, columns predicted ones.

    Exact up to 2**31 - 1 in a cell, which one batch cannot exceed; over a set it is added up on the host in int64.
    """

    matrix: jax.Array

    @classmethod
    def of(cls, matrices: jax.Array, mask: jax.Array) -> 'PixelConfusion':
        """Adds up `confusions` `[B, C, C]` where `mask` `[B]` is above 0."""
        return cls(jnp.where((mask > 0)[:, None, None], matrices, 0).sum(0))

    def compute(self, name: str) -> dict[str, float]:
        """The values of `scores`."""
        return scores(self.matrix)

"""What one evaluation of segmentation leaves on the host: every image's scores, the masks of a few."""

from typing import Any, NamedTuple

import numpy as np

from cnn.metrics.segmentation import class_iou

# Images whose masks are kept for pictures: of the first, and of the worst.
KEPT = 8


class Scored(NamedTuple):
    """One image: its place in the data set, true and predicted masks uint8 `[H, W]`, and scores from 0 to 1."""

    index: int
    truth: np.ndarray
    predicted: np.ndarray
    pixel_accuracy: float
    mean_iou: float


class Segmented:
    """One evaluation's scores, image by image; memory for a few masks, whatever the size of the set."""

    def __init__(self, kept: int = KEPT):
        self._kept = kept
        self._columns: list[dict[str, np.ndarray]] = []
        self._first: list[Scored] = []
        self._worst: list[Scored] = []

    def update(self, predictions: dict[str, Any], batch: dict[str, Any]) -> None:
        """Takes one batch, NumPy arrays, padding included."""
        real = np.flatnonzero(np.asarray(batch['mask']) > 0)
        matrices = np.asarray(predictions['confusions'], np.float64)[real]
        iou, labelled = class_iou(matrices), matrices.sum((1, 2))
        seen = ~np.isnan(iou)
        column = {
            'index': np.asarray(batch['index'])[real],
            'pixel_accuracy': _ratio(np.trace(matrices, axis1=1, axis2=2), labelled),
            'mean_iou': _ratio(np.where(seen, iou, 0).sum(1), seen.sum(1)),
            'pixels': labelled.astype(np.int64),
        }
        self._columns.append(column)
        for place, row in enumerate(real):
            score = (float(column['pixel_accuracy'][place]), float(column['mean_iou'][place]))
            if np.isnan(score[1]):
                continue
            index = int(column['index'][place])
            kept = Scored(index, batch['segmentation'][row], predictions['segmentation'][row], *score)
            self._first = self._keep(self._first, kept, lambda s: s.index)
            self._worst = self._keep(self._worst, kept, lambda s: (s.mean_iou, s.index))

    def _keep(self, scored: list[Scored], new: Scored, order) -> list[Scored]:
        """The `kept` least by `order`, copied out of their batch."""
        if len(scored) == self._kept and order(new) >= order(scored[-1]):
            return scored
        new = new._replace(truth=np.array(new.truth), predicted=np.array(new.predicted))
        return sorted([*scored, new], key=order)[: self._kept]

    def compute(self) -> dict[str, float]:
        """Nothing that sums do not already hold."""
        return {}

    def table(self) -> dict[str, np.ndarray]:
        """Columns `index`, `pixel_accuracy`, `mean_iou` (over the classes there or predicted; NaN without a labelled
        pixel) and `pixels`, sorted by `index`."""
        columns = ('index', 'pixel_accuracy', 'mean_iou', 'pixels')
        table = {c: np.concatenate([part[c] for part in self._columns] or [np.zeros(0)]) for c in columns}
        order = np.argsort(table['index'], kind='stable')
        return {c: values[order] for c, values in table.items()}

    def first(self) -> list[Scored]:
        """The first images by their place in the data set."""
        return list(self._first)

    def worst(self) -> list[Scored]:
        """The images of least mean IU, worst first."""
        return list(self._worst)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)

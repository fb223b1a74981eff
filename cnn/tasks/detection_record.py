"""What one evaluation of detection leaves on the host: every image's detections and objects."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn.metrics import detection, hoiem, voc_ap

# Images whose proposals are kept, for a picture of one of them.
EXAMPLES = 8
SCORES = ('map_50', 'map_coco', 'map_coco_75', 'mar_coco_100')


class Seen(NamedTuple):
    """One image: its place in the data set, its detections, highest score first, and its objects.

    Boxes are float32 `[n, 4]` in pixels of the upright source image, `input_boxes` and `input_truth` the same in pixels
    of the network's input.
    """

    index: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    input_boxes: np.ndarray
    input_truth: np.ndarray


class Drawn(NamedTuple):
    """One image for a picture: boxes in pixels of the network's input, and voc_ap.judge's verdict on each detection."""

    index: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    verdicts: np.ndarray


class Example(NamedTuple):
    """One image with the proposals that were judged in it, float32 `[n, 4]`, best first, in pixels of the input."""

    seen: Seen
    proposals: np.ndarray


class Detected:
    """One evaluation's detections, image by image.

    Args:
      num_classes: C.
      ap: of `map_50`: 'area' or 'eleven_point'.
    """

    def __init__(self, num_classes: int, *, ap: str = 'area'):
        self._num_classes, self._ap = num_classes, ap
        self._images: list[Seen] = []
        self._examples: list[Example] = []

    def update(self, predictions: dict[str, Any], batch: dict[str, Any]) -> None:
        """Takes one batch, NumPy arrays, padding included."""
        for row in np.flatnonzero(np.asarray(batch['mask']) > 0):
            found = predictions['labels'][row] >= 0
            there = batch['box_labels'][row] >= 0
            # Copies, which do not keep the whole batch.
            seen = Seen(
                int(batch['index'][row]),
                predictions['source_boxes'][row][found],
                predictions['scores'][row][found],
                predictions['labels'][row][found],
                predictions['source_truth'][row][there],
                batch['box_labels'][row][there],
                batch['box_difficult'][row][there],
                batch['box_crowd'][row][there],
                predictions['boxes'][row][found],
                batch['boxes'][row][there],
            )
            self._images.append(seen)
            if 'proposals' in predictions and len(self._examples) < EXAMPLES:
                own = predictions['proposals'][row]
                self._examples.append(Example(seen, own[(own[:, 2:] > own[:, :2]).all(1)]))

    def images(self) -> list[Seen]:
        """All images by their place in the data set."""
        return sorted(self._images, key=lambda seen: seen.index)

    def example(self) -> Example | None:
        """Of the first images that proposals were judged in, the one with the most objects, the first of equals."""
        return max(self._examples, key=lambda example: len(example.seen.truth), default=None)

    def compute(self) -> dict[str, float]:
        """`map_50` and, by COCO's rule, `map_coco` (overlaps of 0.5 to 0.95), `map_coco_75` and `mar_coco_100`, 0 to 1.

        COCO's others are left out: they are NaN where no object is of their size, and folds must have the same numbers.
        """
        found = detection.scores(self.images(), self._num_classes, eleven_point=self._ap == 'eleven_point')
        return {name: found[name] for name in SCORES}

    def curves(self) -> tuple[list[voc_ap.Curve], np.ndarray]:
        """Precision and recall of each class at an overlap of one half, and its average precision, `[C]`."""
        found = voc_ap.curves(self.images(), self._num_classes)
        eleven_point = self._ap == 'eleven_point'
        return found, np.array([voc_ap.average_precision(curve, eleven_point=eleven_point) for curve in found])

    def errors(self, names: Sequence[str]) -> dict[str, float]:
        """The share of each kind of mistake (metrics/hoiem.py); which classes are similar, names say."""
        similar = hoiem.similarity(names)
        return hoiem.shares(hoiem.error_split(self.images(), self._num_classes, similar=similar))

    def drawn(self, count: int) -> list[Drawn]:
        """The first images, as the network sees them."""
        return [
            Drawn(seen.index, seen.input_boxes, *seen[2:4], seen.input_truth, *seen[5:8], voc_ap.judge(seen))
            for seen in self.images()[:count]
        ]

    def table(self) -> dict[str, np.ndarray]:
        """Columns over the images, sorted by `index`: `boxes` float32 `[n, D, 4]` in pixels of the source, `scores`
        float32 `[n, D]` and `labels` int32 `[n, D]`; D is the most detections of an image, missing ones are -1."""
        images = self.images()
        most = max((len(seen.labels) for seen in images), default=0)
        return {
            'index': np.array([seen.index for seen in images], np.int64),
            'boxes': _stacked([seen.boxes for seen in images], (most, 4), np.float32),
            'scores': _stacked([seen.scores for seen in images], (most,), np.float32),
            'labels': _stacked([seen.labels for seen in images], (most,), np.int32),
        }


def _stacked(parts: list[np.ndarray], shape: tuple[int, ...], dtype) -> np.ndarray:
    """Ragged rows as one array, filled with -1."""
    out = np.full((len(parts), *shape), -1, dtype)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out

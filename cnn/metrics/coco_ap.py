"""COCO's average precision (Lin et al. 2014, arXiv:1405.0312), by the data set's own evaluator, pycocotools."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from cnn.metrics.voc_ap import Image

# pycocotools' twelve numbers in its order: AP at IoU 0.5 to 0.95, at 0.5, 0.75, by area; recall with 1, 10, 100
# detections an image, by area. Areas: below 32 x 32, up to 96 x 96, above.
NAMES = (
    'map_coco', 'map_coco_50', 'map_coco_75', 'map_coco_small', 'map_coco_medium', 'map_coco_large',
    'mar_coco_1', 'mar_coco_10', 'mar_coco_100', 'mar_coco_small', 'mar_coco_medium', 'mar_coco_large',
)  # fmt: skip


def scores(images: Sequence[Image], num_classes: int) -> dict[str, float]:
    """The twelve numbers of NAMES, 0 to 1; NaN where no object belongs to one.

    At most 100 detections of a class and image count. A crowd takes any number of detections, by the share of each that
    lies inside; objects marked difficult take one each; neither needs to be found, and what they take does not count.
    """
    # Imported where it is used: whoever scores no detector needs none of it.
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):
        def _prepare(self):
            super()._prepare()
            # The base class lets crowds alone be ignored.
            for annotations in self._gts.values():
                for annotation in annotations:
                    annotation['ignore'] = annotation['iscrowd'] or annotation['difficult']

    def dataset(annotations):
        coco = COCO()
        coco.dataset = {
            'images': [{'id': number} for number in range(len(images))],
            'categories': [{'id': label, 'name': str(label)} for label in range(num_classes)],
            'annotations': annotations,
        }
        coco.createIndex()
        return coco

    # It prints as it goes.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = Evaluation(dataset(_objects(images)), dataset(_detections(images)), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        name: float(value) if value >= 0 else float('nan') for name, value in zip(NAMES, evaluation.stats, strict=True)
    }


def _objects(images):
    found = []
    for number, image in enumerate(images):
        for box, label, crowd, difficult in zip(
            _xywh(image.truth), image.truth_labels, image.crowd, image.difficult, strict=True
        ):
            marks = {'iscrowd': int(crowd), 'difficult': int(difficult)}
            found.append(_annotation(len(found), number, box, label) | marks)
    return found


def _detections(images):
    found = []
    for number, image in enumerate(images):
        for box, label, score in zip(_xywh(image.boxes), image.labels, image.scores, strict=True):
            found.append(_annotation(len(found), number, box, label) | {'score': float(score), 'iscrowd': 0})
    return found


def _annotation(place, number, box, label):
    # Counted from 1: an object numbered 0 would pass for one that nothing has found.
    return {'id': place + 1, 'image_id': number, 'category_id': int(label), 'bbox': box, 'area': box[2] * box[3]}


def _xywh(boxes):
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()

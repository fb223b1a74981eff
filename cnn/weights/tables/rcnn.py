"""R-CNN: the names of a classifier whose trunk and dense layers it takes over, as Fast R-CNN.

Also the workdir of a network like it that lacks the support vector machines and regressions, or has them besides.
"""

from typing import Any

from cnn.weights.tables import fast_rcnn
from cnn.weights.tables.fast_rcnn import HEADS, STEM, STYLES, canonical, image_size, place

__all__ = ['HEADS', 'STEM', 'STYLES', 'canonical', 'ignorable', 'image_size', 'place']
# Layers that a network does without: the classifiers that it was trained with, or is trained with afterwards.
_LAST = ('params/head/cls_score/', 'params/head/svm/', 'params/head/bbox_pred/')


def ignorable(model: Any, key: str) -> bool:
    """What Fast R-CNN has no use for, and a last layer that this variant does without."""
    return fast_rcnn.ignorable(model, key) or key.startswith(_LAST)

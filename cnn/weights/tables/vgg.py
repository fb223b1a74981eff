"""VGG: torchvision's names, and timm's, whose classifier is convolutional.

A convolution's number in `features` counts norms, ReLUs and pools too. Either classifier of ours reads either form.
"""

import re
from typing import Any

from cnn.models.layers import NoNorm
from cnn.weights.layout import Place

STYLES = ('torchvision', 'timm')
STEM = ('conv1_1',)
HEADS = (('fc8',),)

_LAYER = re.compile(r'(conv|norm)(\d+)_(\d+)')
_CLASSIFIER = {
    'torchvision': {'fc6': 'classifier.0', 'fc7': 'classifier.3', 'fc8': 'classifier.6'},
    'timm': {'fc6': 'pre_logits.fc1', 'fc7': 'pre_logits.fc2', 'fc8': 'head.fc'},
}


def image_size(model: Any) -> int:
    return 32 if model.small else 224


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`conv3_2` -> `features.12` without and `features.17` with batch norm."""
    layer = _LAYER.fullmatch(path[0])
    if not layer:
        form = 'conv' if style == 'timm' and path[0] != 'fc8' else 'dense'
        prefix = _CLASSIFIER[style].get(path[0], path[0])
        return Place(prefix, model.stages[-1][-1][0] if path[0] == 'fc6' else 0, form)
    kind, stage, number = layer[1], int(layer[2]), int(layer[3])
    normed = getattr(model.norm, 'func', None) is not NoNorm
    step = 3 if normed else 2
    before = sum(len(convolutions) * step + 1 for convolutions in model.stages[: stage - 1])
    index = before + (number - 1) * step + (kind == 'norm')
    return Place('.'.join([f'features.{index}', *path[1:]]))

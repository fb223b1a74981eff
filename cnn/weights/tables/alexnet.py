"""AlexNet: torchvision's names; every variant of ours goes by them, with its own shapes.

timm has no AlexNet. Layer i of torchvision's `features` and `classifier` counts ReLUs, pools and dropouts too.
"""

from typing import Any

from cnn.weights.layout import Place

STYLES = ('torchvision',)
STEM = ('conv1',)
HEADS = (('fc8',),)

_MODULES = {
    'conv1': 'features.0',
    'conv2': 'features.3',
    'conv3': 'features.6',
    'conv4': 'features.8',
    'conv5': 'features.10',
    'fc6': 'classifier.1',
    'fc7': 'classifier.4',
    'fc8': 'classifier.6',
}


def image_size(model: Any) -> int:
    return 32 if model.sizes['conv1'][2] == 1 else 224


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    prefix = '.'.join([_MODULES.get(path[0], path[0]), *path[1:]])
    return Place(prefix, model.sizes['conv5'][0] if path == ('fc6',) else 0)

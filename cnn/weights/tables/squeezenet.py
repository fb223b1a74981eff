"""SqueezeNet: torchvision's names, and those of the authors' Caffe files as their Keras port keeps them.

The Keras port's arrays lie as ours do (`[kh, kw, in, out]`), and its first convolution reads blue, green, red: it is
turned round here, so that the network takes red, green, blue. What remains of Caffe's ways is the scale of the pixels,
0 to 255 less the mean (`input.statistics=caffe`).
"""

from typing import Any

from cnn.models.squeezenet import FIRES
from cnn.weights.layout import Place

STYLES = ('torchvision', 'keras')
STEM = ('conv1',)
HEADS = (('conv10',),)


def image_size(model: Any) -> int:
    return 32 if model.small else 224


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`fire4/squeeze1x1` -> `features.6.squeeze`: ReLUs and pools have numbers too."""
    if style == 'keras':
        return Place('/'.join(path), form='hwio', flip=path == STEM)
    if path == ('conv10',):
        return Place('classifier.1')
    # The convolution, its ReLU, and whatever came before.
    numbers, number = {'conv1': 0}, 2 + ('conv1' in model.pools or model.small)
    for name in FIRES:
        numbers[name] = number
        number += 1 + (name in model.pools)
    inside = [part.replace('squeeze1x1', 'squeeze') for part in path[1:]]
    return Place('.'.join(['features', str(numbers.get(path[0], path[0])), *inside]))

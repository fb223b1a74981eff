"""DenseNet: torchvision's names, which are timm's too; older files of torchvision spell `norm1` `norm.1`."""

import re
from typing import Any

from cnn.weights.layout import Place

STYLES = ('torchvision', 'timm')
STEM = ('conv1',)
HEADS = (('fc',),)

_LAYER = re.compile(r'dense(\d+)_(\d+)')
_OLD = re.compile(r'(denselayer\d+\.(?:norm|conv))\.([12])\.')
_OUTER = {'conv1': 'features.conv0', 'norm1': 'features.norm0', 'norm_last': 'features.norm5', 'fc': 'classifier'}


def image_size(model: Any) -> int:
    return 224 if model.stem == 'imagenet' else 32


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`dense2_3/norm1` -> `features.denseblock2.denselayer3.norm1`."""
    first, *rest = path
    if layer := _LAYER.fullmatch(first):
        first = f'features.denseblock{layer[1]}.denselayer{layer[2]}'
    elif first.startswith('transition'):
        first = f'features.{first}'
    else:
        first = _OUTER.get(first, first)
    return Place('.'.join([first, *rest]))


def canonical(key: str) -> str:
    """`denselayer1.norm.1.weight`, as files up to 2018 have it, -> `denselayer1.norm1.weight`."""
    return _OLD.sub(r'\1\2.', key)

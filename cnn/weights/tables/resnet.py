"""ResNet: torchvision's and timm's names (they agree), and those of akamaster/pytorch_resnet_cifar10."""

import re
from typing import Any

from cnn.weights.layout import Place

STYLES = ('torchvision', 'timm', 'akamaster')
STEM = ('conv1',)
HEADS = (('fc',),)

_UNIT = re.compile(r'conv(\d+)_(\d+)')


def image_size(model: Any) -> int:
    return 224 if model.stem == 'imagenet' else 32


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`conv3_1/norm2` -> `layer2.0.bn2`; what lies deeper keeps its own names."""
    shortcut = 'shortcut' if style == 'akamaster' else 'downsample'
    parts = []
    for name in path:
        if unit := _UNIT.fullmatch(name):
            parts += [f'layer{int(unit[1]) - 1}', str(int(unit[2]) - 1)]
        elif name.startswith('norm'):
            parts.append('bn' + name.removeprefix('norm'))
        elif name.startswith('shortcut_'):
            parts += [shortcut, '0' if name == 'shortcut_conv' else '1']
        elif name == 'fc' and style == 'akamaster':
            parts.append('linear')
        else:
            parts.append(name)
    return Place('.'.join(parts))

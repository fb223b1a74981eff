"""YOLO v1: the names of a classifier whose trunk it takes over.

A classifier's file (torchvision's names of the trunk's network, or its names in Keras or timm) or a workdir of a
classifier of ours, darknet's for one, gives the trunk; a workdir of a YOLO all of it.
"""

from typing import Any

from cnn.weights.layout import Place
from cnn.weights.tables import alexnet, densenet, googlenet, resnet, squeezenet, vgg

STYLES = ('classifier', 'keras', 'timm')
HEADS = (('head',),)

_TABLES = {'AlexNet': alexnet, 'DenseNet': densenet, 'GoogLeNet': googlenet, 'ResNet': resnet,
           'SqueezeNet': squeezenet, 'VGG': vgg}  # fmt: skip
# What a classifier has besides its trunk.
_LEFT = ('classifier.', 'fc.', 'head.', 'pre_logits.', 'aux1.', 'aux2.', 'conv10', 'params/trunk/fc',
         'params/trunk/conv10', 'params/trunk/aux', 'batch_stats/trunk/aux')  # fmt: skip


def _stem(model: Any) -> tuple[str, ...]:
    table = _TABLES.get(type(model.trunk).__name__)
    return ('trunk', *(table.STEM if table else ('conv1_1',)))


STEM = _stem


def image_size(model: Any) -> int:
    return 448


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`trunk/conv3_1/norm2` -> `layer2.0.bn2`; a darknet and the head have no other names than ours."""
    table = _TABLES.get(type(model.trunk).__name__)
    if table is None or path[0] != 'trunk':
        return Place('.'.join(path))
    return table.place(model.trunk, style if style in table.STYLES else table.STYLES[0], path[1:])


def canonical(key: str) -> str:
    """`params/conv1/kernel`, of a classifier of ours, -> `params/trunk/conv1/kernel`."""
    collection, _, rest = key.partition('/')
    if collection not in ('params', 'batch_stats') or rest.partition('/')[0] in ('trunk', 'head'):
        return key
    return f'{collection}/trunk/{rest}'


def ignorable(model: Any, key: str) -> bool:
    """A classifier's last layers and its auxiliary heads."""
    return key.startswith(_LEFT)

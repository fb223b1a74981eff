"""FCN: torchvision's names, and those of a classifier whose trunk it takes over.

A file of a classifier (`classifier`: torchvision's names of the trunk's network; `keras`, `timm`: its names in those)
gives the trunk and, for VGG and AlexNet, fc6 and fc7, whose dense kernels become convolutions. A workdir of a
classifier of ours gives the trunk, one of a coarser FCN all that both have.
"""

from typing import Any

from cnn.weights.layout import Place
from cnn.weights.tables import alexnet, densenet, googlenet, resnet, squeezenet, vgg

STYLES = ('torchvision', 'classifier', 'keras', 'timm')
_STRIDES = (1, 2, 4, 8, 16, 32)
HEADS = (
    ('fc6',), ('fc7',), ('head_conv',), ('head_norm',), ('score_fr',), *((f'score{stride}',) for stride in _STRIDES),
    ('decoder',), ('aux_conv',), ('aux_norm',), ('aux_score',), ('aux_decoder',),
)  # fmt: skip

_TABLES = {'AlexNet': alexnet, 'DenseNet': densenet, 'GoogLeNet': googlenet, 'ResNet': resnet,
           'SqueezeNet': squeezenet, 'VGG': vgg}  # fmt: skip
_TORCHVISION = {'head_conv': 'classifier.0', 'head_norm': 'classifier.1', 'score_fr': 'classifier.4',
                'aux_conv': 'aux_classifier.0', 'aux_norm': 'aux_classifier.1',
                'aux_score': 'aux_classifier.4'}  # fmt: skip
# What a classifier or a coarser stage has besides.
_LEFT = ('classifier.', 'aux_classifier.', 'fc.', 'head.', 'pre_logits.', 'aux1.', 'aux2.', 'conv10',
         'params/trunk/fc', 'params/trunk/conv10', 'params/trunk/aux', 'batch_stats/trunk/aux', 'params/decoder/',
         'params/aux_', 'batch_stats/aux_')  # fmt: skip


def _stem(model: Any) -> tuple[str, ...]:
    return ('trunk', *_TABLES[type(model.trunk).__name__].STEM)


STEM = _stem


def image_size(model: Any) -> int:
    return max(_TABLES[type(model.trunk).__name__].image_size(model.trunk), 64)


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`trunk/conv3_1/norm2` -> `backbone.layer2.0.bn2`, or `layer2.0.bn2` in a classifier's file."""
    table = _TABLES[type(model.trunk).__name__]
    inner = style if style in table.STYLES else table.STYLES[0]
    if path[0] == 'trunk':
        found = table.place(model.trunk, inner, path[1:])
        return found._replace(prefix=f'backbone.{found.prefix}') if style == 'torchvision' else found
    if style == 'torchvision' and path[0] in _TORCHVISION:
        return Place('.'.join([_TORCHVISION[path[0]], *path[1:]]))
    if style != 'torchvision' and path[0] in ('fc6', 'fc7'):
        return table.place(model.trunk, inner, path)
    return Place('.'.join(path))


def canonical(key: str) -> str:
    """`params/conv1/kernel`, of a classifier of ours, -> `params/trunk/conv1/kernel`."""
    collection, _, rest = key.partition('/')
    name = rest.partition('/')[0]
    own = name == 'trunk' or any(name == head for (head,) in HEADS)
    if collection not in ('params', 'batch_stats') or own:
        return key
    return key if name in ('fc6', 'fc7') else f'{collection}/trunk/{rest}'


def ignorable(model: Any, key: str) -> bool:
    """A classifier's last layer, auxiliary heads, and the enlarging layers of another stage."""
    return key.startswith(_LEFT)

"""Fast and Faster R-CNN: the names of a classifier whose trunk they take over, and with it what its head was there.

A classifier's file (names of torchvision, Keras or timm for the trunk's network) gives the trunk and, for VGG and
AlexNet, fc6 and fc7, for a ResNet cut at conv4 its conv5. A workdir of a classifier of ours gives the trunk, fc6
and fc7; one of either detector all that both have.
"""

from typing import Any

from cnn.weights.layout import Place
from cnn.weights.tables import alexnet, densenet, googlenet, resnet, squeezenet, vgg

STYLES = ('classifier', 'keras', 'timm')
HEADS = (('head',), ('rpn',))

_TABLES = {'AlexNet': alexnet, 'DenseNet': densenet, 'GoogLeNet': googlenet, 'ResNet': resnet,
           'SqueezeNet': squeezenet, 'VGG': vgg}  # fmt: skip
# What a classifier, an uncut trunk or the other detector has besides.
_LEFT = ('classifier.', 'fc.', 'head.', 'pre_logits.', 'aux1.', 'aux2.', 'layer', 'features.', 'conv10',
         'params/trunk/', 'batch_stats/trunk/', 'params/rpn/')  # fmt: skip


def _stem(model: Any) -> tuple[str, ...]:
    table = _TABLES.get(type(model.trunk).__name__)
    return ('trunk', *(table.STEM if table else ('conv1',)))


STEM = _stem


def image_size(model: Any) -> int:
    return 224


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`trunk/conv3_1/norm2` -> `layer2.0.bn2`, `head/body/fc6` -> `classifier.0`."""
    table = _TABLES.get(type(model.trunk).__name__)
    is_body = path[:2] == ('head', 'body')
    if table is None or not (path[0] == 'trunk' or is_body):
        return Place('.'.join(path))
    inner = style if style in table.STYLES else table.STYLES[0]
    return table.place(model.trunk, inner, path[2 if is_body else 1 :])


def canonical(key: str) -> str:
    """`params/conv1/kernel`, of a classifier of ours, -> `params/trunk/conv1/kernel`; fc6 and fc7 go to the head."""
    collection, _, rest = key.partition('/')
    name = rest.partition('/')[0]
    if collection not in ('params', 'batch_stats') or name in ('trunk', 'rpn', 'head'):
        return key
    return f'{collection}/head/body/{rest}' if name in ('fc6', 'fc7') else f'{collection}/trunk/{rest}'


def ignorable(model: Any, key: str) -> bool:
    """A classifier's last layer, stages behind the endpoint, the other detector's own parts."""
    return key.startswith(_LEFT)

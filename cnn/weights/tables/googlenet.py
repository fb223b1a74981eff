"""GoogLeNet: torchvision's names. The paper's variant goes by them too, with a bias where torchvision has a norm.

torchvision's published weights expect images in [-1, 1] (its `transform_input`), not its usual mean and deviation.
"""

from typing import Any

from cnn.weights.layout import Place

STYLES = ('torchvision',)
STEM = ('conv1',)
HEADS = (('fc',), ('aux1', 'fc2'), ('aux2', 'fc2'))

_STEM = {'conv1': 'conv1', 'conv2_reduce': 'conv2', 'conv2': 'conv3'}
_BRANCHES = {
    '1x1': 'branch1',
    '3x3_reduce': 'branch2.0',
    '3x3': 'branch2.1',
    '5x5_reduce': 'branch3.0',
    '5x5': 'branch3.1',
    'pool_proj': 'branch4.1',
}


def image_size(model: Any) -> int:
    return 32 if model.small else 224


def place(model: Any, style: str, path: tuple[str, ...]) -> Place:
    """`inception_3a/3x3_reduce` -> `inception3a.branch2.0.conv`, its norm -> `inception3a.branch2.0.bn`."""
    *outer, name = path
    block = [part.replace('inception_', 'inception') for part in outer]
    unit = name.removesuffix('_norm')
    inside = {} if not outer else _BRANCHES if outer[0].startswith('inception') else {'conv': 'conv'}
    known = inside if outer else _STEM
    if unit in known:
        return Place('.'.join([*block, known[unit], 'bn' if name.endswith('_norm') else 'conv']))
    # The auxiliary heads flatten four by four cells.
    return Place('.'.join([*block, name]), model.width(128) if name == 'fc1' else 0)


def ignorable(model: Any, key: str) -> bool:
    """The published file has the auxiliary heads; a network without them does not need theirs."""
    return not model.auxiliary and key.startswith(('aux1.', 'aux2.'))

"""Networks by name: `create('resnet', num_classes=10, depth=20, stem='cifar')`.

Each network is one file of this folder, found by its name. The file defines `create(num_classes, **sizes)` and
`VARIANTS`; adding a network is adding a file.
"""

import difflib
import importlib
import inspect
import pkgutil

import flax.linen as nn

# Files of this folder that hold parts of networks, not networks.
_PARTS = {'alexnet_towers', 'initializers', 'layers', 'upsampling'}


def names() -> list[str]:
    """The networks there are, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS and not m.ispkg)


def create(name: str, *, num_classes: int, **sizes) -> nn.Module:
    """Builds a network whose `apply(variables, images, train=...)` returns `(output, endpoints)`.

    Args:
      name: one of `names()`.
      num_classes: outputs of the last layer; 0 for the trunk alone, without the classifier's layers: its output is then
        the map that the classifier would read.
      **sizes: what the network's own `create` takes: `depth=`, `variant=`, `dtype=` ...

    Raises:
      ValueError: for an unknown network or size, naming the nearest right one.
    """
    return build(__name__, names(), name, num_classes, sizes)


def build(package: str, known: list[str], name: str, num_classes: int, sizes: dict) -> nn.Module:
    """What the `create` of the file `name` of a package of networks makes; see `create`."""
    if name not in known:
        raise ValueError(f'unknown network {name!r}; {_nearest(name, known)}')
    builder = importlib.import_module(f'{package}.{name}').create
    taken = [p for p in inspect.signature(builder).parameters if p != 'num_classes']
    for key in sizes:
        if key not in taken:
            raise ValueError(f'{name} has no size {key!r}; {_nearest(key, taken)}')
    return builder(num_classes, **sizes)


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f'did you mean {close[0]!r}?' if close else f'there are {", ".join(known)}'

"""Detectors' networks by name: `create('yolo', num_classes=20)`; beside them what they are made of.

As in `cnn.models`, each is one file, found by its name, with a function `create(num_classes, **sizes)`. What a network
takes and returns is its own business and that of its task (cnn/tasks).
"""

import pkgutil

import flax.linen as nn

from cnn import models

# Files of this folder that hold parts of detectors.
_PARTS = {'linear_heads', 'roi_heads', 'rpn', 'trunks'}


def names() -> list[str]:
    """The detectors there are, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS and not m.ispkg)


def create(name: str, *, num_classes: int, **sizes) -> nn.Module:
    """Builds a detector's network.

    Args:
      name: one of `names()`.
      num_classes: C, without a background.
      **sizes: what the network's own `create` takes.

    Raises:
      ValueError: for an unknown detector or size, naming the nearest right one.
    """
    return models.build(__name__, names(), name, num_classes, sizes)

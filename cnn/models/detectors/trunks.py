"""Any network of `cnn.models` as a detector's trunk, by the few sizes that configs name."""

from typing import Any

import flax.linen as nn

from cnn import models


def create(name: str, *, dtype: Any, **sizes) -> nn.Module:
    """The network without its classifier: `apply(variables, images, train) -> (last map, endpoints)`.

    Args:
      sizes: what the network's own `create` takes (`depth`, `variant`, `stem`, `width`, `norm`, `stages` ...); those
        that are 0, empty or None are left to the network, so that one config serves all trunks.

    Raises:
      ValueError: for an unknown network or size, naming the nearest right one.
    """
    given = {key: value for key, value in sizes.items() if value not in (0, '', None)}
    if isinstance(given.get('width'), float) and given['width'] == int(given['width']):
        given['width'] = int(given['width'])
    return models.create(name, num_classes=0, dtype=dtype, **given)

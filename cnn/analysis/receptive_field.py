"""Receptive fields of any network: how much of the image one cell of each layer sees, how far apart, from where on.

    fields = receptive_field(models.create('vgg', num_classes=1000, variant='16'), (224, 224, 3))
    fields['pool5'].size, fields['pool5'].stride      # (212, 212), (32, 32)

Branches, skips, dilation, pooling and transposed convolutions are followed exactly (`cnn.analysis.windows`); nothing is
computed on numbers.
"""

import dataclasses
from fractions import Fraction

import flax.linen as nn
import jax.numpy as jnp

from cnn.analysis.fields import Field
from cnn.analysis.graph import Graph, trace
from cnn.analysis.windows import hull


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What a feature map sees of the image; one member per spatial axis in every tuple.

    Attributes:
      size: input cells seen by one cell (the most over the phases of a transposed convolution), padding included.
        None where it depends on the data, as behind a deformable convolution.
      stride: input cells between neighbouring cells, the "jump"; below one behind upsampling, None where the map has no
        such axis any more (behind global pooling, say).
      start: the first input cell that cell 0 sees, negative in the padding.
      axes: the exact law, for `interval`.
    """

    size: tuple[int | None, ...]
    stride: tuple[Fraction | None, ...]
    start: tuple[int | None, ...]
    axes: Field

    @property
    def offset(self) -> tuple[Fraction | None, ...]:
        """The input position over which cell 0 is centred."""
        spans = (self.interval(0, axis) for axis in range(len(self.axes)))
        return tuple(None if span is None else Fraction(sum(span), 2) for span in spans)

    def interval(self, index: int, axis: int) -> tuple[int, int] | None:
        """First and last input cell that cell `index` sees along an axis; None if unknown or if it sees nothing."""
        seen = self.axes[axis]
        if not seen.known:
            return None
        return hull(seen.window.interval(index) if seen.window else None, seen.span)


def of_field(field: Field | None) -> ReceptiveField | None:
    """The receptive field that an array's `Field` states; None if it does not depend on the image."""
    if field is None:
        return None
    size, stride, start = [], [], []
    for axis in field:
        window, span = axis.window, axis.span
        stride.append(window.jump if window else None)
        if not axis.known:
            first, cells = None, None
        elif window is None:
            first, cells = (span[0], span[1] - span[0] + 1) if span else (None, 0)
        elif span is None:
            first, cells = window.start, window.size
        else:
            # A gate, say: each cell sees its own window and all of the image.
            first, last = hull(window.interval(0), span)
            cells = max(last - first + 1, window.size)
        size.append(cells)
        start.append(first)
    return ReceptiveField(tuple(size), tuple(stride), tuple(start), field)


def receptive_field(
    model: nn.Module, input_shape: tuple[int, ...], *, spatial_axes: int = 2, dtype=jnp.float32, **kwargs
) -> dict[str, ReceptiveField]:
    """Receptive fields by name: every module by its path (`conv2_1/conv1`), every endpoint, and 'output'.

    Args: as `cnn.analysis.graph.trace` takes them.
    """
    return of_graph(trace(model, input_shape, spatial_axes=spatial_axes, dtype=dtype, **kwargs))


def of_graph(graph: Graph) -> dict[str, ReceptiveField]:
    """`receptive_field` of a network that is traced already. An endpoint wins over a module of the same name."""
    found = {}
    for step in graph.steps:
        if step.primitive == 'name' and step.call is not None:
            path = graph.calls[step.call].path
            if path and path not in found:
                found[path] = of_field(step.outputs[0])
    for name, (_, field) in graph.outputs.items():
        found[name] = of_field(field)
    return {name: field for name, field in found.items() if field is not None}

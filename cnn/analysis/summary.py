"""What a network is made of and what it costs: `--mode=summarize`.

    print(summarize(models.create('resnet', num_classes=1000, depth=50), (224, 224, 3)).table())
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cnn.analysis import xla
from cnn.analysis.graph import Graph, trace
from cnn.analysis.propagate import weighted_depth
from cnn.analysis.rows import Row, rows_of
from cnn.analysis.tables import table


@dataclasses.dataclass
class Summary:
    """The layers of a network in the order in which they end, and their totals; see `cnn.analysis.rows.Row`.

    `depth` is what papers count as layers: convolutions and dense layers on the longest way to the output.
    """

    name: str
    input_shape: tuple[int, ...]
    layers: list[Row]
    depth: int
    check: xla.Agreement | None = None

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.layers)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Memory of all layers' outputs together: about what a training step keeps for the way back."""
        return sum(row.activation_bytes for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """The content of `summary.json`, for `json.dump`."""
        return {
            'name': self.name,
            'input_shape': list(self.input_shape),
            'parameters': self.parameters,
            'macs': self.macs,
            'activation_bytes': self.activation_bytes,
            'depth': self.depth,
            'xla': self.check and {
                'operations': self.check.xla,
                'operations_by_layers': self.check.ours,
                'difference': self.check.difference,
                'agrees': self.check.agrees,
            },
            'layers': [dataclasses.asdict(row) | {'output_shape': list(row.output_shape)} for row in self.layers],
        }

    def table(self) -> str:
        """Plain text of at most 120 columns, one line a layer, totals last."""
        return table(self)


def summarize(
    model: nn.Module,
    input_shape: tuple[int, ...],
    *,
    spatial_axes: int = 2,
    dtype=jnp.float32,
    check: bool = True,
    **kwargs,
) -> Summary:
    """Layers, shapes, parameters, MACs, activations, strides and receptive fields of any network or layer.

    Args:
      model: a Flax module of one array; evaluated with `train=False`.
      input_shape: `[B, H, W, C]`, or without the batch for a batch of one; MACs and memory are for the batch.
      spatial_axes, dtype, kwargs: as `cnn.analysis.graph.trace` takes them.
      check: whether to set the count of operations against XLA's own (a second for the deepest network).
    """
    graph = trace(model, input_shape, spatial_axes=spatial_axes, dtype=dtype, **kwargs)
    return of_graph(graph, check=check)


def of_graph(graph: Graph, *, check: bool = False) -> Summary:
    """The summary of a network that is traced already."""
    name, agreement = type(graph.calls[0].module).__name__, xla.compare(graph) if check else None
    return Summary(name, graph.input.shape, rows_of(graph), weighted_depth(graph.jaxpr)[0], agreement)

"""The layers of a traced network as rows of a table: one for each module that computes, one for each pooling."""

import collections
import dataclasses
import math
from fractions import Fraction
from typing import Any

import jax

from cnn.analysis import receptive_field
from cnn.analysis.graph import Call, Graph
from cnn.analysis.macs import macs
from cnn.analysis.propagate import Step


@dataclasses.dataclass
class Row:
    """One layer.

    Attributes:
      name: the module's path; for a pooling function, the endpoint it makes or its place.
      kind: what it is, in the field's words: 'conv', 'depthwise_conv', 'batch_norm', 'max_pool' ...
      output_shape: with the batch.
      parameters: trainable numbers that this layer alone holds, running statistics not among them.
      macs: nominal multiply-accumulates for the whole batch (`cnn.analysis.macs`).
      activation_bytes: memory of the output.
      stride, receptive_field: of the output, in input cells; a number, or one per axis where they differ; None where
        the axis is gone, or the field depends on the data.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int
    stride: Any
    receptive_field: Any


def rows_of(graph: Graph) -> list[Row]:
    """The rows in the order in which the layers end.

    A module has a row if it calls no other one, holds parameters or multiplies itself. Parameters of modules that
    `train=False` does not call come last, as 'training_only'.
    """
    return _Rows(graph).rows


class _Rows:
    """One pass over the steps; a module's row is due where its output is marked."""

    def __init__(self, graph: Graph):
        self.graph, self.rows = graph, []
        self._parameters = _own_parameters(graph)
        self._macs, self._convolutions = collections.Counter(), collections.defaultdict(list)
        self._uses, self._ended, self._endpoints = collections.Counter(), set(), _endpoints(graph)
        for step in graph.steps:
            self._macs[step.call] += step.repeats * macs(step.eqn)
            if step.primitive == 'conv_general_dilated':
                self._convolutions[step.call].append(step.eqn)
        for step in graph.steps:
            call = None if step.call is None else graph.calls[step.call]
            if call is not None and step.primitive == 'name':
                self._end(call, step)
            elif call is None or call.has_children:
                self._pooling(call, step)
        for path, count in self._parameters.items():
            self.rows.append(Row(path, 'training_only', (), count, 0, 0, None, None))

    def _end(self, call: Call, step: Step) -> None:
        if call.index in self._ended:
            return
        self._ended.add(call.index)
        parameters, cost = self._parameters.pop(call.path, 0), self._macs[call.index]
        if call.has_children and not parameters and not cost:
            return
        name = call.path or call.kind
        self._uses[name] += 1
        name += f' ({self._uses[name]})' if self._uses[name] > 1 else ''
        kind = _snake(call.kind)
        if not call.has_children and len(self._convolutions[call.index]) == 1:
            kind = 'transposed_conv' if 'transpose' in kind else _convolution(self._convolutions[call.index][0])
        self._add(name, kind, step, parameters, cost)

    def _pooling(self, call: Call | None, step: Step) -> None:
        kind = _pooling(step)
        if kind is not None:
            place = f'{call.path}/{kind}' if call and call.path else kind
            self._uses[place] += 1
            name = self._endpoints.get(step.eqn.outvars[0], f'{place}_{self._uses[place]}')
            self._add(name, kind, step, 0, 0)

    def _add(self, name: str, kind: str, step: Step, parameters: int, cost: int) -> None:
        aval, field = step.eqn.outvars[0].aval, receptive_field.of_field(step.outputs[0])
        stride, size = (None, None) if field is None else (_plain(field.stride), _plain(field.size))
        memory = math.prod(aval.shape) * aval.dtype.itemsize
        self.rows.append(Row(name, kind, tuple(aval.shape), parameters, cost, memory, stride, size))


def _own_parameters(graph: Graph) -> dict[str, int]:
    """Parameters by the path of the module that holds them."""
    own = collections.Counter()
    for path, leaf in jax.tree_util.tree_flatten_with_path(graph.variables.get('params', {}))[0]:
        own['/'.join(str(getattr(key, 'key', key)) for key in path[:-1])] += math.prod(leaf.shape)
    return dict(own)


def _endpoints(graph: Graph) -> dict[Any, str]:
    """Endpoint by the variable of the jaxpr that holds it, seen through scaling: a mean is a sum and a division."""
    marks = [step for step in graph.steps if step.primitive == 'name' and step.call == 0]
    found = {}
    for name, step in zip(graph.outputs, marks, strict=False):
        found.setdefault(step.eqn.invars[0], name)
    for step in reversed(graph.steps):
        source, result = step.eqn.invars[:1], step.eqn.outvars[0]
        scaling = step.primitive in ('div', 'mul', 'convert_element_type', 'reshape')
        if scaling and result in found and not hasattr(source[0], 'val'):
            found.setdefault(source[0], found[result])
    return found


def _plain(values):
    """One number where all axes agree, else a list; whole fractions as integers."""
    numbers = [v if v is None else int(v) if Fraction(v).denominator == 1 else float(v) for v in values]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _snake(name: str) -> str:
    """'BatchNorm' -> 'batch_norm'."""
    return ''.join(f'_{c.lower()}' if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _convolution(eqn) -> str:
    """The kind of convolution that an equation is."""
    p, (image, kernel) = eqn.params, (v.aval.shape for v in eqn.invars)
    numbers, groups = p['dimension_numbers'], p['feature_group_count']
    if max(p['lhs_dilation']) > 1:
        return 'transposed_conv'
    if groups > 1:
        return 'depthwise_conv' if groups == image[numbers.lhs_spec[1]] else 'grouped_conv'
    if max(p['rhs_dilation']) > 1:
        return 'dilated_conv'
    return 'pointwise_conv' if all(kernel[d] == 1 for d in numbers.rhs_spec[2:]) else 'conv'


def _pooling(step: Step) -> str | None:
    """The pooling that an operation does over space, if it does any."""
    field = step.inputs[0] if step.inputs else None
    dims = {axis.dim for axis in field or () if axis.window is not None}
    params = step.eqn.params
    if step.primitive in ('reduce_window_max', 'reduce_window_sum'):
        if all(params['window_dimensions'][d] == 1 for d in dims):
            return None
        return 'max_pool' if step.primitive.endswith('max') else 'avg_pool'
    if step.primitive in ('reduce_sum', 'reduce_max') and dims and dims <= set(params['axes']):
        return 'global_avg_pool' if step.primitive == 'reduce_sum' else 'global_max_pool'
    return None

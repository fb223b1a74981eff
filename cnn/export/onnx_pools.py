"""Pooling as ONNX runtimes know it: over rows and columns of channels-first maps.

jax2onnx, from 0.13 to 0.17, writes pooling of `[B, H, W, C]` as pooling of `[1, 1, B, H, W, C]` over four axes, which
onnxruntime refuses (a maximum) or computes by a convolution over the batch (a sum). Both are rewritten here, in the
finished graph:

    Unsqueeze, Unsqueeze, MaxPool | Conv by ones, Squeeze  ->  Transpose, MaxPool | AveragePool and Mul, Transpose
"""

from typing import Any

import numpy as np

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def with_plain_pools(model: Any) -> Any:
    """The `onnx.ModelProto` with every such pool rewritten, and the shapes in between left for the runtime to find."""
    import onnx

    graph = model.graph
    made_by = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    constants = {i.name: i for i in graph.initializer}
    replaced, dropped = {}, set()
    for node in graph.node:
        window = _window(node, constants)
        if window is None:
            continue
        inner = made_by[node.input[0]]
        outer = made_by[inner.input[0]]
        (after,) = readers[node.output[0]]
        if (outer.op_type, inner.op_type, after.op_type) != ('Unsqueeze', 'Unsqueeze', 'Squeeze'):
            continue
        replaced[after.output[0]] = _pool(onnx.helper, node, window, outer.input[0], after.output[0])
        dropped |= {outer.output[0], inner.output[0], node.output[0]}
    nodes = []
    for node in graph.node:
        if node.output[0] in replaced:
            nodes += replaced[node.output[0]]
        elif node.output[0] not in dropped:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in (*node.input, *node.output)}
    for field in (graph.initializer, graph.value_info):
        kept = [entry for entry in field if entry.name in used]
        del field[:]
        field.extend(kept)
    return model


def _window(node: Any, constants: dict[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of a pool over `[1, 1, B, H, W, C]`; None of any other node."""
    if node.op_type == 'MaxPool':
        window = list(_attributes(node)['kernel_shape'])
    elif node.op_type == 'Conv' and node.input[1] in constants and list(constants[node.input[1]].dims[:2]) == [1, 1]:
        import onnx

        kernel = onnx.numpy_helper.to_array(constants[node.input[1]])
        window = list(kernel.shape[2:]) if np.all(kernel == 1) else []
    else:
        return None
    return (window[1], window[2]) if len(window) == 4 and window[0] == window[3] == 1 else None


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _pool(helper: Any, node: Any, window: tuple[int, int], source: str, target: str) -> list[Any]:
    found = _attributes(node)
    _, *strides, _ = found.get('strides', [1] * 4)
    pads = found.get('pads', [0] * 8)
    options = {'kernel_shape': window, 'strides': strides, 'pads': [*pads[1:3], *pads[5:7]]}
    first, pooled = f'{target}_first', f'{target}_pooled'
    into = helper.make_node('Transpose', [source], [first], perm=TO_FIRST)
    out = helper.make_node('Transpose', [pooled], [target], perm=TO_LAST)
    if node.op_type == 'MaxPool':
        return [into, helper.make_node('MaxPool', [first], [pooled], **options), out]
    # A sum is the mean, padded zeros counted, times how many it is of.
    mean, count = f'{target}_mean', f'{target}_count'
    size = helper.make_tensor(count, 1, [], [float(window[0] * window[1])])
    return [
        into,
        helper.make_node('AveragePool', [first], [mean], count_include_pad=1, **options),
        helper.make_node('Constant', [], [count], value=size),
        helper.make_node('Mul', [mean, count], [pooled]),
        out,
    ]

"""Pools as the converter writes them, rewritten and run, against windows taken by NumPy."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from cnn.export.onnx_pools import with_plain_pools

WINDOW, STRIDES, PADS = (3, 2), (2, 1), ((1, 0), (0, 1))


def written(kind: str, ones: bool = True):
    """A pool over `[1, 1, B, H, W, C]`, as jax2onnx has it."""
    kernel, strides = (1, *WINDOW, 1), [1, *STRIDES, 1]
    pads = [0, PADS[0][0], PADS[1][0], 0, 0, PADS[0][1], PADS[1][1], 0]
    values = [helper.make_tensor(name, TensorProto.INT64, [len(v)], v) for name, v in
              (('first', [0]), ('second', [1]), ('both', [0, 1]))]  # fmt: skip
    if kind == 'MaxPool':
        pool = helper.make_node('MaxPool', ['b'], ['c'], kernel_shape=kernel, strides=strides, pads=pads)
    else:
        weights = np.ones((1, 1, *kernel), np.float32)
        if not ones:
            weights.flat[0] = 2
        values.append(onnx.numpy_helper.from_array(weights, 'weights'))
        pool = helper.make_node('Conv', ['b', 'weights'], ['c'], strides=strides, pads=pads)
    nodes = [
        helper.make_node('Unsqueeze', ['x', 'first'], ['a']),
        helper.make_node('Unsqueeze', ['a', 'second'], ['b']),
        pool,
        helper.make_node('Squeeze', ['c', 'both'], ['y']),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n', None, None, 4]) for name in 'xy']
    graph = helper.make_graph(nodes, 'pool', ends[:1], ends[1:], initializer=values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 21)], ir_version=10)


def expected(x, reduce, fill):
    padded = np.pad(x, ((0, 0), *PADS, (0, 0)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, (1, 2))[:, :: STRIDES[0], :: STRIDES[1]]
    return reduce(windows, (-2, -1))


@pytest.mark.parametrize(('kind', 'reduce', 'fill'), [('MaxPool', np.max, -np.inf), ('Conv', np.sum, 0)])
def test_a_pool_over_four_axes_becomes_one_over_two(kind, reduce, fill):
    model = with_plain_pools(written(kind))
    onnx.checker.check_model(model)
    assert {node.op_type for node in model.graph.node} <= {'Transpose', 'MaxPool', 'AveragePool', 'Constant', 'Mul'}
    assert not model.graph.initializer, 'nothing is left of what the old pool read'
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    for count in (1, 3):
        # All below zero, so that padding that takes part would win.
        x = -1 - np.random.default_rng(count).random((count, 7, 5, 4)).astype(np.float32)
        np.testing.assert_allclose(session.run(None, {'x': x})[0], expected(x, reduce, fill), rtol=1e-6)


def test_a_convolution_that_is_no_sum_stays():
    model = with_plain_pools(written('Conv', ones=False))
    assert [node.op_type for node in model.graph.node] == ['Unsqueeze', 'Unsqueeze', 'Conv', 'Squeeze']

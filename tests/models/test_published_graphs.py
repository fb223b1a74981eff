"""Layer by layer against the published graphs: the same weights, in the same order, in the same shapes."""

import json
from collections import Counter

import pytest
from flax.traverse_util import flatten_dict

from tests.models.networks import shapes

GRAPHS = {
    'light_bvlc_alexnet.onnx': ('alexnet', {}),
    'light_vgg19.onnx': ('vgg', {'variant': '19'}),
    'light_inception_v1.onnx': ('googlenet', {}),
    'light_resnet50.onnx': ('resnet', {'depth': 50, 'stride_on': '1x1'}),
    'light_densenet121.onnx': ('densenet', {'depth': 121}),
}


def in_torch_order(path, leaf):
    """Our shape with the axes where ONNX has them; a dense layer's kernel lies transposed."""
    if path[-1] != 'kernel':
        return tuple(leaf.shape)
    return tuple(leaf.shape[i] for i in ((3, 2, 0, 1) if len(leaf.shape) == 4 else (1, 0)))


@pytest.mark.parametrize('graph', GRAPHS)
def test_every_layer_of_the_published_graph_is_there(shared_data, graph):
    name, sizes = GRAPHS[graph]
    published = json.loads((shared_data / 'onnx_light' / 'layers_and_param_shapes.json').read_text())[graph]
    theirs = Counter()
    for layer in published['layers']:
        # Of a norm's four arrays the last two are statistics; DenseNet's graph repeats scale and bias as Mul and Add.
        arrays = layer['params'] or []
        theirs.update(tuple(a) for a in (arrays[:2] if layer['op'] == 'BatchNormalization' else arrays))
    params = flatten_dict(shapes(name, **sizes)['params'])
    ours = Counter(in_torch_order(path, leaf) for path, leaf in params.items())
    if name == 'densenet':
        # Its graph ends in a convolution in the dense layer's place.
        theirs = Counter({shape[:2] if shape == (1000, 1024, 1, 1) else shape: n for shape, n in theirs.items()})
    assert ours == theirs
    assert sum(leaf.size for leaf in params.values()) == published['trainable_params']


@pytest.mark.parametrize('graph', ['light_bvlc_alexnet.onnx', 'light_vgg19.onnx'])
def test_layers_without_branches_come_in_the_published_order(shared_data, graph):
    name, sizes = GRAPHS[graph]
    published = json.loads((shared_data / 'onnx_light' / 'layers_and_param_shapes.json').read_text())[graph]
    theirs = [tuple(layer['params'][0]) for layer in published['layers'] if layer['op'] in ('Conv', 'Gemm')]
    params = shapes(name, **sizes)['params']
    assert [in_torch_order(('kernel',), params[layer]['kernel']) for layer in sorted(params)] == theirs

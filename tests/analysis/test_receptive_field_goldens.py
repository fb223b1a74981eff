"""Receptive fields of the published networks, computed by hand from their layer tables (REFERENCES)."""

from fractions import Fraction

import pytest

from cnn.analysis.receptive_field import of_graph

DEPTHS = {20: 81, 32: 137, 44: 193, 56: 249, 110: 501}
IMAGENET = {18: (435, 435), 34: (899, 899), 50: (427, 483), 101: (971, 1027), 152: (1451, 1507)}
GOLDENS = [
    ('alexnet', 227, {}, 'conv5', 163, 16),
    ('alexnet', 227, {}, 'pool5', 195, 32),
    ('vgg', 224, {'variant': '16'}, 'conv5', 196, 16),
    ('vgg', 224, {'variant': '16'}, 'conv5_3', 196, 16),
    ('vgg', 224, {'variant': '16'}, 'pool5', 212, 32),
    ('vgg', 224, {'variant': '16', 'classifier': 'conv'}, 'fc6', 404, 32),
    ('vgg', 224, {'variant': '19'}, 'pool5', 268, 32),
    ('googlenet', 224, {}, 'inception_5b', 715, 32),
    ('densenet', 224, {'depth': 121}, 'dense4', 2071, 32),
    ('densenet', 224, {'depth': 169}, 'dense4', 3351, 32),
    ('densenet', 224, {'depth': 201}, 'dense4', 3863, 32),
    ('densenet', 224, {'depth': 161}, 'dense4', 2967, 32),
]
GOLDENS += [
    ('resnet', 224, {'depth': depth} | where, 'conv5', sizes['stride_on' in where], 32)
    for depth, sizes in IMAGENET.items()
    # Norms look nowhere; without them a network is traced in half the time.
    for where in ({}, {'stride_on': '1x1', 'norm': 'none'})[: 1 + (depth >= 50)]
]
CIFAR = {'stem': 'cifar', 'norm': 'none'}
GOLDENS += [('resnet', 32, {'depth': n} | CIFAR, 'conv4', size, 4) for n, size in DEPTHS.items()]


@pytest.mark.parametrize(('name', 'image', 'sizes', 'endpoint', 'size', 'jump'), GOLDENS)
def test_published_receptive_fields(traced, name, image, sizes, endpoint, size, jump):
    field = of_graph(traced(name, image, **sizes))[endpoint]
    assert field.size == (size, size)
    assert field.stride == (jump, jump)


def test_dense_layers_see_the_whole_image_and_more(traced):
    fields = of_graph(traced('vgg', 224, variant='16'))
    # Seven cells of 212 at stride 32, as the convolutional classifier's fc6.
    assert fields['fc6'].size == fields['output'].size == (404, 404)
    assert fields['fc6'].stride == (None, None)
    assert fields['fc6'].interval(0, 0) == (-90, 313)


def test_declared_strides_of_endpoints_are_true(traced):
    for name, image, sizes, *_ in GOLDENS:
        graph = traced(name, image, **sizes)
        fields = of_graph(graph)
        declared = graph.calls[0].module.endpoint_strides
        assert declared
        for endpoint, stride in declared.items():
            assert fields[endpoint].stride == (Fraction(stride),) * 2, (name, endpoint)

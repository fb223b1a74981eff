"""YOLO v1's networks: published counts, the grid's layout, any trunk, the local layer against a loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import detectors
from cnn.models.detectors.yolo import LocallyConnected
from tests.models.networks import count, parameters


def traced(size=448, **sizes):
    """Parameters, the output's shape and the endpoints' of a network of VOC's 20 classes; nothing is computed."""
    module = detectors.create('yolo', num_classes=20, **sizes)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), images)
    output, endpoints = jax.eval_shape(functools.partial(module.apply, train=False), variables, images)
    return count(variables['params']), output.shape, module, endpoints


@pytest.mark.parametrize(
    ('sizes', 'expected', 'depth'),
    [
        ({}, 271_703_550, 30),
        ({'norm': 'batch'}, 271_716_734, 30),
        ({'variant': 'tiny', 'norm': 'batch'}, 27_095_374, 30),
        # Three boxes a cell.
        ({'variant': 'local', 'norm': 'batch'}, 197_301_875, 35),
    ],
)
def test_counts_are_the_papers_and_darknets(sizes, expected, depth):
    number, output, module, endpoints = traced(**sizes)
    assert number == expected
    assert output == (1, 7, 7, depth)
    for name, stride in module.endpoint_strides.items():
        assert endpoints[name].shape[1] == 448 // stride, name


def test_the_pretraining_net_is_the_first_twenty_convolutions_and_a_classifier():
    assert parameters('darknet', norm='batch') == 23_437_224


def test_fast_yolo_has_nine_convolutions():
    _, output, module, _ = traced(variant='fast')
    variables = jax.eval_shape(
        functools.partial(module.init, train=False), jax.random.key(0), jnp.zeros((1, 448, 448, 3))
    )
    kernels = [leaf for leaf in jax.tree.leaves(variables['params']) if leaf.ndim == 4]
    assert (len(kernels), output) == (9, (1, 7, 7, 30))


@pytest.mark.parametrize(
    ('trunk', 'sizes', 'side'),
    [
        ('vgg', {}, 7),
        ('resnet', {'depth': 18, 'norm': 'batch'}, 7),
        ('resnet', {'depth': 18, 'norm': 'batch', 'endpoint': 'conv4', 'head': 'conv'}, 14),
        ('squeezenet', {'width': 0.25, 'head': 'conv'}, 14),
        ('googlenet', {'head': 'conv'}, 7),
    ],
)
def test_any_trunk_gives_a_grid(trunk, sizes, side):
    _, output, *_ = traced(trunk=trunk, **sizes)
    assert output == (1, side, side, 30)


def test_an_unknown_size_names_the_nearest():
    with pytest.raises(ValueError, match="unknown yolo variant 'papers'; did you mean 'paper'"):
        detectors.create('yolo', num_classes=2, variant='papers')
    with pytest.raises(ValueError, match="no endpoint 'conv9'; there are conv1, conv2"):
        detectors.create('yolo', num_classes=2, variant='small', endpoint='conv9')
    with pytest.raises(ValueError, match="unknown network 'yolov1'; did you mean 'yolo'"):
        detectors.create('yolov1', num_classes=2)


SMALL = {'variant': 'small', 'width': 0.125, 'stages': 2, 'convs': (4,), 'head': 'dense', 'hidden': (5,), 'side': 2}


def test_darknets_order_is_another_order_of_the_same_numbers():
    """All classes, then all confidences, then all boxes, of cells row by row (darknet's detection_layer.c)."""
    images = np.zeros((2, 8, 8, 3), np.float32)
    cell = detectors.create('yolo', num_classes=3, **SMALL)
    darknet = detectors.create('yolo', num_classes=3, order='darknet', **SMALL)
    variables = jax.tree.map(np.asarray, cell.init(jax.random.key(0), images))
    # The last layer gives its bias alone: 4 cells of 2 boxes and 3 classes.
    flat = np.arange(4 * 13, dtype=np.float32)
    variables['params']['head']['output']['bias'] = flat
    classes, confidences, boxes = flat[:12].reshape(4, 3), flat[12:20].reshape(4, 2), flat[20:].reshape(4, 2, 4)
    rows = [[*boxes[i, 0], confidences[i, 0], *boxes[i, 1], confidences[i, 1], *classes[i]] for i in range(4)]
    variables['params']['head']['output']['kernel'] = np.zeros((5, 52), np.float32)
    found = darknet.apply(variables, images)[0]
    np.testing.assert_array_equal(found[1].reshape(4, 13), rows)
    np.testing.assert_array_equal(cell.apply(variables, images)[0][1].reshape(-1), flat)


def test_the_local_layer_is_a_convolution_with_a_kernel_for_each_cell():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 2)).astype(np.float32)
    kernel = rng.normal(size=(3, 4, 18, 5)).astype(np.float32)
    bias = rng.normal(size=(3, 4, 5)).astype(np.float32)
    found = LocallyConnected(5).apply({'params': {'kernel': kernel, 'bias': bias}}, x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i in range(3):
        for j in range(4):
            window = padded[:, i : i + 3, j : j + 3].reshape(2, -1)
            np.testing.assert_allclose(found[:, i, j], window @ kernel[i, j] + bias[i, j], rtol=1e-4, atol=1e-5)

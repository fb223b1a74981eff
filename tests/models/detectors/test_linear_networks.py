"""The nets of R-CNN and SPPNet: published counts, regions by hand, scales, what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import detectors
from cnn.ops.roi import spatial_pyramid
from cnn.ops.warp import warp
from tests.models.networks import count
from tests.models.networks import shapes as shapes_of

KEY = jax.random.key(0)
TRAINED = {'classifier': 'softmax', 'regress': False}
# By the authors' files (rcnn/model-defs, the Caffe model of ILSVRC13, SPP_net's prototxts): the net that is fine-tuned,
# 20 machines of 4,096 + 1, 20 x 4 regressions of 9,216 + 1; 200 machines in place of the softmax; ZF-5's convolutions,
# its head of 12,800 inputs, and as ImageNet's 1,000-way classifier. VGG-16 as CaffeNet, with its own sizes.
COUNTS = [
    ('rcnn', 20, TRAINED, 56_954_261),
    ('rcnn', 20, {'regress': False}, 56_954_261 + 81_940),
    ('rcnn', 20, {}, 56_954_261 + 81_940 + 737_360),
    ('rcnn', 200, {'classifier': 'svm', 'regress': False}, 57_687_624),
    ('rcnn', 20, TRAINED | {'variant': 'L'}, 138_357_544 - 4097 * 979),
    ('sppnet', 20, TRAINED, 73_026_709),
    ('sppnet', 999, TRAINED, 77_037_672),
    ('sppnet', 20, {}, 73_026_709 + 81_940 + 80 * 12_801),
]
TINY = {'trunk': 'darknet', 'trunk_variant': 'tiny', 'width': 0.25, 'norm': 'none', 'hidden': (8, 6)}


def shapes(module, size=64):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(functools.partial(module.init, train=False), KEY, images)['params']


@pytest.mark.parametrize(('name', 'classes', 'sizes', 'expected'), COUNTS)
def test_parameters_are_the_published_ones(name, classes, sizes, expected):
    assert count(shapes(detectors.create(name, num_classes=classes, **sizes))) == expected


def test_parts_of_sppnet_are_as_large_as_the_releases():
    found = shapes(detectors.create('sppnet', num_classes=20, **TRAINED))
    assert count(found['trunk']) == 3_726_464
    assert count(found['head']) == 69_300_245


def test_the_classifier_that_sppnet_is_pretrained_as_has_its_layers():
    classifier = shapes_of('zf', variant='SPP')['params']
    assert count(classifier) == 77_037_672
    found = shapes(detectors.create('sppnet', num_classes=20))
    assert found['trunk'] == {name: layer for name, layer in classifier.items() if name.startswith('conv')}
    assert found['head']['body'] == {name: classifier[name] for name in ('fc6', 'fc7')}


def test_any_network_will_do_and_without_dense_layers_all_read_its_mean():
    found = shapes(detectors.create('rcnn', num_classes=3, trunk='resnet', depth=18, width=4))
    assert {name: layer['kernel'].shape for name, layer in found['head'].items()} == {
        'cls_score': (32, 4), 'svm': (32, 3), 'bbox_pred': (32, 12),
    }  # fmt: skip


@functools.cache
def compiled(name, **sizes):
    """A tiny network, its variables with every layer filled, and its compiled application."""
    module = detectors.create(name, num_classes=3, **TINY, **sizes)
    variables = jax.jit(module.init)(KEY, jnp.zeros((1, 32, 32, 3)))
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(0)
    variables = jax.tree.unflatten(tree, [rng.normal(0, 0.3, leaf.shape).astype(np.float32) for leaf in leaves])
    return module, variables, jax.jit(module.apply)


def trunk_of(module, variables, images):
    trunk = module.trunk.clone(parent=None)
    return jax.jit(trunk.apply)({'params': variables['params']['trunk']}, images)


IMAGES = np.random.default_rng(1).normal(size=(2, 48, 64, 3)).astype(np.float32)
BOXES = np.float32([[4, 6, 30, 28], [20, 10, 60, 45], [0, 0, 64, 48], [33, 2, 40, 40]])
INDEX = np.int32([1, 0, 1, 0])


def test_rcnn_sees_warped_regions_and_nothing_else():
    module, variables, apply = compiled('rcnn', size=32, stages=2)
    windows = np.float32([[0, 0, 64, 48], [5, 0, 50, 48]])
    said = apply(variables, IMAGES, BOXES, INDEX, windows)
    regions = warp(IMAGES, BOXES, INDEX, windows, size=32)
    maps = trunk_of(module, variables, regions)[0]
    head = variables['params']['head']
    np.testing.assert_allclose(said.pooled, maps.reshape(4, -1), atol=1e-5)
    x = np.maximum(said.pooled @ head['body']['fc6']['kernel'] + head['body']['fc6']['bias'], 0)
    x = np.maximum(x @ head['body']['fc7']['kernel'] + head['body']['fc7']['bias'], 0)
    np.testing.assert_allclose(said.features, x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(said.margins, x @ head['svm']['kernel'] + head['svm']['bias'], rtol=1e-4, atol=1e-5)
    deltas = said.pooled @ head['bbox_pred']['kernel'] + head['bbox_pred']['bias']
    # Class after class, four numbers each.
    np.testing.assert_allclose(said.deltas, np.asarray(deltas).reshape(4, 3, 4), rtol=1e-4, atol=1e-5)
    assert said.logits.shape == (4, 4)


def test_sppnet_reads_each_region_at_the_scale_that_suits_it():
    scales = {'endpoint': 'conv2', 'levels': (2, 1), 'region': 40.0 * 40.0}
    module, variables, apply = compiled('sppnet', shortest=48.0, scales=(48.0, 96.0), **scales)
    said = apply(variables, IMAGES, BOXES, INDEX)
    _, _, at_one = compiled('sppnet', **scales)
    once = at_one(variables, IMAGES, BOXES, INDEX)
    # Areas of 572, 1400, 3072 and 266 pixels, or four times that, against 1600.
    is_large = np.array([True, False, False, True])
    np.testing.assert_allclose(said.logits[~is_large], once.logits[~is_large], atol=1e-5)
    assert np.abs(said.logits[is_large] - once.logits[is_large]).max() > 1e-3
    # By the paper's corner rule on the map of the larger image, whose cells lie two pixels apart from pixel 0.5 on.
    large = jax.jit(lambda x: jax.image.resize(x, (2, 96, 128, 3), 'linear'))(IMAGES)
    maps = trunk_of(module, variables, large)[1]['conv2']
    corners = 2 * (BOXES - np.float32([0, 0, 1, 1]))
    own = spatial_pyramid(maps[INDEX], corners[:, None], levels=(2, 1), stride=2, first_centre=0.5)
    np.testing.assert_allclose(said.pooled[is_large], own.reshape(4, -1)[is_large], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('name', 'sizes', 'message'),
    [
        ('rcnn', {'variant': 'XL'}, 'unknown variant'),
        ('rcnn', {'classifier': 'svms'}, "did you mean 'svm'"),
        ('sppnet', {'scales': (480.0,)}, 'relate to model.shortest=0'),
        ('sppnet', {'trunk': 'resnet', 'stem': 'cifar', 'depth': 8}, 'no map of stride 16'),
    ],
)
def test_what_does_not_go_together_is_refused(name, sizes, message):
    with pytest.raises(ValueError, match=message):
        detectors.create(name, num_classes=3, **sizes)

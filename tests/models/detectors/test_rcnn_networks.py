"""The nets of Fast and Faster R-CNN: published counts, what a trunk gives to a head, truncated dense layers."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import detectors
from cnn.models.detectors.fast_rcnn import truncated_svd
from cnn.models.detectors.roi_heads import RoIHead
from cnn.ops import resample
from tests.models.networks import count

KEY = jax.random.key(0)
# Parameters by the authors' prototxt files: fast-rcnn's test.prototxt and compressed/test.prototxt, py-faster-rcnn's
# end2end nets; COCO has four scales of anchors and 80 classes. R50-C4: 23,508,032 - 14,964,736 of conv5 in the trunk
# and the head, an RPN of 1024 x 512 x 9 + 512 + 512 x (18 + 36) + 54, a head of 2,048 x 105 + 105.
COUNTS = [
    ('fast_rcnn', 20, {'variant': 'S'}, 57_298_409),
    ('fast_rcnn', 20, {'variant': 'M'}, 86_333_161),
    ('fast_rcnn', 20, {'variant': 'L'}, 134_690_729),
    ('fast_rcnn', 20, {'variant': 'L', 'ranks': (1024, 256)}, 47_134_633),
    ('fast_rcnn', 20, {'variant': 'S', 'ranks': (1024, 256)}, 18_501_097),
    ('faster_rcnn', 20, {}, 137_078_239),
    ('faster_rcnn', 80, {'scales': (4, 8, 16, 32)}, 138_316_573),
    ('faster_rcnn', 20, {'variant': 'ZF'}, 59_294_751),
    ('faster_rcnn', 20, {'variant': 'M'}, 87_526_943),
    ('faster_rcnn', 20, {'variant': 'C4'}, 23_508_032 + 4_719_104 + 27_702 + 215_145),
]
TINY = {'trunk': 'vgg', 'trunk_variant': '11', 'stem': 'small', 'width': 0.05, 'endpoint': 'conv3', 'hidden': (8, 6)}


class Mean(nn.Module):
    """Of a region's bins."""

    def __call__(self, x, train):
        return x.mean((1, 2))


def shapes(module, size=64):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(functools.partial(module.init, train=False), KEY, images)['params']


@pytest.mark.parametrize(('name', 'classes', 'sizes', 'expected'), COUNTS)
def test_parameters_are_the_published_ones(name, classes, sizes, expected):
    assert count(shapes(detectors.create(name, num_classes=classes, **sizes))) == expected


def test_the_rpn_of_vgg16_has_as_many_as_the_release():
    assert count(shapes(detectors.create('faster_rcnn', num_classes=20))['rpn']) == 2_387_510


def test_every_region_gets_its_classes_and_boxes():
    module = detectors.create('faster_rcnn', num_classes=3, rpn_features=4, **TINY)
    boxes = jnp.zeros((2, 5, 4)).at[:, :, 2:].set(16.0)

    def apply(images):
        variables = module.init(KEY, images)
        return module.apply(variables, images, lambda judged: boxes)

    judged, logits, deltas = jax.eval_shape(apply, jnp.zeros((2, 32, 48, 3)))
    # conv3 of this VGG has a stride of 4, and there are nine anchors to a cell.
    assert judged.anchors.shape == (8 * 12 * 9, 4)
    assert judged.logits.shape == (2, 864, 2)
    assert judged.deltas.shape == (2, 864, 4)
    assert (logits.shape, deltas.shape) == ((2, 5, 4), (2, 5, 4, 4))


def test_what_lies_behind_the_endpoint_is_left_out():
    found = shapes(detectors.create('fast_rcnn', num_classes=3, **TINY))
    assert set(found['trunk']) == {'conv1_1', 'conv2_1', 'conv3_1', 'conv3_2'}
    found = shapes(detectors.create('fast_rcnn', num_classes=3, variant='C4'))
    assert {name[:5] for name in found['trunk']} == {'conv1', 'conv2', 'conv3', 'conv4', 'norm1'}
    assert set(found['head']['body']) == {'conv5_1', 'conv5_2', 'conv5_3'}


def test_an_offset_trunk_has_its_regions_in_place():
    # A head that averages one bin over a trunk whose cells know their columns: the region's centre comes out.
    stride, first = 4, 1.5
    columns = jnp.broadcast_to((first + 0.5 + stride * jnp.arange(16.0))[None, None, :, None], (1, 16, 16, 1))
    head = RoIHead(1, Mean(), 'align', 1, stride, first)
    variables = {'params': {'cls_score': {'kernel': jnp.ones((1, 2)), 'bias': jnp.zeros(2)},
                            'bbox_pred': {'kernel': jnp.zeros((1, 8)), 'bias': jnp.zeros(8)}}}  # fmt: skip
    logits, _ = head.apply(variables, columns, jnp.float32([[[10, 12, 30, 40], [21, 3, 26, 9]]]))
    np.testing.assert_allclose(logits[0, :, 0], [20, 23.5], rtol=1e-5)


@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_norms_keep_their_statistics_in_trunk_and_head(frozen):
    module = detectors.create(
        'fast_rcnn', num_classes=3, variant='C4', trunk='resnet', depth=18, width=2, pool_size=2, freeze_norm=frozen
    )
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)

    def step(images):
        variables = module.init(KEY, images)
        return variables['batch_stats'], module.apply(variables, images, train=True, mutable=['batch_stats'])[1]

    before, after = jax.jit(step)(images)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, after['batch_stats'])
    assert set(moved) == {'trunk', 'head'}
    assert set(jax.tree.leaves(moved)) == {not frozen}


def test_truncated_layers_are_the_best_of_their_rank():
    module = detectors.create('fast_rcnn', num_classes=3, **TINY)
    variables = jax.jit(module.init)(KEY, jnp.zeros((1, 32, 32, 3)))
    kernel = np.asarray(variables['params']['head']['body']['fc6']['kernel'])
    cut = truncated_svd(variables['params'], {'fc6': 3})
    body = cut['head']['body']
    assert set(body) == {'fc6_v', 'fc6_u', 'fc7'}
    product = np.asarray(body['fc6_v']['kernel'] @ body['fc6_u']['kernel'])
    # Eckart and Young: what is lost is the rest of the singular values.
    lost = np.linalg.svd(kernel, compute_uv=False)[3:]
    assert np.linalg.norm(kernel - product) == pytest.approx(np.sqrt((lost**2).sum()), rel=1e-4)
    # At full rank nothing is lost, and the network of these layers says what the whole one does.
    full = truncated_svd(variables['params'], {'fc6': 8, 'fc7': 6})
    other = detectors.create('fast_rcnn', num_classes=3, ranks=(8, 6), **TINY)
    images = jax.random.normal(KEY, (1, 32, 32, 3))
    logits, _ = jax.jit(module.apply)(variables, images)
    again, _ = jax.jit(other.apply)({'params': full}, images)
    np.testing.assert_allclose(logits, again, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'variant': 'XL'}, 'unknown variant'),
        ({'pooling': 'average'}, 'unknown pooling'),
        ({'head': 'stage'}, 'needs a resnet'),
        ({'endpoint': 'conv9'}, 'unknown endpoint'),
        ({'trunk': 'resnet', 'stem': 'cifar', 'depth': 8}, 'no map of stride 16'),
    ],
)
def test_what_does_not_go_together_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        detectors.create('fast_rcnn', num_classes=3, **sizes)


@pytest.mark.parametrize(('name', 'rank'), [('fc6', 9), ('fc8', 2)])
def test_ranks_that_a_layer_has_not_are_refused(name, rank):
    kernels = {'fc6': {'kernel': np.ones((20, 8)), 'bias': np.ones(8)}}
    with pytest.raises(ValueError, match='fc'):
        truncated_svd({'head': {'body': kernels}}, {name: rank})


def test_regions_are_read_at_the_scale_that_brings_them_nearest_to_their_size():
    sizes = TINY | {'dropout': 0.0}
    several = detectors.create('fast_rcnn', num_classes=3, shortest=32.0, scales=(16.0, 32.0), region=100.0, **sizes)
    one = detectors.create('fast_rcnn', num_classes=3, **sizes)
    images = np.random.default_rng(0).normal(size=(1, 32, 48, 3)).astype(np.float32)
    # 100 pixels; 400, which are 100 at half the scale; 225, nearer to 100 as 56 than as they are.
    boxes = np.float32([[[5, 5, 15, 15], [20, 8, 40, 28], [1, 2, 16, 17]]])

    def say(images, boxes):
        variables = one.init(KEY, images)
        half = resample.resize(images, height=16, width=24)
        alone = one.apply(variables, images, boxes)[0], one.apply(variables, half, boxes / 2)[0]
        both, learnt = (several.apply(variables, images, boxes, train=train)[0] for train in (False, True))
        return both, learnt, *alone

    both, learnt, whole, half = jax.jit(say)(images, boxes)
    np.testing.assert_allclose(both[0], [whole[0, 0], half[0, 1], half[0, 2]], rtol=1e-5, atol=1e-7)
    assert np.abs(whole - half).max() > 1e-5
    # Training sees images as they come.
    np.testing.assert_allclose(learnt, whole, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match=r'model\.scales=\(16.0,\) relate to model\.shortest=0'):
        detectors.create('fast_rcnn', num_classes=3, scales=(16.0,), **sizes)

"""A classifier's file gives Fast and Faster R-CNN their trunk and what the head was in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models, weights
from cnn.models import detectors

KEY = jax.random.key(0)
VGG = {'width': 0.02, 'norm': 'none'}


def made(shapes):
    """Distinct numbers in arrays of these shapes."""
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [rng.uniform(0.5, 1, leaf.shape).astype(np.float32) for leaf in leaves])


def shapes(module, size):
    return jax.eval_shape(lambda: module.init(KEY, jnp.zeros((1, size, size, 3))))


@pytest.mark.parametrize('name', ['fast_rcnn', 'faster_rcnn'])
@pytest.mark.parametrize('style', ['torchvision', 'timm', 'native'])
def test_a_vgg_gives_its_convolutions_and_dense_layers(tmp_path, name, style):
    source = models.create('vgg', num_classes=7, variant='11', **VGG)
    given = made(shapes(source, 32))
    weights.save(tmp_path / 'vgg.safetensors', source, given, style=style)
    module = detectors.create(name, num_classes=3, trunk='vgg', trunk_variant='11', endpoint='conv5', **VGG,
                              hidden=(81, 81))  # fmt: skip
    template = made(shapes(module, 32))
    found = weights.load(tmp_path / 'vgg.safetensors', module, template=template, replace_head=True)['params']
    for layer in ('conv1_1', 'conv5_2'):
        np.testing.assert_array_equal(found['trunk'][layer]['kernel'], given['params'][layer]['kernel'])
    for layer in ('fc6', 'fc7'):
        np.testing.assert_array_equal(found['head']['body'][layer]['kernel'], given['params'][layer]['kernel'])
    kept = template['params']['head']['cls_score']['kernel']
    np.testing.assert_array_equal(found['head']['cls_score']['kernel'], kept)


def test_a_resnet_gives_its_last_stage_to_the_head(tmp_path):
    source = models.create('resnet', num_classes=7, depth=18, width=4)
    given = made(shapes(source, 32))
    weights.save(tmp_path / 'resnet.pth', source, given)
    module = detectors.create('fast_rcnn', num_classes=3, variant='C4', trunk='resnet', depth=18, width=4)
    found = weights.load(
        tmp_path / 'resnet.pth', module, template=made(shapes(module, 32)), replace_head=True
    )
    for kind, leaf in (('params', 'scale'), ('batch_stats', 'var')):
        ours, theirs = found[kind]['head']['body'], given[kind]
        np.testing.assert_array_equal(ours['conv5_2']['norm1'][leaf], theirs['conv5_2']['norm1'][leaf])
        np.testing.assert_array_equal(found[kind]['trunk']['norm1'][leaf], theirs['norm1'][leaf])


def test_a_vgg_gives_rcnn_its_layers_and_a_trained_one_gives_them_to_others(tmp_path):
    source = models.create('vgg', num_classes=7, variant='11', **VGG)
    given = made(shapes(source, 32))
    weights.save(tmp_path / 'vgg.safetensors', source, given, style='torchvision')
    sizes = {'num_classes': 3, 'trunk': 'vgg', 'trunk_variant': '11', 'hidden': (81, 81), 'size': 224, **VGG}
    module = detectors.create('rcnn', **sizes)
    template = made(shapes(module, 32))
    found = weights.load(tmp_path / 'vgg.safetensors', module, template=template, replace_head=True)['params']
    np.testing.assert_array_equal(found['trunk']['conv5_2']['kernel'], given['params']['conv5_2']['kernel'])
    for layer in ('fc6', 'fc7'):
        np.testing.assert_array_equal(found['head']['body'][layer]['kernel'], given['params'][layer]['kernel'])
    for layer in ('cls_score', 'svm', 'bbox_pred'):
        kernel = template['params']['head'][layer]['kernel']
        np.testing.assert_array_equal(found['head'][layer]['kernel'], kernel)
    # A network of machines alone, from the whole one; and back, with a fresh softmax.
    weights.save(tmp_path / 'rcnn.safetensors', module, template, style='native')
    alone = detectors.create('rcnn', **sizes, classifier='svm', regress=False)
    shape = made(shapes(alone, 32))
    kept = weights.load(tmp_path / 'rcnn.safetensors', alone, template=shape)['params']
    assert set(kept['head']) == {'body', 'svm'}
    np.testing.assert_array_equal(kept['head']['svm']['kernel'], template['params']['head']['svm']['kernel'])
    weights.save(tmp_path / 'alone.safetensors', alone, shape, style='native')
    back = weights.load(tmp_path / 'alone.safetensors', module, template=template, replace_head=True)['params']
    np.testing.assert_array_equal(back['head']['svm']['kernel'], shape['params']['head']['svm']['kernel'])
    np.testing.assert_array_equal(
        back['head']['cls_score']['kernel'], template['params']['head']['cls_score']['kernel']
    )


def test_a_classifier_with_a_pyramid_gives_sppnet_its_dense_layers_too(tmp_path):
    source = models.create('zf', num_classes=7, variant='SPP', width=0.02)
    given = made(shapes(source, 64))
    weights.save(tmp_path / 'zf.safetensors', source, given, style='native')
    module = detectors.create('sppnet', num_classes=3, trunk='zf', width=0.02, endpoint='conv5', hidden=(81, 81))
    template = made(shapes(module, 64))
    found = weights.load(tmp_path / 'zf.safetensors', module, template=template, replace_head=True)['params']
    np.testing.assert_array_equal(found['trunk']['conv5']['kernel'], given['params']['conv5']['kernel'])
    for layer in ('fc6', 'fc7'):
        np.testing.assert_array_equal(found['head']['body'][layer]['kernel'], given['params'][layer]['kernel'])

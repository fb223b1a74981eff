"""FCNs from classifiers, from coarser stages, and under torchvision's names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn import models, weights
from cnn.weights import names
from cnn.weights.errors import MismatchedWeightsError

RESNET = {'depth': 8, 'stem': 'cifar', 'width': 4}
VGG = {'variant': '11', 'width': 1 / 64}


def variables_of(module, size=64, seed=0):
    """Random variables of a network."""
    rng = np.random.default_rng(seed)
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(0)}
    shapes = jax.eval_shape(lambda: module.init(keys, jnp.zeros((1, size, size, 3)), train=True))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), dict(shapes))


def fcn(**sizes):
    return models.create('fcn', num_classes=3, **sizes)


def flat(tree):
    return {'/'.join(path): np.asarray(leaf) for path, leaf in flatten_dict(dict(tree)).items()}


def test_torchvisions_fcn_has_its_names():
    # Written down from torchvision 0.29's fcn_resnet50(aux_loss=True).state_dict().
    module = fcn(trunk='resnet', depth=50, output_stride=8, head='conv', auxiliary=True, alignment='resize')
    shapes = jax.eval_shape(lambda: module.init({'params': jax.random.key(0)}, jnp.zeros((1, 64, 64, 3)), train=True))
    keys = {entry.key for entry in names.entries(module, shapes, 'torchvision')}
    assert {
        'backbone.conv1.weight', 'backbone.layer4.2.bn3.running_var', 'classifier.0.weight',
        'classifier.1.running_mean', 'classifier.4.weight', 'classifier.4.bias',
        'aux_classifier.0.weight', 'aux_classifier.4.bias',
    } <= keys  # fmt: skip


@pytest.mark.parametrize('style', ['torchvision', 'native'])
def test_a_classifier_becomes_the_trunk(tmp_path, style):
    classifier = models.create('resnet', num_classes=7, **RESNET)
    trained = variables_of(classifier)
    weights.save(tmp_path / 'w.pth', classifier, trained, style=style)
    module = fcn(trunk='resnet', variant='1s', **RESNET)
    fresh = variables_of(module, seed=1)
    with pytest.raises(MismatchedWeightsError, match=r'missing: .*score_fr'):
        weights.load(tmp_path / 'w.pth', module, template=fresh)
    loaded = weights.load(tmp_path / 'w.pth', module, template=fresh, replace_head=True)
    found, expected, kept = flat(loaded), flat(trained), flat(fresh)
    assert found.keys() == kept.keys()
    for name, leaf in found.items():
        collection, where, *rest = name.split('/')
        if where == 'trunk':
            np.testing.assert_array_equal(leaf, expected['/'.join([collection, *rest])], err_msg=name)
        else:
            np.testing.assert_array_equal(leaf, kept[name], err_msg=name)


@pytest.mark.parametrize('style', ['torchvision', 'timm'])
def test_vggs_dense_layers_become_convolutions(tmp_path, style):
    classifier = models.create('vgg', num_classes=7, **VGG)
    trained = variables_of(classifier, 224)
    weights.save(tmp_path / 'w.safetensors', classifier, trained, style=style)
    module = fcn(trunk='vgg', trunk_variant='11', width=1 / 64)
    loaded = weights.load(tmp_path / 'w.safetensors', module, replace_head=True)['params']
    np.testing.assert_array_equal(loaded['trunk']['conv3_2']['kernel'], trained['params']['conv3_2']['kernel'])
    dense = trained['params']['fc6']['kernel']
    np.testing.assert_array_equal(loaded['fc6']['kernel'], dense.reshape(7, 7, -1, dense.shape[1]))
    np.testing.assert_array_equal(loaded['fc7']['kernel'][0, 0], trained['params']['fc7']['kernel'])
    assert not np.any(loaded['score_fr']['kernel'])


def test_a_finer_stage_takes_over_what_the_coarser_has_learnt():
    sizes = {'trunk': 'resnet', 'upsampling': 'learnt', **RESNET}
    coarse, fine = fcn(variant='4s', **sizes), fcn(variant='2s', **sizes)
    trained, fresh = variables_of(coarse), variables_of(fine, seed=1)
    found = flat(weights.from_arrays(flat(trained), fine, template=fresh, replace_head=True))
    expected, kept = flat(trained), flat(fresh)
    assert {name for name in found if name not in expected} == {
        'params/score2/kernel', 'params/score2/bias', 'params/decoder/up4to2/kernel', 'params/decoder/up2to1/kernel',
    }  # fmt: skip
    for name, leaf in found.items():
        np.testing.assert_array_equal(leaf, expected.get(name, kept[name]), err_msg=name)


def test_the_shared_squeezenet_becomes_a_trunk(shared_data):
    path = next((shared_data / 'squeezenet11').glob('*.pkl'))
    module = fcn(trunk='squeezenet', variant='8s')
    loaded = weights.load(path, module, replace_head=True)['params']
    classifier = weights.load(path, models.create('squeezenet', num_classes=1000))['params']
    for name in ('conv1', 'fire9'):
        jax.tree.map(np.testing.assert_array_equal, loaded['trunk'][name], classifier[name])
    assert 'conv10' not in loaded['trunk']

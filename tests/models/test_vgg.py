"""VGG's two classifiers are one: the same numbers, the same logits, and a map of them on larger images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.models import layers, vgg
from configs import vgg as vgg_config

SIZES = {'num_classes': 3, 'variant': '11', 'width': 0.02}


@pytest.fixture(scope='module')
def dense():
    module = models.create('vgg', **SIZES)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = module.lazy_init(jax.random.key(0), images)
    # Deviations of 0.01 at two units a layer would leave nothing to compare.
    return module, jax.tree.map(lambda leaf: leaf * 3 + 0.05, variables)


def test_the_convolutional_classifier_gives_the_dense_ones_logits(dense):
    module, variables = dense
    convolutional = models.create('vgg', **SIZES, classifier='conv')
    images = jax.random.normal(jax.random.key(1), (1, 224, 224, 3))
    expected = jax.jit(module.apply)(variables, images)[0]
    converted = {'params': vgg.convert_classifier(variables['params'], 'conv')}
    logits, endpoints = jax.jit(convolutional.apply)(converted, images)
    assert endpoints['score'].shape == (1, 1, 1, 3)
    assert float(jnp.abs(expected).max()) > 0.01
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_conversion_there_and_back_keeps_every_number(dense):
    _, variables = dense
    params = variables['params']
    there = vgg.convert_classifier(params, 'conv')
    assert there['fc6']['kernel'].shape == (7, 7, params['conv5_2']['kernel'].shape[-1], 81)
    again = vgg.convert_classifier(there, 'conv')
    back = vgg.convert_classifier(there, 'dense')
    for a, b in ((there, again), (params, back)):
        assert jax.tree.all(jax.tree.map(np.array_equal, a, b))
    with pytest.raises(ValueError, match="did you mean 'dense'"):
        vgg.convert_classifier(params, 'denes')


def test_a_larger_image_gives_a_map_whose_mean_is_the_logits(dense):
    _, variables = dense
    convolutional = models.create('vgg', **SIZES, classifier='conv')
    converted = {'params': vgg.convert_classifier(variables['params'], 'conv')}
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 256, 288, 3)), jnp.float32)
    logits, endpoints = jax.jit(convolutional.apply)(converted, images)
    assert endpoints['score'].shape == (1, 2, 3, 3)
    np.testing.assert_allclose(logits, np.asarray(endpoints['score']).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(('letter', 'number'), [('A', '11'), ('B', '13'), ('D', '16'), ('e', '19'), ('c', 'C')])
def test_the_papers_letters_name_the_same_nets(letter, number):
    made = models.create('vgg', num_classes=2, variant=letter)
    assert made.stages == models.create('vgg', num_classes=2, variant=number).stages


def test_configuration_c_has_1x1_convolutions_third_in_its_last_stages():
    stages = models.create('vgg', num_classes=2, variant='C').stages
    assert [[kernel for _, kernel in stage] for stage in stages] == [[3, 3], [3, 3], [3, 3, 1], [3, 3, 1], [3, 3, 1]]
    assert [stage[0][0] for stage in stages] == [64, 128, 256, 512, 512]


def test_the_shallow_net_has_one_5x5_for_each_pair_of_3x3():
    stages = models.create('vgg', num_classes=2, variant='B5x5').stages
    assert stages == tuple(((features, 5),) for features in (64, 128, 256, 512, 512))
    module = models.create('vgg', num_classes=1000, variant='B5x5')
    shapes = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32))
    found = sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))
    # By hand: 25 taps between 3, 64, 128, 256, 512 and 512 channels, their biases, and every VGG's classifier.
    convolutions = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 512) + 64 + 128 + 256 + 512 + 512
    dense = 512 * 7 * 7 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
    assert found == convolutions + dense == 134_503_528


def test_images_without_seven_cells_are_refused_by_the_convolutional_classifier_and_read_by_the_dense_one():
    """Its mean over no cell at all would be NaN."""
    images = jax.ShapeDtypeStruct((1, 160, 160, 3), jnp.float32)
    convolutional = models.create('vgg', **SIZES, classifier='conv')
    with pytest.raises(ValueError, match="images of 160 x 160 have 5 x 5; take 224 pixels or more, or classifier='den"):
        jax.eval_shape(lambda x: convolutional.init(jax.random.key(0), x), images)
    assert vgg_config.get_config('dataset=imagenet2012,image_size=160').model.classifier == 'dense'
    assert vgg_config.get_config('dataset=imagenet2012').model.classifier == 'conv'


def test_response_normalisation_divides_by_more_than_a_constant():
    images = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    sizes = SIZES | {'width': 0.25, 'stem': 'small'}
    with_lrn, without = (models.create('vgg', **sizes, lrn=lrn) for lrn in (True, False))
    variables = without.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct(images.shape, images.dtype))
    run = {'capture_intermediates': lambda module, _: module.name == 'lrn1', 'mutable': 'intermediates'}
    _, found = with_lrn.apply(variables, images, **run)
    plain = jax.nn.relu(layers.Conv(16, 3, padding=1).apply({'params': variables['params']['conv1_1']}, images))
    normalised = found['intermediates']['lrn1']['__call__'][0]
    ratio = np.asarray(normalised[plain > 0.1] / plain[plain > 0.1])
    assert ratio.max() > 1.2 * ratio.min()

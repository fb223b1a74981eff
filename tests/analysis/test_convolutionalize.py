"""Classifiers as heat maps: the same logits at the native size, the logits of crops where nothing is padded."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.analysis.convolutionalize import cells, convolutionalize
from cnn.models.vgg import convert_classifier

# name, sizes, native side; each head and each stem once.
NETWORKS = {
    'resnet': ('resnet', {'depth': 8, 'stem': 'cifar', 'width': 4}, 32),
    'densenet': ('densenet', {'depth': 10, 'growth_rate': 4, 'stem': 'cifar'}, 32),
    'googlenet': ('googlenet', {'stem': 'small', 'width': 0.05, 'auxiliary': True}, 32),
    'squeezenet': ('squeezenet', {'stem': 'small', 'width': 0.4}, 32),
    'vgg': ('vgg', {'variant': '11', 'width': 0.02}, 224),
    'vgg-conv': ('vgg', {'variant': '11', 'width': 0.02, 'classifier': 'conv', 'batch_norm': True}, 224),
    'alexnet': ('alexnet', {'width': 0.05}, 227),
    'alexnet-torchvision': ('alexnet', {'width': 0.05, 'variant': 'torchvision'}, 224),
}


def shapes_of(module, size):
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(0)}
    return jax.eval_shape(lambda: module.init(keys, jnp.zeros((1, size, size, 3))))


def noisy(module, size, seed=0):
    """Variables of a network, far from zero everywhere, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    shapes = shapes_of(module, size)

    def value(path, leaf):
        name = path[-1].key
        if name == 'kernel':
            return rng.standard_normal(leaf.shape).astype(np.float32) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        if name in ('var', 'scale'):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return 0.1 * rng.standard_normal(leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(value, dict(shapes))


@functools.cache
def converted(case):
    name, sizes, size = NETWORKS[case]
    module = models.create(name, num_classes=5, **sizes)
    variables = noisy(module, size)
    return module, variables, *convolutionalize(module, variables, image_size=size), size


def images_of(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal((*shape, 3)).astype(np.float32)


def output(module, variables, images):
    return np.asarray(jax.jit(lambda v, x: module.apply(v, x)[0])(variables, images))


@pytest.mark.parametrize('case', NETWORKS)
def test_one_cell_has_the_classifiers_logits_at_the_native_size(case):
    module, variables, heat_map, heat_variables, size = converted(case)
    images = images_of(2, size, size)
    logits = output(module, variables, images)
    scores = output(heat_map, heat_variables, images)
    assert scores.shape == (2, 1, 1, 5)
    assert np.abs(logits - logits.mean(0)).max() > 1e-3
    np.testing.assert_allclose(scores[:, 0, 0], logits, rtol=1e-4, atol=1e-5 * np.abs(logits).max())


def test_every_cell_has_the_logits_of_its_crop_where_nothing_is_padded():
    """AlexNet without the padding of conv2 to conv5: a cell of the map is the classifier slid over the image."""
    module = models.create('alexnet', num_classes=5, width=0.05)
    sizes = {name: (*size[:3], 0) if name.startswith('conv') else size for name, size in module.sizes.items()}
    module = module.clone(sizes=sizes)
    size = native_side(sizes, cells=2)
    variables = noisy(module, size)
    heat_map, heat_variables = convolutionalize(module, variables, image_size=size)
    images = images_of(1, size + 64, size + 32)
    where = cells(heat_map, images.shape[1:])
    assert where.stride == (32, 32)
    assert where.shape == (3, 2)
    scores = output(heat_map, heat_variables, images)
    assert scores.shape[1:3] == where.shape
    crops = np.concatenate([
        images[:, 32 * i : 32 * i + where.window, 32 * j : 32 * j + where.window] for i in range(3) for j in range(2)
    ])  # fmt: skip
    logits = output(module, variables, crops)
    np.testing.assert_allclose(scores.reshape(-1, 5), logits, rtol=1e-4, atol=1e-5 * np.abs(logits).max())
    # The cell's receptive field is the middle of its crop.
    assert where.offset == ((size - 1) / 2, (size - 1) / 2)


def native_side(sizes, cells):
    """The image's side from which unpadded layers make `cells` cells without a rest, counted backwards."""
    side = cells
    for name, pooled in (('conv5', True), ('conv4', False), ('conv3', False), ('conv2', True), ('conv1', True)):
        side = (side - 1) * 2 + 3 if pooled else side
        _, kernel, stride, _ = sizes[name]
        side = (side - 1) * stride + kernel
    return side


def test_padding_makes_a_difference_as_documented():
    module, variables, heat_map, heat_variables, size = converted('alexnet')
    images = images_of(1, size + 32, size)
    scores = output(heat_map, heat_variables, images)[0, :, 0]
    crop = output(module, variables, images[:, 32 : 32 + size])[0]
    assert scores.shape == (2, 5)
    assert np.abs(scores[1] - crop).max() > 1e-3 * np.abs(crop).max()


@pytest.mark.parametrize('case', ['resnet', 'squeezenet'])
def test_a_window_of_one_cell_averages_to_the_logits_of_any_image(case):
    module, variables, _, _, size = converted(case)
    heat_map, heat_variables = convolutionalize(module, variables, image_size=size, window=1)
    images = images_of(1, size + 8, size + 16)
    scores = output(heat_map, heat_variables, images)
    assert scores.shape[1] > 1
    logits = output(module, variables, images)
    np.testing.assert_allclose(scores.mean((1, 2)), logits, rtol=1e-4, atol=1e-5)


def test_a_larger_image_is_what_vggs_own_dense_evaluation_averages():
    _, variables, heat_map, heat_variables, _ = converted('vgg')
    sizes = NETWORKS['vgg'][1]
    dense = models.create('vgg', num_classes=5, classifier='conv', **sizes)
    images = images_of(1, 256, 288)
    expected = output(dense, {'params': convert_classifier(variables['params'], 'conv')}, images)
    scores = output(heat_map, heat_variables, images)
    assert scores.shape[1:3] == (2, 3)
    np.testing.assert_allclose(scores.mean((1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_cells_of_published_networks():
    """VGG-16: stride 32, the first cell's field centred at 111.5: seven cells of 15.5, 47.5 ... averaged."""
    vgg = models.create('vgg', num_classes=10, variant='16')
    made = []
    jax.eval_shape(lambda v: made.append(convolutionalize(vgg, v)[0]), shapes_of(vgg, 224))
    assert cells(made[0], (288, 352, 3)) == ((3, 5), (32, 32), (111.5, 111.5), 224)


def test_a_size_that_does_not_fit_and_a_network_without_a_classifier_are_refused():
    module, variables, *_ = converted('vgg')
    with pytest.raises(ValueError, match='7 x 7 cells, but at image_size=288 its last map has 9 x 9'):
        convolutionalize(module, variables, image_size=288)
    with pytest.raises(ValueError, match='ResNet has no classifier'):
        convolutionalize(models.create('resnet', num_classes=0, depth=8, stem='cifar'), {'params': {'conv1': {}}})
    with pytest.raises(ValueError, match='train the classifier itself'):
        converted('vgg')[2].apply(converted('vgg')[3], jnp.zeros((1, 224, 224, 3)), train=True)

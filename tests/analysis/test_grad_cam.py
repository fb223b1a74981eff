"""Grad-CAM: equal to class activation mapping where theory says so, true to planted and to real evidence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models, weights
from cnn.analysis import grad_cam
from cnn.models import layers
from cnn.ops import augment
from input_pipeline import transforms
from tests.models.networks import TINY

LABELS = jnp.array([0, 2])


def network(case):
    """Of noise: the network's variables (nothing zero), logits, endpoints and heat map, all from one program."""
    name, sizes, size = TINY[case]
    module = models.create(name, num_classes=3, **sizes)
    images = np.asarray(jax.random.normal(jax.random.key(1), (2, size, size, 3)))
    variables = module.lazy_init({'params': jax.random.key(0)}, jax.ShapeDtypeStruct(images.shape, jnp.float32))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: np.asarray(x) + rng.uniform(0, 0.1, x.shape).astype(np.float32), variables)

    @jax.jit
    def run(variables, images):
        return *module.apply(variables, images), grad_cam.grad_cam(module, variables, images, LABELS)

    logits, endpoints, heat = jax.tree.map(np.asarray, run(variables, images))
    return variables, logits, endpoints, heat


@pytest.mark.parametrize(('case', 'last'), [('resnet', 'conv4'), ('googlenet', 'inception_5b')])
def test_it_is_class_activation_mapping_where_averages_are_classified_linearly(case, last):
    variables, logits, endpoints, heat = network(case)
    kernel, maps = variables['params']['fc']['kernel'], endpoints[last]
    # Zhou et al. 2016, equation 2; its mean over space is the logit without the bias.
    cam = np.einsum('bijk,kb->bij', maps, kernel[:, LABELS])
    score = logits[np.arange(2), LABELS] - variables['params']['fc']['bias'][LABELS]
    np.testing.assert_allclose(cam.mean((1, 2)), score, rtol=1e-4)
    expected = np.maximum(cam, 0) / maps[0, :, :, 0].size
    np.testing.assert_allclose(heat, expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_densenets_gradient_goes_through_its_last_norm():
    variables, _, endpoints, heat = network('densenet-bc')
    norm, stats = variables['params']['norm_last'], variables['batch_stats']['norm_last']
    slope = norm['scale'] / np.sqrt(stats['var'] + 1e-5)
    maps = endpoints['dense3']
    on = (maps - stats['mean']) * slope + norm['bias'] > 0
    kernel = variables['params']['fc']['kernel'][:, LABELS].T[:, None, None]
    weights_of_maps = (on * slope * kernel).mean((1, 2)) / maps[0, :, :, 0].size
    expected = np.maximum(np.einsum('bijk,bk->bij', maps, weights_of_maps), 0)
    np.testing.assert_allclose(heat, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('case', ['vgg-11', 'alexnet', 'squeezenet'])
def test_the_gradient_is_a_difference_quotient_through_any_classifier(case):
    """Where the head is no average: the score's change for a small step along each map, from the maps' own values."""
    variables, _, endpoints, heat = network(case)
    last = {'vgg-11': 'conv5', 'alexnet': 'conv5', 'squeezenet': 'fire9'}[case]
    maps = endpoints[last].astype(np.float64)
    params = variables['params']

    def head(x):
        """From the last maps to the scores, written out in NumPy."""
        if case == 'squeezenet':
            z = np.einsum('bijk,kc->bijc', x, params['conv10']['kernel'][0, 0]) + params['conv10']['bias']
            return np.maximum(z, 0).mean((1, 2))
        size = 2 if case == 'vgg-11' else 3
        cells = -(-(x.shape[1] - size) // 2) + 1
        windows = [[x[:, 2 * i : 2 * i + size, 2 * j : 2 * j + size].max((1, 2)) for j in range(cells)]
                   for i in range(cells)]  # fmt: skip
        x = np.stack([np.stack(row, 1) for row in windows], 1).reshape(len(x), -1)
        for name in ('fc6', 'fc7'):
            x = np.maximum(x @ params[name]['kernel'] + params[name]['bias'], 0)
        return x @ params['fc8']['kernel'] + params['fc8']['bias']

    def score(x):
        return head(x)[np.arange(2), LABELS]

    # The mean gradient of map k is the change when the whole map moves, over its cells.
    step, cells = 1e-7 * maps.max(), maps[0, :, :, 0].size
    slopes = np.stack([score(maps + step * np.eye(maps.shape[-1])[k]) for k in range(maps.shape[-1])], 1)
    slopes = (slopes - score(maps)[:, None]) / (step * cells)
    expected = np.maximum(np.einsum('bijk,bk->bij', maps, slopes), 0)
    assert expected.max() > 0
    np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-4 * np.abs(slopes).max() * maps.max())


class Finder(nn.Module):
    """Finds red for class 0 and blue for class 1: strided convolutions whose weights are set by hand."""

    @nn.compact
    def __call__(self, images, train=False):
        x = layers.Conv(2, 3, 2, 1, name='conv1')(images)
        x = nn.relu(layers.Conv(2, 3, 2, 1, name='conv2')(x))
        return layers.Dense(2, name='fc')(layers.global_avg_pool(x)), {'conv1': x, 'conv2': x}


def test_planted_evidence_is_found_to_the_cell():
    module = Finder()
    color = np.zeros((3, 3, 3, 2), np.float32)
    color[1, 1] = [[1, 0], [0, 0], [0, 1]]
    keep = np.zeros((3, 3, 2, 2), np.float32)
    keep[1, 1] = np.eye(2)
    zero = np.zeros(2, np.float32)
    variables = {'params': {
        'conv1': {'kernel': color, 'bias': zero}, 'conv2': {'kernel': keep, 'bias': zero},
        'fc': {'kernel': np.float32([[1, -1], [-1, 1]]), 'bias': zero},
    }}  # fmt: skip
    images = np.zeros((2, 40, 64, 3), np.float32)
    images[:, 8:13, 20:25, 0] = 1
    images[:, 28:33, 44:49, 2] = 1
    heat = np.asarray(grad_cam.grad_cam(module, variables, images, jnp.array([0, 1])))
    cells = grad_cam.grid(module, 'conv2', images.shape[1:])
    assert cells == ((0, 4), (0, 4))
    pixels = grad_cam.spread(heat, cells, 40, 64)
    for image, rows, columns in ((0, (8, 12), (20, 24)), (1, (28, 32), (44, 48))):
        warm = np.argwhere(pixels[image] > 0.999 * pixels[image].max())
        assert [warm.min(0).tolist(), warm.max(0).tolist()] == [[rows[0], columns[0]], [rows[1], columns[1]]]
        # The other colour speaks against, and is cut off.
        far = pixels[1 - image] * 0 + pixels[image]
        far[max(rows[0] - 4, 0) : rows[1] + 5, columns[0] - 4 : columns[1] + 5] = 0
        assert far.max() == 0


def test_two_animals_in_one_picture_are_told_apart(shared_data):
    module = models.create('squeezenet', num_classes=1000)
    variables = weights.load(shared_data / 'squeezenet11' / 'squeezenet_weights.pkl', module)
    pictures = np.empty((2, 227, 227, 3), np.uint8)
    for name, out in zip(('n01860187_black_swan', 'n02128925_jaguar'), pictures, strict=True):
        transforms.evaluate(227)((shared_data / 'imagenet100' / f'{name}.JPEG').read_bytes(), None, out)
    canvas = np.concatenate([pictures[0, :, 57:170], pictures[1, :, 57:171]], 1)
    images = augment.normalize(np.stack([canvas, canvas]), np.array([123, 117, 104]) / 255, np.full(3, 1 / 255))
    # Their places among ImageNet's classes.
    classes = jnp.array([100, 290])
    heat = np.asarray(jax.jit(lambda v, x: grad_cam.grad_cam(module, v, x, classes))(variables, images))
    pixels = grad_cam.spread(heat, grad_cam.grid(module, 'fire9', (227, 227, 3)), 227, 227)
    left = pixels[:, :, :113].sum((1, 2)) / pixels.sum((1, 2))
    assert left[0] > 0.7
    assert left[1] < 0.4
    peaks = [np.unravel_index(image.argmax(), image.shape)[1] for image in pixels]
    assert peaks[0] < 113 <= peaks[1]


def test_spreading_is_linear_between_centres_by_hand():
    heat = np.array([[0.0, 4.0], [8.0, 12.0]])
    pixels = grad_cam.spread(heat, ((1, 4), (0, 2)), 7, 4)
    np.testing.assert_allclose(pixels[:, 0], [0, 0, 2, 4, 6, 8, 8])
    np.testing.assert_allclose(pixels[0], [0, 2, 4, 4])
    assert grad_cam.spread(np.full((3, 1, 1), 5.0), ((0, 32), (0, 32)), 2, 3).tolist() == [[[5] * 3] * 2] * 3


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (('stem', 'conv2', 'conv5'), 'conv5'),
        (('conv5', 'pool5'), 'conv5'),
        (('conv5', 'pool5', 'fc6', 'score'), 'conv5'),
        (('pool1',), 'pool1'),
    ],
)
def test_the_last_convolution_is_chosen(names, expected):
    endpoints = {name: np.zeros((1, 2, 2, 3)) for name in names} | {'pre_logits': np.zeros((1, 4))}
    assert grad_cam.last_convolution(endpoints) == expected


def test_group_norm_sees_everything_and_still_has_a_place():
    name, sizes, size = TINY['resnet-group-norm']
    module = models.create(name, num_classes=3, **sizes)
    assert grad_cam.grid(module, 'conv4', (size, size, 3)) == ((0, 4), (0, 4))


def test_what_cannot_be_shown_is_said():
    images = np.zeros((2, 8, 8, 3), np.float32)
    variables = Finder().init(jax.random.key(0), images)
    with pytest.raises(ValueError, match="no map 'conv9'; there are conv1, conv2"):
        grad_cam.grad_cam(Finder(), variables, images, LABELS, endpoint='conv9')
    with pytest.raises(ValueError, match='no endpoint'):
        grad_cam.last_convolution({'logits': np.zeros((1, 4))})

    class Aside(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return x.mean((1, 2)), {'conv1': jnp.tanh(x)}

    with pytest.raises(ValueError, match="do not depend on the endpoint 'conv1'"):
        grad_cam.grad_cam(Aside(), {}, images, LABELS)

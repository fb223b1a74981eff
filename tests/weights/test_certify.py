"""The certificate names the layer at fault."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models, weights
from cnn.weights.certify import activations, summarise

GOLDEN = {'a': np.array([1.0, -2.0]), 'b': np.array([4.0]), 'c': np.zeros((0, 2))}


def test_relative_differences_by_hand():
    ours = {'b': np.array([4.2]), 'a': np.array([1.0, -2.0]), 'c': np.zeros((0, 2)), 'more': np.ones(3)}
    certificate = weights.certify(ours, GOLDEN, tolerance=0.01)
    assert [layer.name for layer in certificate.layers] == ['a', 'b', 'c']
    assert certificate.layers[1].absolute == pytest.approx(0.2)
    assert certificate.layers[1].relative == pytest.approx(0.05)
    assert certificate.first_divergent.name == 'b'
    assert not certificate.passed
    assert 'diverges first at b: relative 5.00e-02' in str(certificate)
    assert weights.certify(lambda: ours, GOLDEN, tolerance=0.06).passed


@pytest.mark.parametrize(
    'broken', [{'a': np.array([1.0, np.nan])}, {'a': np.ones(3)}, {'a': np.array([np.inf, -2])}, {}]
)
def test_what_cannot_be_compared_diverges(broken):
    ours = {key: value for key, value in GOLDEN.items() if key != 'a'} | broken
    assert weights.certify(ours, GOLDEN).first_divergent.name == 'a'


def test_nothing_compared_is_no_pass():
    assert not weights.certify(GOLDEN, {}).passed


def test_summary_by_hand():
    # 0 ... 14: mean 7, mean of squares 1015 / 15; every second value.
    summary = summarise(np.arange(15.0).reshape(1, 3, 5, 1))
    np.testing.assert_allclose(summary, [7, np.sqrt(1015 / 15), 0, 2, 4, 6, 8, 10, 12, 14])


def test_first_divergent_layer_of_a_network():
    model = models.create('resnet', num_classes=3, depth=8, stem='cifar', width=4)
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    golden = activations(model, variables, images, style='torchvision')
    # By hand for the first layer: a 3x3 convolution at its centre is a sum over the window.
    kernel = variables['params']['conv1']['kernel']
    np.testing.assert_allclose(
        golden['conv1'][0, 4, 4], jnp.einsum('hwi,hwio->o', images[0, 3:6, 3:6], kernel), rtol=1e-4, atol=1e-5
    )
    assert golden['output'].shape == (2, 3)
    broken = jax.tree.map(lambda x: x, variables)
    broken['params']['conv3_1']['norm1']['bias'] = broken['params']['conv3_1']['norm1']['bias'] + 0.01
    certificate = weights.certify(activations(model, broken, images, style='torchvision'), golden)
    assert certificate.first_divergent.name == 'layer2.0.bn1'
    assert weights.certify(golden, golden).passed
    assert 'conv3_1/conv1' in activations(model, variables, images)

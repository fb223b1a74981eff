"""ResNet's units against figure 4 of He et al. 2016, worked out by hand, and the details that papers leave open."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.models import layers
from cnn.models.resnet import Unit, subsample_and_pad
from configs import resnet as resnet_config
from tests.models.networks import shapes

# Convolutions that multiply by CONV[i] and norms that do gamma x + beta: a unit becomes arithmetic on one number.
CONV = {'conv1': 2.0, 'conv2': -0.5}
NORM = {'norm1': (1.5, -1.0), 'norm2': (0.5, 0.25)}


def relu(v):
    return np.maximum(v, 0)


def n1(v):
    return 1.5 * v - 1.0


def n2(v):
    return 0.5 * v + 0.25


# Figure 4, (a) to (e), read from top to bottom.
FIGURE_4 = {
    'original': lambda x: relu(x + n2(-0.5 * relu(n1(2 * x)))),
    'bn_after_add': lambda x: relu(n2(x - 0.5 * relu(n1(2 * x)))),
    'relu_before_add': lambda x: x + relu(n2(-0.5 * relu(n1(2 * x)))),
    'relu_only_preact': lambda x: x + n2(-0.5 * relu(n1(2 * relu(x)))),
    'full_preact': lambda x: x - 0.5 * relu(n2(2 * relu(n1(x)))),
}


def make_unit(**options):
    conv = partial(layers.Conv, use_bias=False)
    return Unit(1, conv, conv, conv, layers.make_norm('batch'), **options)


@pytest.mark.parametrize('order', FIGURE_4)
@pytest.mark.parametrize('residual', [True, False])
def test_each_order_is_the_figures(order, residual):
    x = np.linspace(-3, 3, 16).reshape(1, 4, 4, 1).astype(np.float32)
    unit = make_unit(order=order, residual=residual)
    # Running variance plus epsilon is one.
    statistics = {'mean': jnp.zeros(1), 'var': jnp.full(1, 1 - 1e-5)}
    params = {name: {'kernel': jnp.zeros((3, 3, 1, 1)).at[1, 1].set(v)} for name, v in CONV.items()}
    params |= {name: {'scale': jnp.full(1, g), 'bias': jnp.full(1, b)} for name, (g, b) in NORM.items()}
    y = unit.apply({'params': params, 'batch_stats': dict.fromkeys(NORM, statistics)}, x, False)
    if residual:
        np.testing.assert_allclose(y, FIGURE_4[order](x), rtol=1e-5, atol=1e-5)
    elif order == 'original':
        np.testing.assert_allclose(y, relu(n2(-0.5 * relu(n1(2 * x)))), rtol=1e-5, atol=1e-5)
    elif order == 'full_preact':
        np.testing.assert_allclose(y, -0.5 * relu(n2(2 * relu(n1(x)))), rtol=1e-5, atol=1e-5)


def test_shortcut_a_skips_pixels_and_pads_channels_on_both_sides():
    x = jnp.arange(2 * 5 * 4 * 2, dtype=jnp.float32).reshape(2, 5, 4, 2)
    y = subsample_and_pad(x, 2, 6)
    assert y.shape == (2, 3, 2, 6)
    np.testing.assert_array_equal(y[..., 2:4], x[:, ::2, ::2])
    assert not jnp.any(y[..., :2])
    assert not jnp.any(y[..., 4:])


def test_a_zero_gamma_starts_every_unit_as_its_shortcut():
    unit = make_unit(zero_init='norm')
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    variables = unit.init(jax.random.key(1), x, False)
    np.testing.assert_array_equal(unit.apply(variables, x, False), jax.nn.relu(x))
    usual = make_unit()
    assert jnp.any(usual.apply(usual.init(jax.random.key(1), x, False), x, False) != jax.nn.relu(x))


def test_without_norms_the_last_convolution_starts_at_zero_instead():
    module = models.create('resnet', num_classes=2, depth=8, stem='cifar', width=4, norm='none')
    params = module.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32))['params']
    units = [name for name in params if name.startswith('conv') and '_' in name]
    assert units == ['conv2_1', 'conv3_1', 'conv4_1']
    assert all(not jnp.any(params[u]['conv2']['kernel']) and jnp.any(params[u]['conv1']['kernel']) for u in units)


@pytest.mark.parametrize(('stride_on', 'reduced', 'spatial'), [('1x1', 4, 4), ('3x3', 8, 4)])
def test_the_bottleneck_strides_where_it_is_told(stride_on, reduced, spatial):
    module = models.create('resnet', num_classes=2, depth=50, width=8, stride_on=stride_on)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)

    def run(key, x):
        return module.init_with_output(key, x, capture_intermediates=True)[1]['intermediates']

    # conv3_1 reads 16 x 16 and gives 8 x 8; conv4_1 reads 8 x 8 and gives 4 x 4.
    unit = jax.eval_shape(run, jax.random.key(0), images)['conv4_1']
    assert unit['conv1']['__call__'][0].shape[1] == reduced
    assert unit['conv2']['__call__'][0].shape[1] == spatial


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_dilation_instead_of_stride_keeps_parameters_and_resolution(output_stride):
    module = models.create('resnet', num_classes=2, depth=50, width=8, output_stride=output_stride)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    (_, endpoints), variables = jax.eval_shape(module.init_with_output, jax.random.key(0), images)
    assert endpoints['conv5'].shape[1] == 64 // output_stride
    assert module.endpoint_strides['conv5'] == output_stride
    usual = shapes('resnet', num_classes=2, size=64, depth=50, width=8)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, usual)


@pytest.mark.parametrize(('zero_init', 'norm', 'zeros'), [
    ('auto', 'none', 'conv'), ('auto', 'batch', ''), ('true', 'batch', 'norm'), ('false', 'none', ''),
    (True, 'none', 'conv'),
])  # fmt: skip
def test_a_config_says_what_starts_at_zero_or_leaves_it_to_the_network(zero_init, norm, zeros):
    module = models.create('resnet', num_classes=2, depth=18, norm=norm, zero_init=zero_init)
    assert module.unit.keywords['zero_init'] == zeros
    assert resnet_config.get_config().model.zero_init == 'auto'

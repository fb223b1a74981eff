"""What every network promises, in every variant: shapes, finite numbers, gradients, true strides, a round trip."""

import functools

import flax
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from tests.models.networks import TINY

CLASSES = 3
# The others are no classifiers of images and have contracts of their own (test_forecaster.py, test_fcn.py).
OF_IMAGES = [name for name in models.names() if name not in ('fcn', 'forecaster')]


@functools.cache
def trained_once(case):
    """The network, its variables, and one training step's logits, endpoints, gradients and statistics."""
    name, sizes, size = TINY[case]
    options = sizes if name in ('resnet', 'darknet') else {'dropout': 0.0} | sizes
    module = models.create(name, num_classes=CLASSES, **options)
    images = jax.random.normal(jax.random.key(1), (2, size, size, 3))
    variables = module.lazy_init(
        {'params': jax.random.key(0)}, jax.ShapeDtypeStruct(images.shape, images.dtype), train=False
    )
    # Zero-initialised layers would hide a missing gradient behind them. NumPy throughout: JAX would compile every
    # operation anew for every shape.
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.01), variables['params'])
    rest = {k: jax.tree.map(np.asarray, v) for k, v in variables.items() if k != 'params'}

    def loss(params):
        (logits, endpoints), state = module.apply(
            {'params': params, **rest}, images, train=True, mutable=['batch_stats'], rngs={'dropout': jax.random.key(2)}
        )
        heads = [v for k, v in endpoints.items() if k.endswith('_logits') and k != 'pre_logits']
        return sum(jnp.square(head - 1).sum() for head in [logits, *heads]), (logits, endpoints, state)

    results = jax.jit(jax.grad(loss, has_aux=True))(params)
    grads, (logits, endpoints, state) = jax.tree.map(np.asarray, results)
    return module, {'params': params, **rest}, images, logits, endpoints, grads, state


@pytest.mark.parametrize('case', TINY)
def test_logits_are_finite_float32_of_the_right_shape(case):
    _, _, images, logits, endpoints, _, _ = trained_once(case)
    assert logits.shape == (len(images), CLASSES)
    assert logits.dtype == np.float32
    assert all(np.isfinite(leaf).all() for leaf in endpoints.values())
    np.testing.assert_array_equal(endpoints['logits'], logits)
    assert endpoints['pre_logits'].ndim == 2


@pytest.mark.parametrize('case', TINY)
def test_every_parameter_gets_a_gradient(case):
    _, _, _, _, _, grads, _ = trained_once(case)
    dead = [path for path, grad in flax.traverse_util.flatten_dict(grads, sep='/').items() if not np.any(grad)]
    assert dead == []
    assert all(np.isfinite(grad).all() for grad in jax.tree.leaves(grads))


@pytest.mark.parametrize('case', TINY)
def test_training_moves_exactly_the_running_statistics(case):
    _, variables, _, _, _, _, state = trained_once(case)
    assert state.keys() == variables.keys() - {'params'}
    assert jax.tree.structure(dict(state)) == jax.tree.structure({k: v for k, v in variables.items() if k != 'params'})
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), dict(state), {k: variables[k] for k in state})
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize('case', TINY)
def test_declared_strides_are_the_endpoints_own(case):
    """Endpoints of a taller image are taller by exactly the difference in pixels over the stride."""
    module, _, images, _, endpoints, _, _ = trained_once(case)
    spatial = {name for name, leaf in endpoints.items() if leaf.ndim == 4}
    assert set(module.endpoint_strides) == spatial
    step = max(module.endpoint_strides.values()) * 4
    _, height, width, _ = images.shape
    taller = jax.ShapeDtypeStruct((1, height + step, width, 3), jnp.float32)
    # Dense classifiers are sized by the image, so the taller image gets variables of its own.
    run = functools.partial(module.init_with_output, {'params': jax.random.key(0)}, train=False)
    large = jax.eval_shape(run, taller)[0][1]
    for name, stride in module.endpoint_strides.items():
        assert (large[name].shape[1] - endpoints[name].shape[1]) * stride == step, name
        assert large[name].shape[2] == endpoints[name].shape[2], name


@pytest.mark.parametrize('case', TINY)
def test_variables_survive_a_round_trip_through_bytes(case):
    _, variables, _, _, _, _, _ = trained_once(case)
    template = jax.tree.map(np.zeros_like, variables)
    restored = flax.serialization.from_bytes(template, flax.serialization.to_bytes(variables))
    assert jax.tree.structure(restored) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), restored, variables))
    assert jax.tree.all(jax.tree.map(lambda a: a.dtype == np.float32, variables))


@pytest.mark.parametrize('name', OF_IMAGES)
def test_bfloat16_computes_in_bfloat16_beside_float32_parameters(name):
    case = next(case for case, (network, _, _) in TINY.items() if network == name)
    _, sizes, size = TINY[case]
    module = models.create(name, num_classes=CLASSES, dtype=jnp.bfloat16, **sizes)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.bfloat16)
    run = functools.partial(module.init_with_output, train=False)
    (logits, endpoints), variables = jax.eval_shape(run, jax.random.key(0), images)
    assert logits.dtype == jnp.float32
    assert {endpoints[e].dtype for e in module.endpoint_strides} == {jnp.dtype(jnp.bfloat16)}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_networks_are_found_by_name():
    known = ['alexnet', 'darknet', 'densenet', 'fcn', 'forecaster', 'googlenet', 'resnet', 'squeezenet', 'vgg', 'zf']
    assert models.names() == known


@pytest.mark.parametrize(
    ('name', 'sizes', 'message'),
    [
        ('resnt', {}, "unknown network 'resnt'; did you mean 'resnet'"),
        ('resnet', {'dept': 18}, "resnet has no size 'dept'; did you mean 'depth'"),
        ('resnet', {'depth': 35}, 'the nearest are 34 and 50'),
        ('resnet', {'depth': 21, 'stem': 'cifar'}, 'not 6n [+] 2 .*; the nearest are 20 and 26'),
        ('resnet', {'depth': 1, 'stem': 'cifar'}, 'the nearest are 8 and 14'),
        ('resnet', {'order': 'full_preactt'}, "did you mean 'full_preact'"),
        ('resnet', {'shortcut': 'D'}, "unknown resnet shortcut 'D'"),
        ('resnet', {'zero_init': True, 'residual': False}, 'would silence'),
        ('resnet', {'norm': 'bach'}, "unknown norm 'bach'; did you mean 'batch'"),
        ('resnet', {'conv': 'dilatd'}, "unknown convolution 'dilatd'; did you mean 'dilated'"),
        ('alexnet', {'towers': 3}, '1 or 2 towers, not 3'),
        ('alexnet', {'lrn': 'cafe'}, "did you mean 'caffe'"),
        ('vgg', {'variant': '17'}, "unknown vgg variant '17'"),
        ('vgg', {'classifier': 'dens'}, "did you mean 'dense'"),
        ('googlenet', {'variant': 'papr'}, "did you mean 'paper'"),
        ('squeezenet', {'variant': '1.2'}, "unknown squeezenet variant '1.2'; did you mean '1.1'"),
        ('densenet', {'depth': 120}, 'the nearest are 121 and 161'),
        ('densenet', {'depth': 41, 'stem': 'cifar'}, 'the nearest are 40 and 46'),
        ('densenet', {'bottleneck': False}, "is for stem='cifar'"),
    ],
)
def test_a_wrong_size_is_one_line_that_names_the_nearest_right_one(name, sizes, message):
    with pytest.raises(ValueError, match=message) as error:
        models.create(name, num_classes=CLASSES, **sizes)
    assert '\n' not in str(error.value)

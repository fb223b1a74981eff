"""First values: their moments and bounds, and that they depend on the key and the shape alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import initializers

SHAPE = (3, 3, 40, 80)  # fan-in 360, fan-out 720

DEVIATIONS = {
    'he_fan_in': (initializers.he_fan_in, (2 / 360) ** 0.5),
    'he_fan_out': (initializers.he_fan_out, (2 / 720) ** 0.5),
    'caffe_xavier': (initializers.caffe_xavier, (1 / 360) ** 0.5),
    'torch_uniform': (initializers.torch_uniform, (1 / (3 * 360)) ** 0.5),
    'normal': (initializers.normal(0.01), 0.01),
}


@pytest.mark.parametrize('name', DEVIATIONS)
def test_mean_and_deviation_are_those_of_the_rule(name):
    initializer, deviation = DEVIATIONS[name]
    values = np.asarray(initializer(jax.random.key(0), SHAPE))
    assert values.shape == SHAPE
    assert values.dtype == np.float32
    # 28,800 draws: four standard errors of the mean, and of the deviation.
    assert abs(values.mean()) < 4 * deviation / values.size**0.5
    assert values.std() == pytest.approx(deviation, rel=4 / (2 * values.size) ** 0.5)


@pytest.mark.parametrize(('name', 'bound'), [('torch_uniform', 360**-0.5), ('caffe_xavier', (3 / 360) ** 0.5)])
def test_uniform_rules_keep_their_bounds_and_fill_them(name, bound):
    values = np.asarray(DEVIATIONS[name][0](jax.random.key(1), SHAPE))
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound


def test_pytorchs_default_bounds_the_bias_by_the_fan_in_too():
    bias = np.asarray(initializers.torch_default(360)['bias_init'](jax.random.key(2), (1000,)))
    assert np.abs(bias).max() <= 360**-0.5
    assert np.abs(bias).max() > 0.95 * 360**-0.5


def test_values_are_the_same_inside_jit_and_vmap():
    keys = jax.random.split(jax.random.key(3), 3)
    eager = np.stack([initializers.he_fan_in(key, (2, 2, 3, 4)) for key in keys])
    jitted = np.stack([jax.jit(lambda k: initializers.he_fan_in(k, (2, 2, 3, 4)))(key) for key in keys])
    mapped = jax.jit(jax.vmap(lambda k: initializers.he_fan_in(k, (2, 2, 3, 4))))(keys)
    np.testing.assert_array_equal(eager, jitted)
    np.testing.assert_array_equal(eager, mapped)


def test_values_depend_on_the_key_and_take_old_style_keys():
    draw = initializers.normal(1.0)
    a, b = draw(jax.random.key(4), (50,)), draw(jax.random.key(5), (50,))
    assert not np.any(np.asarray(a) == np.asarray(b))
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(4), (50,)), a)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.5


def test_shapes_are_found_without_drawing():
    made = jax.eval_shape(lambda k: initializers.he_fan_out(k, (7, 7, 3, 64), jnp.bfloat16), jax.random.key(0))
    assert made.shape == (7, 7, 3, 64)
    assert made.dtype == jnp.bfloat16

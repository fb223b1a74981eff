"""What keeps XLA:CPU from computing a value again changes neither the value nor its gradients."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import backend


@pytest.mark.parametrize('keep', [backend.once, backend.stored])
@pytest.mark.parametrize('first', [0.5, np.nan, np.inf, -0.0])
def test_identity_of_any_number(keep, first):
    x = np.array([[first, -np.inf], [np.nan, 3.0]], np.float32)
    np.testing.assert_array_equal(jax.jit(keep)(x), x)
    np.testing.assert_array_equal(jax.vmap(keep)(x), x)


@pytest.mark.parametrize('keep', [backend.once, backend.stored])
def test_both_derivatives_of_a_cube(keep):
    def cube(x):
        return (keep(x) ** 3).sum()

    x = jnp.array([1.0, -2.0])
    np.testing.assert_allclose(jax.grad(cube)(x), [3.0, 12.0])
    np.testing.assert_allclose(jax.grad(lambda x: jax.grad(cube)(x).sum())(x), [6.0, -12.0])


def test_a_stored_value_is_computed_once():
    """Counts the compiled program's loops over all of `x` that take absolute values."""

    def loops(keep):
        def readers(x):
            y = keep(jnp.abs(x) * 3.0)
            return jnp.flip(y, 0) + jnp.roll(y, 1), jnp.flip(y, 1)

        text = jax.jit(readers).lower(jnp.ones((64, 64))).compile().as_text()
        return sum(' abs(' in loop and bool(re.search(r'ROOT \S+ = f32\[64,64\]', loop)) for loop in text.split('\n\n'))

    assert loops(lambda y: y) > 1
    assert loops(backend.stored) == 1


def test_options_are_known_to_this_compiler():
    options = backend.compiler_options()
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2
    assert set(options) <= {'xla_cpu_prefer_vector_width'}

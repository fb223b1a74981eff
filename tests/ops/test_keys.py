"""Key derivation: streams are apart, rows are independent, numbers are uniform and normal."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from cnn.ops import keys

uniforms, normals = (jax.jit(f, static_argnames='count') for f in (keys.uniforms, keys.normals))
KEY = jax.random.key(0)


def test_streams_differ_by_name_and_repeat_by_name():
    data = [tuple(np.asarray(jax.random.key_data(keys.stream(KEY, n)))) for n in ('crop', 'flip', 'mixing', 'dropout')]
    assert len(set(data)) == 4
    assert data[0] == tuple(np.asarray(jax.random.key_data(keys.stream(KEY, 'crop'))))


def test_numbers_of_a_row_do_not_depend_on_its_neighbours():
    whole = np.asarray(uniforms(KEY, jnp.arange(50, dtype=jnp.int32), 3))
    np.testing.assert_array_equal(whole[[41, 5]], uniforms(KEY, jnp.array([41, 5], jnp.int32), 3))
    assert len(np.unique(whole)) == 150


def test_distributions():
    row = jnp.arange(1500, dtype=jnp.int32)
    assert stats.kstest(np.asarray(uniforms(KEY, row, 2)).ravel(), 'uniform').pvalue > 0.01
    assert stats.kstest(np.asarray(normals(KEY, row, 2)).ravel(), 'norm').pvalue > 0.01


def test_raw_keys_work_as_typed_ones():
    raw = jax.random.PRNGKey(0)
    np.testing.assert_array_equal(uniforms(raw, jnp.arange(3), 2), uniforms(KEY, jnp.arange(3), 2))

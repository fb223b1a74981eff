"""Recomputed statistics against means and variances of the whole set, layer input by layer input."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn.models import layers
from cnn.training import statistics
from tests import tiny


def test_the_first_layer_gets_the_statistics_of_the_whole_set():
    task = tiny.task()
    variables = tiny.variables(task)
    everything = tiny.batch(20)
    parts = [{name: value[a:b] for name, value in everything.items()} for a, b in ((0, 8), (8, 16), (16, 20))]
    stem = statistics.recompute(task, variables, parts)['batch_stats']['norm1']
    images = ((everything['image'] / np.float32(255) - 0.5) / 0.25).astype(np.float32)
    outputs = np.asarray(
        jax.lax.conv_general_dilated(
            images, variables['params']['conv1']['kernel'], (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        ),
        np.float64,
    )
    np.testing.assert_allclose(stem['mean'], outputs.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    # Each batch's variance divides by n - 1 of its own n = 8 x 64 or 4 x 64.
    np.testing.assert_allclose(stem['var'], outputs.var((0, 1, 2)), rtol=4e-3)


def test_parameters_stay_and_nothing_to_recompute_is_no_error():
    task = tiny.task()
    variables = tiny.variables(task)
    new = statistics.recompute(task, variables, [tiny.batch(4)])
    jax.tree.map(np.testing.assert_array_equal, new['params'], variables['params'])
    plain = tiny.task(norm='group')
    unchanged = tiny.variables(plain)
    assert statistics.recompute(plain, unchanged, [tiny.batch(4)]) is unchanged


def test_no_batches_is_an_error():
    task = tiny.task()
    with pytest.raises(ValueError, match='over no batches'):
        statistics.recompute(task, tiny.variables(task), [])


def test_norms_that_do_not_move_keep_their_statistics():
    task = tiny.task()
    variables = tiny.variables(task)
    kept = jax.tree.map(lambda x: x + 0.5, variables['batch_stats'])
    with layers.still({tuple(path[:-1]) for path in flatten_dict(kept)}):
        new = statistics.recompute(task, {**variables, 'batch_stats': kept}, [tiny.batch(4), tiny.batch(4)])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new['batch_stats'], kept)

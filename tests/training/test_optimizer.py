"""Optimizers against NumPy written from their papers; schedules against hand calculation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.training import optimizer
from configs import common


def section(**changes):
    base = common.base(common.parse_arg(''), model={}).optimizer
    base.update(changes)
    return base


KERNEL, BIAS = [[1.0, -2.0], [3.0, 0.5]], [0.5, -1.0]
PARAMS = {'conv': {'kernel': np.array(KERNEL, np.float32), 'bias': np.array(BIAS, np.float32)}}
GRADS = [jax.tree.map(lambda p, s=s: np.cos(p + s).astype(np.float32), PARAMS) for s in range(3)]


def descend(made, params=None):
    params = jax.tree.map(jnp.asarray, params or PARAMS)
    state = made.init(params)
    for grads in GRADS:
        updates, state = made.update(jax.tree.map(jnp.asarray, grads), state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('decay_vectors', [False, True])
def test_sgd_adds_l2_to_the_gradient_before_the_momentum(nesterov, decay_vectors):
    options = section(weight_decay=0.1, nesterov=nesterov, decay_vectors=decay_vectors)
    got = descend(optimizer.create(options, lambda s: 0.05))
    for name, decays in (('kernel', True), ('bias', decay_vectors)):
        p, v = PARAMS['conv'][name].astype(np.float64), 0.0
        for grads in GRADS:
            g = grads['conv'][name] + (0.1 * p if decays else 0)
            v = 0.9 * v + g
            p = p - 0.05 * (g + 0.9 * v if nesterov else v)
        np.testing.assert_allclose(got['conv'][name], p, rtol=1e-6)


def test_adamw_decouples_the_decay():
    got = descend(optimizer.create(section(name='adamw', weight_decay=0.1), lambda s: 0.01))
    p, m, v = PARAMS['conv']['kernel'].astype(np.float64), 0.0, 0.0
    for t, grads in enumerate(GRADS, 1):
        g = grads['conv']['kernel']
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - 0.01 * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + 0.1 * p)
    np.testing.assert_allclose(got['conv']['kernel'], p, rtol=1e-5)


def test_lars_scales_each_matrix_by_its_trust_ratio_and_leaves_vectors():
    grads = GRADS[0]
    made = optimizer.create(section(name='lars', weight_decay=0.0, momentum=0.0), lambda s: 1.0)
    params = jax.tree.map(jnp.asarray, PARAMS)
    updates, _ = made.update(jax.tree.map(jnp.asarray, grads), made.init(params), params)
    w, g = PARAMS['conv']['kernel'], grads['conv']['kernel']
    # eta = 0.001, You et al. 2017, section 4.
    np.testing.assert_allclose(updates['conv']['kernel'], -0.001 * np.linalg.norm(w) / np.linalg.norm(g) * g, rtol=1e-5)
    np.testing.assert_allclose(updates['conv']['bias'], -grads['conv']['bias'], rtol=1e-6)


def test_clipping_bounds_the_global_norm():
    made = optimizer.create(section(clip_norm=0.5, momentum=0.0, weight_decay=0.0), lambda s: 1.0)
    updates, _ = made.update(GRADS[0], made.init(PARAMS), PARAMS)
    assert np.sqrt(sum(np.sum(np.square(u)) for u in jax.tree.leaves(updates))) == pytest.approx(0.5, rel=1e-5)


def test_rates_slow_parameters_by_path_and_later_patterns_win():
    made = optimizer.create(section(momentum=0.0, weight_decay=0.0, rates='conv=0.5,bias=0.1'), lambda s: 1.0)
    updates, _ = made.update(GRADS[0], made.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates['conv']['kernel'], -0.5 * GRADS[0]['conv']['kernel'], rtol=1e-6)
    np.testing.assert_allclose(updates['conv']['bias'], -0.1 * GRADS[0]['conv']['bias'], rtol=1e-6)
    with pytest.raises(ValueError, match="'conv' is not PATTERN=FACTOR"):
        optimizer.parse_rates('conv')
    wrong = optimizer.create(section(rates='fcc=0.1'), lambda s: 1.0)
    with pytest.raises(ValueError, match=r"optimizer\.rates='fcc' matches no parameter"):
        wrong.update(GRADS[0], wrong.init(PARAMS), PARAMS)


def rates(steps, total=100, per_epoch=10.0, **changes):
    base = common.base(common.parse_arg(''), model={}).schedule
    base.update(changes)
    made = optimizer.schedule(base, 0.4, total, per_epoch)
    return [float(made(s)) for s in steps]


def test_schedules_by_hand():
    assert rates([0, 99], name='constant') == pytest.approx([0.4, 0.4])
    got = rates([19, 20, 49, 50], name='step', milestones=(2.0, 5.0), factor=0.1)
    assert got == pytest.approx([0.4, 0.04, 0.04, 0.004])
    assert rates([0, 50, 100], name='cosine', final_fraction=0.1) == pytest.approx([0.4, 0.4 * 0.55, 0.04])
    got = rates([0, 9, 10, 25], name='exponential', factor=0.5, decay_epochs=1.0)
    assert got == pytest.approx([0.4, 0.4, 0.2, 0.1])


def test_warm_up_rises_linearly_from_the_first_step_and_milestones_count_from_the_start():
    assert rates([0, 4, 9, 10], name='constant', warmup_epochs=1.0) == pytest.approx([0.04, 0.2, 0.4, 0.4])
    got = rates([9, 19, 20], name='step', warmup_epochs=1.0, milestones=(2.0,), factor=0.1)
    assert got == pytest.approx([0.4, 0.4, 0.04])
    assert rates([10, 55, 100], name='cosine', warmup_epochs=1.0) == pytest.approx([0.4, 0.2, 0.0], abs=1e-7)


def test_partition_and_combine_are_inverse():
    frozen = {'conv': {'kernel': True, 'bias': False}}
    trainable, fixed = optimizer.partition(PARAMS, frozen)
    assert [leaf.shape for leaf in jax.tree.leaves(trainable)] == [(2,)]
    jax.tree.map(np.testing.assert_array_equal, optimizer.combine(trainable, fixed), PARAMS)


def test_paths_read_as_the_parameters_are_named():
    paths = [optimizer.path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(PARAMS)]
    assert paths == ['conv/bias', 'conv/kernel']

"""Members: several models in one program have the numbers that each has alone, whichever way they share devices."""

import jax
import numpy as np
import optax
import pytest

from cnn.training import optimizer as optimizers
from cnn.training import step as steps
from cnn.training.members import Members
from cnn.training.parallel import Replicas
from tests import tiny

RATES = (0.3, 0.1, 0.02)


def start(seed):
    task, variables = tiny.task(), tiny.variables(tiny.task(), seed)
    false = jax.tree.map(lambda _: False, variables)
    frozen, frozen_state = false['params'], {'batch_stats': false['batch_stats']}
    metrics = steps.zero_metrics(task, variables, tiny.batch(8), jax.random.key(0))
    state = steps.create_state(variables, optax.sgd(lambda _: 0.1, momentum=0.9), frozen, False, metrics)

    def one(state, resident, batch, key, rate):
        transform = optax.sgd(lambda _: rate, momentum=0.9)
        step = steps.train_step(task, transform, frozen=frozen, frozen_state=frozen_state)
        return step(state, resident, batch, jax.random.wrap_key_data(key))

    return jax.tree.map(np.asarray, state), one


def data(member):
    return [tiny.batch(8, 10 * member + i) for i in range(4)]


def key(member):
    return np.asarray(jax.random.key_data(jax.random.key(member)))


def alone(member):
    """The state of one model after four steps, trained by itself."""
    replicas = Replicas(1)
    state, one = start(member)
    compiled = replicas.compile(one, batched=(2,), arguments=5)
    state = replicas.place(state)
    for batch in data(member):
        state = compiled(state, {}, replicas.shard(batch), key(member), np.float32(RATES[member]))
    return replicas.to_host(state)


@pytest.mark.parametrize(('devices', 'form'), [(1, 'vmap'), (1, 'unrolled'), (2, 'unrolled'), (3, 'vmap')])
def test_each_member_has_the_numbers_of_the_model_trained_alone(devices, form):
    members = Members(3, device_count=devices, form=form)
    states, ones = zip(*(start(e) for e in range(3)), strict=True)
    compiled = members.compile(ones[0], batched=(2,), arguments=5, donate=(0,), shared=(1,))
    state = members.place(jax.tree.map(lambda *x: np.stack(x), *states))
    given = members.place((np.stack([key(e) for e in range(3)]), np.array(RATES, np.float32)))
    for batches in zip(*(data(e) for e in range(3)), strict=True):
        batch = jax.tree.map(lambda *x: np.stack(x), *batches)
        state = compiled(state, members.replicate({}), members.shard(batch), *given)
    state = members.to_host(state)
    assert state.step.tolist() == [4, 4, 4]
    for e in range(3):
        expected = alone(e)
        jax.tree.map(lambda x, y, e=e: np.testing.assert_allclose(x[e], y, atol=1e-5, rtol=1e-5), state, expected)


def test_members_share_resident_data_and_take_several_steps_to_a_dispatch():
    members = Members(2, device_count=2)
    resident = members.replicate({'x': np.arange(10, dtype=np.float32)})

    def run(state, resident, batches, count):
        return state + resident['x'][batches['index']].sum() * count

    compiled = members.compile(run, batched=(2,), arguments=4, shared=(1, 3))
    # Three steps of two rows for each of two members.
    batches = [{'index': np.array([[0, 1], [8, 9]])}, {'index': np.array([[2, 3], [6, 7]])}]
    stacked = jax.tree.map(lambda *x: np.stack(x), *batches)
    state = compiled(members.place(np.zeros(2, np.float32)), resident, members.shard_steps(stacked), np.int32(1))
    assert members.to_host(state).tolist() == [0 + 1 + 2 + 3, 8 + 9 + 6 + 7]


def test_settings_given_as_arrays_train_as_those_of_the_config():
    section = type('Section', (), {})()
    options = {'name': 'sgd', 'momentum': 0.8, 'nesterov': False, 'weight_decay': 0.05, 'decay_vectors': True,
               'clip_norm': 0.0, 'rates': ''}  # fmt: skip
    for name, value in options.items():
        setattr(section, name, value)
    given = {'optimizer.weight_decay': np.float32(0.05), 'optimizer.momentum': np.float32(0.8)}
    params, grads = {'w': np.ones((2, 2), np.float32)}, {'w': np.full((2, 2), 0.5, np.float32)}
    found = []
    for traced in ({}, given):
        transform = optimizers.create(section, lambda _: 0.1, traced)
        state, values = transform.init(params), params
        for _ in range(3):
            updates, state = transform.update(grads, state, values)
            values = optax.apply_updates(values, updates)
        found.append(values['w'])
    # By hand, the first step: 1 - 0.1 (0.5 + 0.05).
    updates, _ = optimizers.create(section, lambda _: 0.1, given).update(
        grads, optimizers.create(section, lambda _: 0.1, given).init(params), params
    )
    np.testing.assert_allclose(updates['w'], -0.1 * (0.5 + 0.05), rtol=1e-6)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_impossible_members_are_refused():
    with pytest.raises(ValueError, match='0 members on 1 devices'):
        Members(0)
    with pytest.raises(ValueError, match='2 members on 9 devices; there are 4 devices'):
        Members(2, device_count=9)
    with pytest.raises(ValueError, match="stacked by 'map'; there are vmap, unrolled"):
        Members(2, form='map')
    with pytest.raises(ValueError, match='batch_size=10 does not divide into 4 accumulated parts'):
        Members(2).check_batch(10, parts=4)

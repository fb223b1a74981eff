"""The seam to the devices."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn.training.parallel import Replicas, pmean


def test_batches_that_do_not_divide_are_refused_with_the_nearest_that_do():
    with pytest.raises(ValueError, match='batch_size=10 does not divide over 4 devices; use 8 or 12'):
        Replicas(4).check_batch(10)
    with pytest.raises(ValueError, match='4 devices x 2 accumulated parts; use 8'):
        Replicas(4).check_batch(4, parts=2)
    Replicas(4).check_batch(16, parts=2)


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r'devices=64, but there are 4; set config.devices to 0'):
        Replicas(64)


def test_shards_keep_the_rows_in_order():
    replicas = Replicas(4)
    rows = np.arange(8)
    assert replicas.shard({'x': rows})['x'].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    steps = replicas.shard_steps({'x': np.stack([rows, rows + 10])})['x']
    assert steps[1].tolist() == [[2, 3], [12, 13]]


def test_replicated_trees_survive_donation_of_what_they_came_from():
    replicas = Replicas(4)
    first = replicas.replicate({'w': np.ones(3, np.float32)})
    second = replicas.replicate(first)
    step = replicas.compile(lambda tree, rows: {'w': tree['w'] + rows.size}, batched=(1,), arguments=2, donate=(0,))
    assert replicas.to_host(step(first, replicas.shard(np.zeros(4))))['w'].tolist() == [2, 2, 2]
    assert replicas.to_host(second)['w'].tolist() == [1, 1, 1]


def test_steps_that_nobody_waits_for_do_not_deadlock_the_cpus_collectives():
    """Un-awaited, hundreds of them end the process after 40 seconds (JAX 0.10: `rendezvous.cc`, SIGABRT)."""
    replicas, width = Replicas(4), 64

    def step(weights, batch):
        moved = []
        for weight in weights:
            batch = jnp.tanh(batch @ weight)
            moved.append(weight - 1e-3 * pmean(batch.T @ batch, replicas.axis_name))
        return moved

    advance = replicas.compile(step, batched=(1,), arguments=2, donate=(0,))
    state = replicas.replicate([np.eye(width, dtype=np.float32)] * 10)
    batch = replicas.shard(np.ones((4 * 32, width), np.float32))
    for _ in range(600):
        state = advance(state, batch)
    assert np.isfinite(replicas.to_host(state[0])).all()

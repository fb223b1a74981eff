"""The step: devices, micro-batches, masks, freezing and dispatches change nothing but what they should."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn.experiments.engine import advancer, compiled_step, frozen_leaves
from cnn.training import step as steps
from cnn.training.parallel import Replicas
from tests import tiny


def run(batches, *, devices=1, norm_axis=None, norm='batch', accumulate=1, freeze='', ema=0.0, per_dispatch=1,
        unroll=True, optimizer=None, **task_options):  # fmt: skip
    """Trains the tiny task on `batches` and returns the final host state."""
    task = tiny.task(norm_axis, norm, **task_options)
    replicas = Replicas(devices)
    variables = tiny.variables(tiny.task(norm=norm))
    frozen, frozen_state = frozen_leaves(freeze, variables)
    optimizer = optimizer or optax.sgd(0.1, momentum=0.9)
    key = jax.random.key(7)
    metrics = steps.zero_metrics(tiny.task(norm=norm, **task_options), variables, batches[0], key)
    state = replicas.replicate(steps.create_state(variables, optimizer, frozen, ema > 0, metrics))
    one = steps.train_step(
        task,
        optimizer,
        frozen=frozen,
        frozen_state=frozen_state,
        axis_name=replicas.axis_name,
        accumulate=accumulate,
        ema_decay=ema,
        unroll=unroll,
    )
    compiled = compiled_step(lambda *arguments: one(*arguments[:4]), replicas, per_dispatch)
    advance = advancer(compiled, replicas, {}, replicas.replicate(jax.random.key_data(key)), {}, per_dispatch)
    for i in range(0, len(batches), per_dispatch):
        state = advance(state, batches[i : i + per_dispatch])
    return replicas.to_host(state)


@functools.cache
def ten_batches():
    return [tiny.batch(16, seed) for seed in range(10)]


def close(a, b, tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance), a, b)


AUGMENTED = {'augmentation': {'flip': 0.5, 'pad_and_crop': 2}, 'label_smoothing': 0.1}


def test_four_devices_with_synchronised_batch_norm_equal_one_after_ten_steps():
    one = run(ten_batches(), **AUGMENTED)
    four = run(ten_batches(), devices=4, norm_axis='batch', **AUGMENTED)
    close(one.params, four.params, 1e-5)
    close(one.model_state, four.model_state, 1e-5)
    assert one.metrics['accuracy'].count == four.metrics['accuracy'].count == 160


def test_without_synchronisation_replicas_normalise_by_their_own_batch_and_average_the_statistics():
    batch = tiny.batch(16)
    four = run([batch], devices=4)
    # By hand: the stem's running mean after one step, from each quarter's own activations, then averaged.
    variables = tiny.variables(tiny.task())
    quarters = []
    for i in range(4):
        images = (batch['image'][4 * i : 4 * i + 4] / np.float32(255) - 0.5) / 0.25
        kernel = variables['params']['conv1']['kernel']
        outputs = jax.lax.conv_general_dilated(
            images.astype(np.float32), kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )
        quarters.append((np.mean(outputs, (0, 1, 2)), np.var(outputs, (0, 1, 2), ddof=1)))
    stem = four.model_state['batch_stats']['norm1']
    np.testing.assert_allclose(stem['mean'], 0.1 * np.mean([m for m, _ in quarters], 0), atol=1e-6)
    np.testing.assert_allclose(stem['var'], 0.9 + 0.1 * np.mean([v for _, v in quarters], 0), atol=1e-5)


@pytest.mark.parametrize('unroll', [True, False])
def test_accumulated_parts_equal_the_whole_batch_where_nothing_normalises_over_it(unroll):
    whole = run(ten_batches()[:3], norm='group')
    parts = run(ten_batches()[:3], norm='group', accumulate=4, unroll=unroll)
    close(whole.params, parts.params, 2e-6)
    assert float(parts.metrics['loss'].total) == pytest.approx(float(whole.metrics['loss'].total), rel=1e-5)


def test_padded_rows_change_neither_gradient_nor_metrics():
    batch = tiny.batch(6)
    padded = {name: np.concatenate([value, value[:2]]) for name, value in batch.items()}
    padded['mask'] = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
    close(run([batch], norm='group').params, run([padded], norm='group').params, 1e-6)
    assert run([padded], norm='group').metrics['loss'].count == 6


def test_several_steps_to_a_dispatch_give_the_same_state_with_a_short_last_one():
    single = run(ten_batches()[:5])
    several = run(ten_batches()[:5], per_dispatch=3)
    assert int(several.step) == 5
    close(single.params, several.params, 1e-6)
    close(single.metrics, several.metrics, 1e-4)


def test_frozen_leaves_stay_bit_identical_and_cost_no_optimizer_memory():
    before = tiny.variables(tiny.task())
    after = run(ten_batches()[:3], freeze='^(conv|norm)')
    for name in before['params']:
        same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), before['params'][name], after.params[name])
        assert all(jax.tree.leaves(same)) == (name != 'fc'), name
    jax.tree.map(np.testing.assert_array_equal, before['batch_stats'], after.model_state['batch_stats'])
    sizes = sum(leaf.size for leaf in jax.tree.leaves(after.opt_state))
    assert sizes == sum(leaf.size for leaf in jax.tree.leaves(before['params']['fc']))


def test_freezing_everything_or_nothing_is_refused():
    variables = tiny.variables(tiny.task())
    with pytest.raises(ValueError, match='freezes every parameter'):
        frozen_leaves('.', variables)
    with pytest.raises(ValueError, match='matches no parameter; their paths look like conv1/kernel'):
        frozen_leaves('convv', variables)
    with pytest.raises(ValueError, match='not a regular expression'):
        frozen_leaves('(', variables)


def test_the_average_of_parameters_follows_its_rule():
    batches = ten_batches()[:2]
    first, second = run(batches[:1], ema=0.9), run(batches, ema=0.9)
    start = tiny.variables(tiny.task())['params']['fc']['kernel']
    # Decay min(0.9, (1 + t) / (10 + t)): 0.1 at step 0, 2/11 at step 1.
    average = 0.1 * start + 0.9 * first.params['fc']['kernel']
    np.testing.assert_allclose(first.ema['params']['fc']['kernel'], average, atol=1e-6)
    average = 2 / 11 * average + 9 / 11 * second.params['fc']['kernel']
    np.testing.assert_allclose(second.ema['params']['fc']['kernel'], average, atol=1e-6)
    assert second.variables(averaged=True)['params'] is second.ema['params']


def test_a_loss_that_is_not_finite_is_marked_with_its_first_step():
    explode = optax.sgd(lambda step: jnp.where(step == 1, jnp.inf, 0.0))
    state = run(ten_batches()[:4], optimizer=explode)
    assert int(state.bad_step) == 2
    assert int(run(ten_batches()[:2]).bad_step) == -1


def test_evaluation_does_not_depend_on_devices_or_batches():
    task, variables, everything = tiny.task(), tiny.variables(tiny.task()), tiny.batch(24)
    totals = []
    for devices, size in ((1, 24), (4, 8)):
        replicas = Replicas(devices)
        compiled = replicas.compile(steps.evaluation_step(task, replicas.axis_name), batched=(2,), arguments=3)
        placed, labels, correct = replicas.replicate(variables), [], 0.0
        for start in range(0, 24, size):
            part = {name: value[start : start + size] for name, value in everything.items()}
            states, predictions, small = replicas.to_host(compiled(placed, {}, replicas.shard(part)))
            assert predictions['logits'].shape == (size, tiny.CLASSES)
            correct += float(states['accuracy'].total)
            labels.append(small['label'])
        totals.append((correct, np.concatenate(labels).tolist()))
    assert totals[0] == totals[1]
    assert totals[0][1] == everything['label'].tolist()

"""The forecasting task around a network that is known: scaling, losses and metrics by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn import models
from cnn.metrics import base
from cnn.tasks.forecasting import Forecasting

STEPS = np.array([0.5, 0.0, 2.0])
BATCH = {
    'past': np.array([[1, 2], [7, 7], [10, 4], [0, 0]], np.float32)[..., None],
    'future': np.array([[3, 5], [8, 6], [2, 2], [9, 9]], np.float32),
    'subject': np.array([0, 1, 2, 0], np.int32),
    'mask': np.array([1, 1, 1, 0], np.float32),
    'row': np.arange(4, dtype=np.int32),
    'index': np.array([5, 3, 4, 0], np.int32),
}


class Doubled(nn.Module):
    """Says twice the change before the last value, plus a parameter, for both values ahead."""

    @nn.compact
    def __call__(self, series, train=False):
        more = self.param('more', nn.initializers.zeros, ())
        return jnp.repeat(2 * series[:, 0] + more, 2, 1), {}


def task(**options):
    return Forecasting(Doubled(), past=2, horizon=2, mean=np.array([1.0, 7, 6]), step=STEPS, **options)


# The change before the last value, in steps: (1-2)/.5 = -2, 0, (10-4)/2 = 3; doubled and back in the unit.
SAID = np.array([[2 - 2.0] * 2, [7.0] * 2, [4 + 12.0] * 2])


def test_forecasts_are_changes_from_the_last_value_in_the_subjects_steps():
    said = task().predict({'params': {'more': jnp.float32(0)}}, BATCH)['forecast']
    np.testing.assert_allclose(said[:3], SAID)
    # One step more for everyone: half a unit, one (a step of zero counts as one), two.
    said = task().predict({'params': {'more': jnp.float32(1)}}, BATCH)['forecast']
    np.testing.assert_allclose(said[:3], SAID + np.array([[0.5], [1], [2]]))


def test_from_the_mean_it_forecasts_changes_from_the_mean():
    said = task(anchor='mean').predict({'params': {'more': jnp.float32(0)}}, BATCH)['forecast']
    # (1-1)/.5 = 0 -> 1; 0 -> 7; (10-6)/2 = 2 -> 6 + 8
    np.testing.assert_allclose(said[:3, 0], [1, 7, 14])


def test_metrics_by_hand():
    found = base.compute(task().metrics({'forecast': jnp.asarray(np.r_[SAID, [[0, 0]]])}, BATCH))
    errors = np.abs(SAID - BATCH['future'][:3])  # 3 5, 1 1, 14 14
    assert found['mae'] == pytest.approx(np.mean([4, 1, 14]))
    assert found['rmse'] == pytest.approx(np.sqrt((errors**2).mean()))
    # The second subject never moved in training: its error has no scale.
    assert found['mase'] == pytest.approx(np.mean([4 / 0.5, 14 / 2]))
    assert found['loss'] == pytest.approx(np.mean([4 / 0.5, 1, 14 / 2]))
    assert found['skill'] == pytest.approx(1 - 19 / (2 + 1 + 2))


@pytest.mark.parametrize(('name', 'value'), [('mae', (8 + 1 + 7) / 3), ('mse', ((36 + 100) / 2 + 1 + 49) / 3)])
def test_the_loss_is_in_steps_and_leaves_padding_out(name, value):
    out = task(loss=name).loss({'params': {'more': jnp.float32(0)}}, BATCH, jax.random.key(0))
    assert float(out.total / out.weight) == pytest.approx(value)
    assert float(out.weight) == 3


def test_the_collector_sorts_by_index_and_drops_padding():
    collected = task().collector()
    said = {'forecast': np.r_[SAID, [[0, 0]]].astype(np.float32)}
    collected.update(said, BATCH)
    table = collected.table()
    assert table['index'].tolist() == [3, 4, 5]
    assert table['subject'].tolist() == [1, 2, 0]
    assert table['last'].tolist() == [7, 4, 2]
    np.testing.assert_allclose(table['forecast'], SAID[[1, 2, 0]])
    np.testing.assert_allclose(table['truth'], BATCH['future'][[1, 2, 0]])


def test_it_learns_a_line_that_goes_on():
    """The network and the task together: slopes never seen are continued."""
    net = models.create('forecaster', num_classes=2, width=8, block='tcn')
    whole = Forecasting(net, past=4, horizon=2, mean=np.zeros(1), step=np.ones(1))
    rng = np.random.default_rng(0)

    def batch(slopes):
        lines = rng.normal(size=(len(slopes), 1)) * 50 + slopes[:, None] * np.arange(6)
        rest = {'mask': np.ones(len(slopes), np.float32), 'subject': np.zeros(len(slopes), np.int32)}
        own = {'past': lines[:, :4, None].astype(np.float32), 'future': lines[:, 4:].astype(np.float32)}
        return {**own, **rest, 'row': np.arange(len(slopes), dtype=np.int32)}

    variables, transform = whole.init(jax.random.key(0), whole.dummy_batch(4)), optax.adam(0.02)
    data, state = batch(rng.uniform(-2, 2, 64)), None

    @jax.jit
    def step(params, state):
        def loss(params):
            out = whole.loss({'params': params}, data, jax.random.key(0))
            return out.total / out.weight

        updates, state = transform.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    params, state = variables['params'], transform.init(variables['params'])
    for _ in range(100):
        params, state = step(params, state)
    fresh = batch(rng.uniform(-2, 2, 32))
    found = base.compute(jax.jit(whole.metrics)(whole.predict({'params': params}, fresh), fresh))
    assert found['skill'] > 0.8


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match="unknown loss 'huber'"):
        task(loss='huber')
    with pytest.raises(ValueError, match="unknown anchor 'first'"):
        task(anchor='first')
    with pytest.raises(ValueError, match='do not match'):
        Forecasting(Doubled(), past=2, horizon=2, mean=np.zeros(2), step=np.zeros(3))

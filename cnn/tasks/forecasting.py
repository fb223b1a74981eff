"""Forecasting: `past` float32 `[B, T, F]`, `future` float32 `[B, H]` and `subject` int32 `[B]` in a batch.

Shapes: B examples, T past values, F = 1 feature, H values ahead, S subjects. Values come in the data's own unit. The
network sees changes from the last known value, in the subject's own steps (its mean absolute change from one value to
the next in the training part), and forecasts such changes: levels that drift out of what training saw (as every trend
does) then look no different from before (subtracting the last value: Zeng et al. 2022, arXiv:2205.13504, NLinear).
"""

import os
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.metrics.base import Average
from cnn.metrics.forecasting import RootMeanSquare, Skill
from cnn.ops import keys
from cnn.tasks.base import Batch, LossOutput, Variables

LOSSES = ('mae', 'mse')
ANCHORS = ('last', 'mean')


class Forecasting:
    """Absolute or squared error of a network that returns `(changes [B, H], endpoints)`.

    Args:
      module: takes series `[B, T, F]`.
      past, horizon: T and H.
      mean: `[S]`, of each subject's training values; read with `anchor='mean'` alone.
      step: `[S]`, each subject's mean absolute change in its training part; 0 is taken for 1 in scaling, and leaves the
        subject out of `mase`, which is not defined there.
      loss: 'mae' or 'mse', in steps: so that every subject counts, not only those that move most.
      anchor: changes are taken from the 'last' known value or from the subject's 'mean'.
      dtype: what series are cast to; the network's compute type.

    Raises:
      ValueError: an unknown loss or anchor, or statistics of different lengths.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        past: int,
        horizon: int,
        mean: Sequence[float],
        step: Sequence[float],
        loss: str = 'mae',
        anchor: str = 'last',
        dtype: Any = jnp.float32,
    ):
        for what, value, known in (('loss', loss, LOSSES), ('anchor', anchor, ANCHORS)):
            if value not in known:
                raise ValueError(f'unknown {what} {value!r} of forecasts; there are {" and ".join(known)}')
        if np.shape(mean) != np.shape(step):
            raise ValueError(f'the means of {np.shape(mean)} and the steps of {np.shape(step)} subjects do not match')
        self.module, self.past, self.horizon = module, past, horizon
        self.mean, self.step = mean, step
        self.loss_name, self.anchor, self.dtype = loss, anchor, dtype

    def dummy_batch(self, size: int) -> dict[str, np.ndarray]:
        """One series of `size` zeros, of the first subject."""
        return {
            'past': np.zeros((1, size, 1), np.float32),
            'future': np.zeros((1, self.horizon), np.float32),
            'subject': np.zeros(1, np.int32),
            'mask': np.ones(1, np.float32),
            'row': np.zeros(1, np.int32),
            'index': np.zeros(1, np.int32),
        }

    def init(self, key: jax.Array, batch: Batch) -> Variables:
        """Fresh variables."""
        streams = {name: keys.stream(key, name) for name in ('params', 'dropout')}
        series = jax.ShapeDtypeStruct((1, *batch['past'].shape[-2:]), self.dtype)
        return dict(self.module.lazy_init(streams, series, train=True))

    def loss(self, variables: Variables, batch: Batch, key: jax.Array) -> LossOutput:
        """Training loss; `key` is the step's, the same on every replica."""
        mask, (_, step) = batch['mask'].astype(jnp.float32), self._scale(batch)
        # One mask of dropout for the whole replica: the first row tells replicas and micro-batches apart.
        dropout = jax.random.fold_in(keys.stream(key, 'dropout'), batch['row'][0])
        forecast = self._forecast(variables, batch, train=True, rngs={'dropout': dropout})
        errors = forecast - batch['future']
        scaled = errors / step
        values = jnp.abs(scaled) if self.loss_name == 'mae' else jnp.square(scaled)
        loss = Average.of(values.mean(-1), mask)
        state = {name: tree for name, tree in variables.items() if name != 'params'}
        metrics = {'loss': loss, 'mae': Average.of(jnp.abs(errors).mean(-1), mask)}
        return LossOutput(total=loss.total, weight=loss.count, model_state=state, metrics=metrics)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        """`forecast` float32 `[B, H]`, in the data's unit."""
        return {'forecast': self._forecast(variables, batch, train=False)}

    def metrics(self, predictions: dict[str, jax.Array], batch: Batch) -> dict[str, Any]:
        """States: `loss`, `mae` and `rmse` in the data's unit, `mase`, and `skill` against the last value repeated.

        `mase` (Hyndman and Koehler 2006) is the error in the subject's steps: what the naive forecast of one step
        ahead misses by in the training part. A horizon of H steps is further away, so that 1 is no even odds here;
        `skill` compares with the naive forecast of the same horizon.
        """
        mask, (_, step) = batch['mask'].astype(jnp.float32), self._scale(batch)
        errors, naive = predictions['forecast'] - batch['future'], batch['past'][:, -1] - batch['future']
        scaled = errors / step
        values = jnp.abs(scaled) if self.loss_name == 'mae' else jnp.square(scaled)
        defined = mask * (jnp.asarray(self.step)[batch['subject']] > 0)
        return {
            'loss': Average.of(values.mean(-1), mask),
            'mae': Average.of(jnp.abs(errors).mean(-1), mask),
            'rmse': RootMeanSquare.of(errors, mask),
            'mase': Average.of(jnp.abs(scaled).mean(-1), defined),
            'skill': Skill.of(errors, naive, mask),
        }

    def collector(self) -> 'Collected':
        """Keeps each example's forecast."""
        return Collected()

    def draw(self, folder: str, states: dict[str, Any], collector: 'Collected', source: Any) -> list[str]:
        """Writes `forecasts.png`: subjects from the best forecast to the worst, with what came.

        Args:
          source: gives `curve(index)`: the subject's name, the times and values read, those that came; and `unit`. Or
            None.
        """
        from cnn.plots import series

        if source is None:
            return []
        series.draw_forecasts(collector.table(), source.curve, os.path.join(folder, 'forecasts.png'), unit=source.unit)
        return ['forecasts.png']

    def _scale(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """What changes are taken from and measured in, `[B, 1]`."""
        step = jnp.asarray(self.step, jnp.float32)[batch['subject']]
        last = batch['past'][:, -1, 0]
        anchor = last if self.anchor == 'last' else jnp.asarray(self.mean, jnp.float32)[batch['subject']]
        return anchor[:, None], jnp.where(step > 0, step, 1.0)[:, None]

    def _forecast(self, variables: Variables, batch: Batch, **options) -> jax.Array:
        anchor, step = self._scale(batch)
        series = (batch['past'] - anchor[..., None]) / step[..., None]
        changes, _ = self.module.apply(variables, series.astype(self.dtype), **options)
        return anchor + step * changes.astype(jnp.float32)


class Collected:
    """One evaluation's forecasts on the host."""

    def __init__(self):
        self._parts: list[dict[str, np.ndarray]] = []

    def update(self, predictions: dict[str, Any], batch: dict[str, Any]) -> None:
        """Takes one batch, NumPy arrays, padding included."""
        real = np.asarray(batch['mask']) > 0
        columns = {'index': batch['index'], 'subject': batch['subject'], 'forecast': predictions['forecast']}
        columns |= {'truth': batch['future'], 'last': np.asarray(batch['past'])[:, -1, 0]}
        self._parts.append({name: np.asarray(value)[real] for name, value in columns.items()})

    def compute(self) -> dict[str, float]:
        """Nothing that sums do not already hold."""
        return {}

    def table(self) -> dict[str, np.ndarray]:
        """`index`, `subject`, `last` `[N]`, `forecast` and `truth` `[N, H]`, sorted by `index`."""
        table = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        order = np.argsort(table['index'], kind='stable')
        return {name: values[order] for name, values in table.items()}

"""Scoring a task on a whole split: every example once, sums added in float64 on the host."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn.metrics import base as metrics_base
from cnn.tasks.base import Collector, Task
from cnn.training import step


class Scored(NamedTuple):
    """One model's score: metric values, merged states, and the collector that saw every prediction."""

    values: dict[str, float]
    states: dict[str, Any]
    collector: Collector


class Scorer:
    """Compiled once for a task and the devices; called as often as a split is scored.

    Args:
      task_of: the task with a member's settings (see `engine.Engine`); ignores them where there is one model.
      pipeline: evaluation batches; with `arrays` where the data is resident.
      devices: `Replicas`, or `Members`, whose batches carry their axis.
    """

    def __init__(self, task_of: Callable[[dict[str, Any]], Task], pipeline: Any, devices: Any):
        self.pipeline, self.devices = pipeline, devices
        self._task = task_of({})

        def evaluation_step(variables, resident, batch, given):
            return step.evaluation_step(task_of(given), devices.axis_name)(variables, resident, batch)

        self._step: Callable = devices.compile(evaluation_step, batched=(2,), arguments=4, shared=(1,))
        self._resident = devices.replicate(getattr(pipeline, 'arrays', {}))

    def over(self, pipeline: Any) -> 'Scorer':
        """The same compiled step on other batches of the same resident data."""
        other = copy.copy(self)
        other.pipeline = pipeline
        return other

    def __call__(self, variables: dict[str, Any], given: dict[str, Any] | None = None) -> list[Scored]:
        """A score for each model in device `variables`; `given` are their settings on the devices."""
        count = self.devices.members or 1
        collectors, merged, pending = [self._task.collector() for _ in range(count)], [None] * count, None
        for batch in self.pipeline:
            result = self._step(variables, self._resident, self.devices.shard(batch), given or {})
            # One batch behind, so that the host works while the device does.
            self._take(pending, merged, collectors)
            pending = result
        self._take(pending, merged, collectors)
        return [
            Scored({**metrics_base.compute(states), **collector.compute()}, states, collector)
            for states, collector in zip(merged, collectors, strict=True)
        ]

    def _take(self, result, merged: list, collectors: list[Collector]) -> None:
        if result is None:
            return
        result = self.devices.to_host(result)
        for e, collector in enumerate(collectors):
            states, predictions, batch = member(result, e, self.devices)
            collector.update(predictions, batch)
            wide = jax.tree.map(lambda x: x.astype(np.float64 if x.dtype.kind == 'f' else np.int64), states)
            merged[e] = wide if merged[e] is None else metrics_base.merge(merged[e], wide)


def member(tree: Any, e: int, devices: Any) -> Any:
    """Model `e`'s part of a host tree; the tree itself where there is one model."""
    return tree if devices.members is None else jax.tree.map(lambda x: x[e], tree)

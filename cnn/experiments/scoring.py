"""Scoring a task on a whole split: every example once, sums added in float64 on the host."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cnn.metrics import base as metrics_base
from cnn.tasks.base import Collector, Task
from cnn.training.parallel import Replicas
from cnn.training.step import evaluation_step


class Scorer:
    """Compiled once for a task, a split and the devices; called as often as the split is scored.

    Args:
      pipeline: evaluation batches; with `arrays` where the data is resident.
    """

    def __init__(self, task: Task, pipeline: Any, replicas: Replicas):
        self.task, self.pipeline, self.replicas = task, pipeline, replicas
        step = evaluation_step(task, replicas.axis_name)
        self._step: Callable = replicas.compile(step, batched=(2,), arguments=3)
        self._resident = replicas.replicate(getattr(pipeline, 'arrays', {}))

    def __call__(self, variables: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any], Collector]:
        """(metric values, merged states, the collector that saw every prediction) for device `variables`."""
        collector, merged, pending = self.task.collector(), None, None
        for batch in self.pipeline:
            result = self._step(variables, self._resident, self.replicas.shard(batch))
            # One batch behind, so that the host works while the device does.
            merged, pending = self._take(pending, merged, collector), result
        merged = self._take(pending, merged, collector)
        return {**metrics_base.compute(merged), **collector.compute()}, merged, collector

    def _take(self, result, merged, collector):
        if result is None:
            return merged
        states, predictions, batch = self.replicas.to_host(result)
        collector.update(predictions, batch)
        wide = jax.tree.map(lambda x: x.astype(np.float64 if x.dtype.kind == 'f' else np.int64), states)
        return wide if merged is None else metrics_base.merge(merged, wide)

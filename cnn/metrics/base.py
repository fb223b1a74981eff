"""Metric states: pytrees of sums and counts that merge by addition, on the device, across devices and over batches.

A value computed from merged states does not depend on how the examples were batched or spread, and padded rows carry
a mask of zero. `psum` over replicas is therefore a correct merge for every state here.
"""

from typing import Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

# Metrics of which less is better; of all others, more.
LESS_IS_BETTER = ('loss', 'mae', 'rmse', 'mase')


class Metric(Protocol):
    """A pytree of arrays; `compute` runs on the host after merging."""

    def compute(self, name: str) -> dict[str, float]:
        """The final values by metric name; `name` is the key the state was stored under."""


@flax.struct.dataclass
class Average:
    """A weighted mean kept as `total` and `count`, scalars."""

    total: jax.Array
    count: jax.Array

    @classmethod
    def of(cls, values: jax.Array, mask: jax.Array) -> 'Average':
        """Sums `values` `[B]` where `mask` `[B]` is 1."""
        mask = mask.astype(jnp.float32)
        return cls(jnp.sum(jnp.where(mask > 0, values.astype(jnp.float32), 0.0) * mask), jnp.sum(mask))

    def compute(self, name: str) -> dict[str, float]:
        count = float(np.asarray(self.count))
        return {name: float(np.asarray(self.total)) / count if count else float('nan')}


def merge(a, b):
    """Adds two equal trees of metric states."""
    return jax.tree.map(lambda x, y: x + y, a, b)


def compute(states: dict[str, Metric]) -> dict[str, float]:
    """All values of a dict of states, flat."""
    values = {}
    for name, state in states.items():
        values.update(state.compute(name))
    return values

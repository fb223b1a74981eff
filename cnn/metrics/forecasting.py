"""Forecast errors over a horizon; they merge as in cnn/metrics/base.py."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from cnn.metrics.base import Average


@flax.struct.dataclass
class RootMeanSquare:
    """The root of a mean of squares, kept as `total` and `count`."""

    total: jax.Array
    count: jax.Array

    @classmethod
    def of(cls, errors: jax.Array, mask: jax.Array) -> 'RootMeanSquare':
        """Of errors `[B, H]`, the examples where `mask` `[B]` is 1."""
        mean = Average.of(jnp.square(errors).mean(-1), mask)
        return cls(mean.total, mean.count)

    def compute(self, name: str) -> dict[str, float]:
        count = float(np.asarray(self.count))
        return {name: float(np.sqrt(np.asarray(self.total) / count)) if count else float('nan')}


@flax.struct.dataclass
class Skill:
    """1 - error / reference: 0 is as good as the reference forecast, 1 perfect, below 0 worse."""

    error: jax.Array
    reference: jax.Array

    @classmethod
    def of(cls, errors: jax.Array, reference: jax.Array, mask: jax.Array) -> 'Skill':
        """Sums of absolute errors `[B, H]` where `mask` `[B]` is 1."""
        totals = (Average.of(jnp.abs(values).mean(-1), mask).total for values in (errors, reference))
        return cls(*totals)

    def compute(self, name: str) -> dict[str, float]:
        reference = float(np.asarray(self.reference))
        return {name: 1.0 - float(np.asarray(self.error)) / reference if reference else float('nan')}

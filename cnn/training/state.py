"""The training state: one pytree, saved and restored whole."""

from typing import Any

import flax.struct
import jax


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes.

    `model_state` holds the collections beside `params` (`batch_stats`); `ema` the averaged parameters and statistics or
    an empty dict; `metrics` the sums since the last logged line, so that a resumed run logs the same values; `bad_step`
    the first step whose loss or gradient was not finite, or -1.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    ema: Any
    metrics: Any
    bad_step: jax.Array

    def variables(self, averaged: bool = False) -> dict[str, Any]:
        """What `module.apply` takes; with `averaged`, the EMA where the run keeps one."""
        if averaged and self.ema:
            return dict(self.ema)
        return {'params': self.params, **self.model_state}

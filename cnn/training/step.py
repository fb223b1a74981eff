"""The one function that advances an optimizer, and its counterpart for evaluation. Neither knows which task it runs.

Loss and metrics are sums over examples, divided only after they are added over replicas and accumulated micro-batches,
so the gradient is that of the global batch's mean whatever the number of devices or parts.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from cnn.metrics import base as metrics_base
from cnn.tasks.base import Batch, LossOutput, Task
from cnn.training import parallel
from cnn.training.optimizer import combine, partition
from cnn.training.state import TrainState


def stream(key: jax.Array, step: jax.Array | int) -> jax.Array:
    """The key of one step; `key` is already folded with its stream's name."""
    return jax.random.fold_in(key, step)


def rows(resident: dict[str, jax.Array], batch: Batch) -> Batch:
    """Adds to a batch the resident arrays' rows `batch['index']`; a streamed batch (`resident` empty) stays."""
    return {**{name: array[batch['index']] for name, array in resident.items()}, **batch}


def create_state(variables: dict[str, Any], optimizer: optax.GradientTransformation, frozen: Any, ema: bool, metrics):
    """A fresh `TrainState` of `variables`; `frozen` as in `partition`, `metrics` zero states."""
    variables = dict(variables)
    params = variables.pop('params')
    trainable, _ = partition(params, frozen)
    average = {'params': params, **variables} if ema else {}
    return TrainState(
        step=jnp.int32(0),
        params=params,
        model_state=variables,
        opt_state=optimizer.init(trainable),
        ema=jax.tree.map(jnp.array, average),
        metrics=metrics,
        bad_step=jnp.int32(-1),
    )


def zero_metrics(task: Task, variables: dict[str, Any], batch: Batch, key: jax.Array) -> dict[str, Any]:
    """The task's training metric states at zero, found without running it."""
    shapes = jax.eval_shape(task.loss, variables, batch, key)
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes.metrics)


def train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    *,
    frozen: Any,
    frozen_state: Any,
    axis_name: str | None = None,
    accumulate: int = 1,
    ema_decay: float = 0.0,
    unroll: bool = True,
) -> Callable:
    """Builds `step(state, resident, batch, key) -> state`.

    Args:
      frozen, frozen_state: booleans over `params` and `model_state`: leaves that never change.
      axis_name: the mapped axis over replicas, or None.
      accumulate: micro-batches whose gradients are summed; the replica's batch must divide by it.
      ema_decay: 0 for no average of parameters and statistics.
      unroll: a Python loop over micro-batches, for the CPU where convolutions inside `lax.scan` are slow.
    """

    def forward(trainable, fixed, model_state, batch, key):
        output = task.loss({'params': combine(trainable, fixed), **model_state}, batch, key)
        return output.total, output

    def part(carry, batch, trainable, fixed, key):
        grads, output = jax.grad(forward, has_aux=True)(trainable, fixed, carry[1], batch, key)
        added = jax.tree.map(jnp.add, carry[0], (grads, output.total, output.weight, output.metrics))
        return added, output.model_state

    def sums(trainable, fixed, model_state, batch, key):
        """Gradient, loss, weight and metrics summed over this replica's micro-batches, and the last statistics."""
        if accumulate == 1:
            grads, out = jax.grad(forward, has_aux=True)(trainable, fixed, model_state, batch, key)
            return (grads, out.total, out.weight, out.metrics), out.model_state
        parts = jax.tree.map(lambda x: x.reshape(accumulate, x.shape[0] // accumulate, *x.shape[1:]), batch)
        first = jax.tree.map(lambda x: x[0], parts)
        out: LossOutput = jax.eval_shape(lambda: forward(trainable, fixed, model_state, first, key)[1])
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (out.total, out.weight, out.metrics))
        carry = ((jax.tree.map(jnp.zeros_like, trainable), *zeros), model_state)
        if unroll:
            for i in range(accumulate):
                carry = part(carry, jax.tree.map(lambda x, i=i: x[i], parts), trainable, fixed, key)
            return carry
        return lax.scan(lambda c, b: (part(c, b, trainable, fixed, key), None), carry, parts)[0]

    def step(state: TrainState, resident: dict[str, jax.Array], batch: Batch, key: jax.Array) -> TrainState:
        trainable, fixed = partition(state.params, frozen)
        added, model_state = sums(trainable, fixed, state.model_state, rows(resident, batch), stream(key, state.step))
        grads, total, weight, metrics = parallel.psum(added, axis_name)
        grads = jax.tree.map(lambda g: g / weight, grads)
        # The replicas' running statistics differ unless they are synchronised: what is kept is their average.
        model_state = parallel.pmean(model_state, axis_name)
        model_state = jax.tree.map(lambda new, old, f: old if f else new, model_state, state.model_state, frozen_state)
        updates, opt_state = optimizer.update(grads, state.opt_state, trainable)
        params = combine(optax.apply_updates(trainable, updates), fixed)
        finite = jnp.isfinite(total) & jnp.isfinite(optax.tree.norm(grads))
        return TrainState(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            ema=_averaged(state, {'params': params, **model_state}, ema_decay),
            metrics=metrics_base.merge(state.metrics, metrics),
            bad_step=jnp.where((state.bad_step < 0) & ~finite, state.step, state.bad_step),
        )

    return step


def _averaged(state: TrainState, new: dict[str, Any], ema_decay: float) -> Any:
    """The average of parameters and statistics with the new ones in it; {} where none is kept."""
    if not ema_decay:
        return state.ema
    # Shorter at first, so that the initial values are forgotten: the rule of TensorFlow's averages.
    decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda a, b: (decay * a + (1 - decay) * b).astype(a.dtype), state.ema, new)


def many_steps(step: Callable) -> Callable:
    """`steps(state, resident, batches, key, count)`: runs `step` on the first `count` of `batches` `[K, b, ...]`.

    A loop of a dynamic length, so that one compilation serves every stretch between two events.
    """

    def steps(state, resident, batches, key, count):
        def body(i, state):
            return step(state, resident, jax.tree.map(lambda x: x[i], batches), key)

        return lax.fori_loop(0, count, body, state)

    return steps


def evaluation_step(task: Task, axis_name: str | None = None) -> Callable:
    """Builds `step(variables, resident, batch) -> (metric states of the global batch, predictions, batch)`.

    Predictions and the batch's small arrays (labels, masks, indices; no images) come back whole, rows in order.
    """

    def evaluation_step(variables: dict[str, Any], resident: dict[str, jax.Array], batch: Batch):
        batch = rows(resident, batch)
        predictions = task.predict(variables, batch)
        states = parallel.psum(task.metrics(predictions, batch), axis_name)
        small = {name: value for name, value in batch.items() if name != 'image'}
        return states, *parallel.gather_rows((predictions, small), axis_name)

    return evaluation_step

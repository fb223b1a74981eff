"""The one loop. It knows steps and events; the task, the data and the devices are behind what it is given.

At an event's step the order is: log, evaluate, save. A saved state therefore always stands behind its own lines of the
record, and a resumed run writes the same lines again.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cnn.training.state import TrainState


class NonFiniteLoss(RuntimeError):
    """The loss or gradient became NaN or infinite at `step` (0-based), in `members` where several models train."""

    def __init__(self, step: int, members: tuple[int, ...] = ()):
        super().__init__(f'the loss or gradient is not finite at step {step}')
        self.step, self.members = step, members


@dataclasses.dataclass(frozen=True)
class Plan:
    """When things happen, in steps, which need not be whole: every 31.25 steps is at 32, 63, 94, 125 ...

    Everything also happens at the last step.
    """

    total: int
    log_every: float
    evaluate_every: float
    save_every: float
    # Steps at which a dispatch ends though nothing is due.
    boundaries: tuple[int, ...] = ()

    def due(self, step: int, every: float) -> bool:
        """Whether `step` is the first at or after a multiple of `every`, or the last."""
        return step == self.total or step == self._next(step - 1, every)

    def next_event(self, step: int) -> int:
        """The first step after `step` at which anything is due."""
        every = (self.log_every, self.evaluate_every, self.save_every)
        after = [boundary for boundary in self.boundaries if boundary > step]
        return min(self.total, *after, *(self._next(step, e) for e in every))

    @staticmethod
    def _next(step: int, every: float) -> int:
        # The small term keeps a multiple that is whole but for rounding where it belongs.
        return math.ceil((math.floor(step / every + 1e-9) + 1) * every - 1e-6)


def fit(
    state: TrainState,
    plan: Plan,
    *,
    batches: Iterator[Any],
    advance: Callable[[TrainState, list[Any]], TrainState],
    per_dispatch: int,
    to_host: Callable[[Any], Any],
    place: Callable[[Any], Any],
    on_progress: Callable[[int], None],
    on_log: Callable[[int, dict[str, Any]], None],
    evaluate: Callable[[TrainState, int], dict[str, float]],
    save: Callable[[TrainState, int, dict[str, float]], None],
    stopping: Callable[[int], bool],
    tolerant: bool = False,
) -> tuple[TrainState, int]:
    """Advances `state` to `plan.total` or until `stopping(step)`, and then saves.

    `state` is one model's, or that of several with a leading axis on every leaf: all stand at the same step.

    Args:
      batches: this process's batches from the state's step on.
      advance: runs one step per batch of the list.
      per_dispatch: how many batches at most to give it.
      to_host, place: copy a pytree from and to the devices.
      on_log: is handed the window's metric states.
      save: is handed the last evaluation's metrics, or {} where none belongs to this step.
      tolerant: of several models, those whose loss stays finite go on; only when none is left does it end.

    Returns:
      The state and its step.

    Raises:
      NonFiniteLoss: at the first event after it, before anything of it is saved.
    """
    step = current_step(state, to_host)
    while step < plan.total:
        event = plan.next_event(step)
        count = min(per_dispatch, event - step)
        state = advance(state, [next(batches) for _ in range(count)])
        step += count
        on_progress(step)
        values: dict[str, float] = {}
        if plan.due(step, plan.log_every):
            state = _log(state, step, to_host, place, on_log, tolerant)
        stop = step < plan.total and stopping(step)
        if plan.due(step, plan.evaluate_every):
            _check_finite(state, to_host, tolerant)
            values = evaluate(state, step)
        if stop or plan.due(step, plan.save_every):
            _check_finite(state, to_host, tolerant)
            save(state, step, values)
        if stop:
            break
    return state, step


def current_step(state: TrainState, to_host: Callable[[Any], Any]) -> int:
    """The step of a state, the same for all models in it."""
    return int(np.max(to_host(state.step)))


def _log(state, step, to_host, place, on_log, tolerant) -> TrainState:
    """Hands the window's metrics out and starts the next window at zero."""
    _check_finite(state, to_host, tolerant)
    window = to_host(state.metrics)
    on_log(step, window)
    return state.replace(metrics=place(jax.tree.map(np.zeros_like, window)))


def _check_finite(state: TrainState, to_host, tolerant: bool) -> None:
    bad = np.atleast_1d(to_host(state.bad_step))
    failed = bad >= 0
    if failed.all() if tolerant else failed.any():
        raise NonFiniteLoss(int(bad[failed].min()), tuple(int(e) for e in np.flatnonzero(failed)))

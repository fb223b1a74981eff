"""SIGTERM and Ctrl-C end a run between two steps, after saving."""

import os
import signal
import threading

import jax


class Interrupt:
    """Context manager around a training loop that asks `reached(step)` at the end of each step or dispatch.

    The first SIGTERM or SIGINT only sets a flag; the second one acts as if this class did not exist. With several
    processes, JAX's preemption service lets all of them stop at the same step, whichever of them was signalled. Outside
    the main thread signals are left as they are.

    Made after `jax.distributed.initialize`, where there are several processes.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}
        self._shared = jax.process_count() > 1
        self._asked: int | None = None
        self._agreed = False

    def __enter__(self) -> 'Interrupt':
        if threading.current_thread() is threading.main_thread():
            # With several processes JAX itself listens to SIGTERM; a handler of ours would deafen it.
            for number in (signal.SIGINT,) if self._shared else (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _take(self, number: int, _frame) -> None:
        self.signal = signal.Signals(number)
        for other, handler in self._previous.items():
            signal.signal(other, handler)
        if self._shared:
            os.kill(os.getpid(), signal.SIGTERM)

    def reached(self, step: int) -> bool:
        """Whether the run is to save and end after this step. Every process calls it at the same, rising steps."""
        if not self._shared:
            return self.signal is not None
        from jax.experimental import multihost_utils

        # JAX names the first step that no process had asked for when the signal came, and says yes to that very number:
        # those between two dispatches count too, and 0 or 1 where the signal came before the first question.
        asked = range(self._asked + 1, step + 1) if self._asked is not None else (0, 1, step)
        self._asked = step
        for number in asked:
            self._agreed = multihost_utils.reached_preemption_sync_point(number) or self._agreed
        return self._agreed

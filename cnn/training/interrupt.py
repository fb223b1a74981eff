"""SIGTERM and Ctrl-C end a run between two steps, after saving."""

import os
import signal
import threading

import jax


class Interrupt:
    """Context manager around a training loop that asks `reached(step)` at the end of each step.

    The first SIGTERM or SIGINT only sets a flag; the second one acts as if this class did not exist. With several
    processes, JAX's preemption service lets all of them stop at the same step, whichever of them was signalled: so
    every process asks at every step, with the same numbers. Outside the main thread signals are left as they are.

    After `jax.distributed.initialize`, where there are several processes.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}
        self._shared = jax.process_count() > 1

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
        """Whether the run is to save and end after this step. Every process of the run calls it after every step."""
        if self._shared:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(step)
        return self.signal is not None

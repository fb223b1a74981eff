"""A trace of a few training steps: what the devices and the host did in them, microsecond by microsecond."""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax

from cnn.training import processes

FOLDER = 'profile'


def parse(text: str) -> tuple[int, int] | None:
    """`'10:15'` is (10, 15): steps 10 to 14, counted from 0; `''` is None.

    Raises:
      ValueError: for anything else, and where no step is in between.
    """
    if not text:
        return None
    match = re.fullmatch(r'(\d+):(\d+)', text)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(f"config.profile={text!r} is not FROM:TO with FROM below TO; use for example '10:15'")
    return int(match[1]), int(match[2])


class Profile:
    """Context manager that traces steps `[first, last)` of a run into `WORKDIR/profile`, in its first process.

    The files are what `jax.profiler` writes: `perfetto_trace.json.gz` opens at ui.perfetto.dev, `*.xplane.pb` in xprof
    and TensorBoard. Nothing is computed otherwise for it: around the traced steps it waits for the devices, no more.

    Args:
      text: `config.profile`.
      workdir: the run's.
      note: takes the line that says where the trace lies.
    """

    def __init__(self, text: str, workdir: pathlib.Path, note: Callable[[str], None] = print):
        self._steps = parse(text) if processes.is_first() else None
        self._folder, self._note = pathlib.Path(workdir) / FOLDER, note
        self._running = False
        # Where a dispatch of several steps ends, so that the trace holds these steps alone.
        self.boundaries = parse(text) or ()

    def __enter__(self) -> 'Profile':
        return self

    def __exit__(self, *_) -> None:
        if self._running:
            self._stop('the run ended before the last of them')

    def around(self, advance: Callable, start: int) -> Callable:
        """`advance(state, batches)` of the loop from step `start` on, traced where it is to be."""
        if self._steps is None:
            return advance
        (first, last), at = self._steps, start
        if start >= last:
            self._note(f'config.profile={first}:{last}: the run goes on from step {start}, these are done')

        def traced(state: Any, batches: list[Any]) -> Any:
            nonlocal at
            if not self._running and first <= at < last:
                jax.block_until_ready(state)
                jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
                self._running = True
            with jax.profiler.StepTraceAnnotation('train', step_num=at):
                state = advance(state, batches)
            at += len(batches)
            if self._running and at >= last:
                jax.block_until_ready(state)
                self._stop(f'steps {max(first, start)} to {at - 1}')
            return state

        return traced

    def _stop(self, what: str) -> None:
        self._running = False
        jax.profiler.stop_trace()
        self._note(f'{self._folder}: a trace, {what}; open its perfetto_trace.json.gz at ui.perfetto.dev')

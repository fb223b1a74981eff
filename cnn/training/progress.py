"""How a run shows that it lives: a progress bar on a terminal, plain lines elsewhere, both on standard error."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from cnn.training import processes


class Progress:
    """Shows step, epoch, the latest values, images per second and the time left; only process 0 does.

    Args:
      total_steps: the last step of the run.
      start_step: the step that was restored, 0 for a new run.
      images_per_step: the global batch size.
      steps_per_epoch: shows the epoch where it is above 0.
      interval_seconds: between plain lines, at least.
      stream: standard error by default; a bar where it is a terminal.
    """

    def __init__(
        self,
        total_steps: int,
        start_step: int = 0,
        images_per_step: int = 0,
        steps_per_epoch: float = 0,
        *,
        interval_seconds: float = 10.0,
        stream: TextIO | None = None,
    ):
        self.total_steps, self.step = total_steps, start_step
        self._images_per_step, self._steps_per_epoch = images_per_step, steps_per_epoch
        self._interval, self._stream = interval_seconds, stream or sys.stderr
        self._values: dict[str, float] = {}
        self._clock = Stopwatch()
        self._recent: deque[tuple[float, int]] = deque()
        self._fetched: list[tuple[float, int]] = []
        self._printed_at, self._printed_step = -float('inf'), -1
        self._shown = processes.is_first()
        self._bar = self._task = None
        if self._shown and self._stream.isatty():
            columns = (TextColumn('{task.description}'), BarColumn(bar_width=None), _Rest(self))
            console = Console(file=self._stream)
            self._bar = Bar(*columns, console=console, refresh_per_second=4, expand=True)
            self._task = self._bar.add_task(self._where(), total=total_steps, completed=start_step)

    def __enter__(self) -> 'Progress':
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._shown and self._values and self._printed_step != self.step:
            self._print()

    def update(self, step: int) -> None:
        """After each step or dispatch: costs microseconds and waits for nothing."""
        self.step = step
        now = self._clock()
        self._recent.append((now, step))
        while len(self._recent) > 2 and now - self._recent[1][0] > 30.0:
            self._recent.popleft()
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=self._where())

    def show(self, step: int, values: dict[str, float]) -> None:
        """New values, numbers on the host: the devices have therefore come to this step."""
        self._values = dict(values)
        now = self._clock()
        self._fetched = [*self._fetched[:1], (now, step)]
        if self._bar is None and self._shown and time.monotonic() - self._printed_at >= self._interval:
            self._print()

    def note_metrics(self, step: int, split: str, values: dict[str, float]) -> None:
        """A line for an evaluation."""
        self.note('  '.join([f'{split} at step {step}', *(f'{name} {value:.4g}' for name, value in values.items())]))

    def note(self, message: str) -> None:
        """A line of its own, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)
        elif self._shown:
            print(message, file=self._stream, flush=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Around evaluation and saving: their time does not count as training time."""
        with self._clock.stopped():
            yield

    @property
    def images_per_second(self) -> float:
        """Over this run's training, from the first values fetched to the last: compilation and pauses are left out.

        NaN before values were fetched twice.
        """
        return _pace(self._fetched) * self._images_per_step

    def _where(self) -> str:
        epoch = f'  epoch {self.step / self._steps_per_epoch:.1f}' if self._steps_per_epoch else ''
        return f'step {self.step}/{self.total_steps}{epoch}'

    def _rest(self) -> str:
        parts = [f'{name} {value:.4g}' for name, value in self._values.items()]
        pace = _pace(self._recent)
        if pace > 0:
            rate = pace * self._images_per_step
            parts += [f'{rate:,.0f} images/s' if rate >= 100 else f'{rate:.3g} images/s'] if rate else []
            parts.append(f'{duration((self.total_steps - self.step) / pace)} left')
        return '  '.join(parts)

    def _print(self) -> None:
        self._printed_at, self._printed_step = time.monotonic(), self.step
        print(f'{self._where()}  {self._rest()}', file=self._stream, flush=True)


class _Rest(ProgressColumn):
    """The part of the bar behind the bar."""

    def __init__(self, progress: Progress):
        super().__init__()
        self._progress = progress

    def render(self, task) -> Text:
        return Text(self._progress._rest())


class Stopwatch:
    """Seconds since it was made, without those spent in `stopped()`."""

    def __init__(self):
        self._away = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._away

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self._away += time.monotonic() - begin


def _pace(marks) -> float:
    """Steps per second from the first (seconds, step) to the last; NaN where there is no telling."""
    if len(marks) < 2 or marks[-1][0] <= marks[0][0]:
        return float('nan')
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


def duration(seconds: float) -> str:
    """0:07, 12:05 or 3:04:05."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f'{hours}:{minute:02}:{second:02}' if hours else f'{minute}:{second:02}'

"""How a run shows that it lives: a progress bar on a terminal, plain lines elsewhere, both on standard error."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from cnn.training import processes


class Mark(NamedTuple):
    """Where training was at a time: seconds without pauses, step, images seen."""

    seconds: float
    step: int
    images: int


class Progress:
    """Shows step, epoch, the latest values, images per second and the time left; only process 0 does.

    Args:
      total_steps: the last step of the run.
      start_step: the step that was restored, 0 for a new run.
      steps_per_epoch: shows the epoch where it is above 0.
      interval_seconds: between plain lines, at least.
      stream: standard error by default; a bar where it is a terminal.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        start_step: int = 0,
        steps_per_epoch: float = 0,
        interval_seconds: float = 10.0,
        stream: TextIO | None = None,
    ):
        self.total_steps, self.step = total_steps, start_step
        self._images, self._steps_per_epoch = 0, steps_per_epoch
        self._interval, self._stream = interval_seconds, stream or sys.stderr
        self._values: dict[str, float] = {}
        self._clock = Stopwatch()
        self._recent: deque[Mark] = deque()
        self._reached: list[Mark] = []
        self._fetched: list[Mark] = []
        self._printed_at, self._printed_step = -float('inf'), -1
        self._shown = processes.is_first()
        self._bar = self._task = None
        if self._shown and self._stream.isatty():
            columns = (TextColumn('{task.description}'), BarColumn(bar_width=20), _Rest(self))
            console = Console(file=self._stream)
            self._bar = Bar(*columns, console=console, refresh_per_second=4)
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

    def update(self, step: int, images: int = 0, **values: float) -> None:
        """After each step or dispatch: the step reached, images since the last call, and the numbers, where fetched.

        Costs microseconds and waits for nothing; `values` are numbers on the host, so the devices are as far as this.
        """
        self.step = step
        self._images += images
        mark = Mark(self._clock(), step, self._images)
        self._recent.append(mark)
        while len(self._recent) > 2 and mark.seconds - self._recent[1].seconds > 30.0:
            self._recent.popleft()
        self._reached = [*self._reached[:1], mark]
        if values:
            self._values = values
            self._fetched = [*self._fetched[:1], mark]
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=self._where())
        elif self._shown and values and time.monotonic() - self._printed_at >= self._interval:
            self._print()

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

    def images_per_second(self) -> float:
        """Over this run's training, from the first values fetched to the last: compilation and pauses are left out.

        Where values were fetched only once, between the first update and the last; NaN before the second update.
        """
        rate = _rate(self._fetched, 'images')
        return rate if rate == rate else _rate(self._reached, 'images')

    def _where(self) -> str:
        epoch = f'  epoch {self.step / self._steps_per_epoch:.1f}' if self._steps_per_epoch else ''
        return f'step {self.step}/{self.total_steps}{epoch}'

    def _rest(self) -> str:
        parts = [f'{name} {value:.4g}' for name, value in self._values.items()]
        if (rate := _rate(self._recent, 'images')) > 0:
            parts.append(f'{rate:,.0f} images/s' if rate >= 100 else f'{rate:.3g} images/s')
        if (pace := _rate(self._recent, 'step')) > 0:
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
        return Text(self._progress._rest(), no_wrap=True, overflow='ellipsis')


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


def _rate(marks, what: str) -> float:
    """Per second from the first mark to the last; NaN where there is no telling."""
    if len(marks) < 2 or marks[-1].seconds <= marks[0].seconds:
        return float('nan')
    return (getattr(marks[-1], what) - getattr(marks[0], what)) / (marks[-1].seconds - marks[0].seconds)


def duration(seconds: float) -> str:
    """0:07, 12:05 or 3:04:05."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f'{hours}:{minute:02}:{second:02}' if hours else f'{minute}:{second:02}'

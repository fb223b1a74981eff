"""What a run shows, against rates and times worked out by hand on a clock of our own."""

import io

import pytest

from cnn.training import progress as module
from cnn.training.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that only the test moves."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


def test_rate_leaves_compilation_and_pauses_out(clock):
    progress = Progress(100, stream=io.StringIO())
    assert progress.images_per_second() != progress.images_per_second(), 'NaN before anything ran'
    clock.now += 60  # compilation
    progress.update(1, 64)
    progress.update(1, loss=2.0)
    for step in range(2, 12):
        clock.now += 0.5
        progress.update(step, 64)
        if step == 6:
            with progress.paused():
                clock.now += 300  # an evaluation
    progress.update(11, loss=1.0)
    # Ten steps of 64 images in five seconds.
    assert progress.images_per_second() == pytest.approx(128.0)


def test_rate_without_values_is_that_of_the_updates(clock):
    progress = Progress(100, stream=io.StringIO())
    for step in (1, 2, 3):
        clock.now += 2
        progress.update(step, 10)
    assert progress.images_per_second() == pytest.approx(5.0)


def test_plain_lines_come_at_the_interval_and_at_the_end(clock):
    stream = io.StringIO()
    with Progress(1000, steps_per_epoch=50, interval_seconds=10, stream=stream) as progress:
        for step in range(1, 101):
            clock.now += 1
            progress.update(step, 32)
            if step % 5 == 0:
                progress.update(step, loss=1 / step)
            if step == 50:
                progress.note('test: accuracy 0.5')
        progress.update(101, 32)
    shown = stream.getvalue().splitlines()
    steps = [line.split()[1] for line in shown if line.startswith('step')]
    assert steps == ['5/1000', '15/1000', '25/1000', '35/1000', '45/1000', '55/1000', '65/1000', '75/1000', '85/1000',
                     '95/1000', '101/1000']  # fmt: skip
    # One step a second: 905 seconds are left at step 95.
    assert 'step 95/1000  epoch 1.9  loss 0.01053  32 images/s  15:05 left' in shown
    assert shown[5] == 'test: accuracy 0.5'


def test_no_line_twice_and_none_without_values(clock):
    stream = io.StringIO()
    with Progress(10, stream=stream) as progress:
        progress.update(1, 1)
    assert stream.getvalue() == ''
    with Progress(10, stream=stream) as progress:
        progress.update(10, 1, loss=1.0)
    assert stream.getvalue().count('\n') == 1


def test_a_resumed_run_counts_its_own_steps(clock):
    stream = io.StringIO()
    with Progress(110, start_step=100, interval_seconds=0, stream=stream) as progress:
        progress.update(101, 8)
        clock.now += 4
        progress.update(103, 16, loss=1.0)
    assert stream.getvalue() == 'step 103/110  loss 1  4 images/s  0:14 left\n'


def test_a_terminal_gets_a_bar_with_notes_above(monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '100')
    stream = Terminal()
    with Progress(10, steps_per_epoch=5, stream=stream) as progress:
        for step in range(1, 11):
            progress.update(step, 4)
        progress.update(10, loss=0.25)
        progress.note('saved [bold]as it is[/bold]')
    shown = stream.getvalue()
    assert 'step 10/10  epoch 2.0' in shown
    assert 'loss 0.25' in shown
    assert 'saved [bold]as it is[/bold]' in shown
    assert '\x1b[?25h' in shown, 'the cursor is shown again'


@pytest.mark.parametrize(('seconds', 'text'), [(0, '0:00'), (7.4, '0:07'), (725, '12:05'), (11045, '3:04:05')])
def test_durations_read_like_a_clock(seconds, text):
    assert duration(seconds) == text

"""What the cells of a feature map see of the image, along one axis: the algebra behind receptive fields.

Cell i of a map sees the input cells `first .. last`, and both ends move by `step` whenever i moves by `period`:

    first(i) = firsts[i % period] + step * (i // period)

An ordinary network has period 1 and step = its stride. A transposed convolution looks at its input through holes, so
neighbouring cells differ; they repeat with a period, and the stride `step / period` may be below one. Cells before the
first and behind the last one of the image are padding and are counted, as the papers do.
"""

import dataclasses
import math
from fractions import Fraction

Interval = tuple[int, int]


class JumpMismatch(ValueError):
    """Two maps of different stride were joined cell by cell, so that no one window describes the result."""


def hull(*intervals: Interval | None) -> Interval | None:
    """The smallest interval that holds all of them; None stands for the empty one."""
    known = [interval for interval in intervals if interval is not None]
    if not known:
        return None
    return min(low for low, _ in known), max(high for _, high in known)


@dataclasses.dataclass(frozen=True)
class Window:
    """The interval of input cells seen by every cell i of a map; a phase that sees nothing is None."""

    step: int = 1
    phases: tuple[Interval | None, ...] = ((0, 0),)

    @property
    def period(self) -> int:
        return len(self.phases)

    @property
    def jump(self) -> Fraction:
        """Input cells between neighbouring cells of the map."""
        return Fraction(self.step, self.period)

    @property
    def size(self) -> int:
        """Receptive field: input cells seen by one cell, the most over the phases."""
        return max((high - low + 1 for low, high in filter(None, self.phases)), default=0)

    @property
    def start(self) -> int | None:
        """The first input cell that cell 0 sees; negative in the padding. None where cell 0 sees nothing."""
        return self.phases[0][0] if self.phases[0] else None

    def interval(self, index: int) -> Interval | None:
        """What cell `index` sees, both ends included."""
        turn, phase = divmod(index, self.period)
        if self.phases[phase] is None:
            return None
        low, high = self.phases[phase]
        return low + turn * self.step, high + turn * self.step

    def hull(self, cells: int) -> Interval | None:
        """What the cells `0 .. cells - 1` see together."""
        head = range(min(cells, self.period))
        tail = range(max(cells - self.period, 0), cells)
        return hull(*map(self.interval, [*head, *tail]))

    def slide(
        self, size: int, stride: int = 1, padding: int = 0, dilation: int = 1, base_dilation: int = 1
    ) -> 'Window':
        """The map after a window operation over this one: convolution, pooling, padding (`size=1`) or slicing.

        Args:
          size: taps of the window.
          stride: cells it moves by.
          padding: cells in front of the first one; negative crops.
          dilation: cells between neighbouring taps.
          base_dilation: `base_dilation - 1` holes between neighbouring cells, as in a transposed convolution.
        """
        turn = self.period * base_dilation
        period = turn // math.gcd(stride, turn)
        phases = []
        for i in range(period):
            places = (i * stride + tap * dilation - padding for tap in range(size))
            phases.append(hull(*(self.interval(p // base_dilation) for p in places if p % base_dilation == 0)))
        return _simplest(Window(self.step * stride * period // turn, tuple(phases)))

    def flip(self, cells: int) -> 'Window':
        """The map of `cells` cells read backwards."""
        return Window(-self.step, tuple(self.interval(cells - 1 - i) for i in range(self.period)))

    def merge(self, factor: int) -> 'Window':
        """Each new cell holds `factor` neighbouring ones, as after space to depth."""
        return self.slide(factor, stride=factor)

    def repeat(self, times: int) -> 'Window':
        """Every cell `times` times in a row, as when an image is enlarged by its nearest cells."""
        phases = tuple(phase for phase in self.phases for _ in range(times))
        return _simplest(Window(self.step, phases))

    def join(self, other: 'Window') -> 'Window':
        """Cell by cell, the smallest interval that holds both: where branches meet.

        Raises:
          JumpMismatch: if the maps have different strides.
        """
        if self.jump != other.jump:
            raise JumpMismatch(f'maps of stride {self.jump} and {other.jump} meet cell by cell')
        period = math.lcm(self.period, other.period)
        phases = tuple(hull(self.interval(i), other.interval(i)) for i in range(period))
        return _simplest(Window(self.step * period // self.period, phases))


def _simplest(window: Window) -> Window:
    """The same window with the shortest period."""
    for period in range(1, window.period):
        if window.period % period or window.step * period % window.period:
            continue
        short = Window(window.step * period // window.period, window.phases[:period])
        if all(short.interval(i) == window.phases[i] for i in range(window.period)):
            return short
    return window

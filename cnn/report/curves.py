"""Curves as numbers for an inline SVG: a panel for each metric, in its own units, ticks at round numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cnn.report.numbers import share, short

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 10, 26
# More points than this are drawn as means of neighbours.
POINTS = 300
COLORS = 6
# So few points have marks.
MARKED = 15
# A metric that falls by more than this is drawn on a logarithmic axis.
DECADES = 20
# What comes first; the rest in the order of the record.
FIRST = ('loss',)


class Line(NamedTuple):
    """A polyline: `points` as SVG has them, its legend's `label` ('' for none of its own), its `color`'s number."""

    points: list[str]
    label: str
    color: int
    faint: bool


class Tick(NamedTuple):
    """A mark at `place`, in the SVG's units, and what is written at it."""

    place: float
    label: str


class Panel(NamedTuple):
    """A metric over the steps; legend entries are (label, color)."""

    title: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    legend: list[tuple[str, int]]
    note: str


def panels(records: Mapping[str, Sequence[Mapping[str, Any]]], *, metrics: Sequence[str] = ()) -> list[Panel]:
    """A panel for each metric that has more than one value.

    Args:
      records: of a run ('' its name), of its members, or of several runs: lines of `metrics.jsonl` by name. With one
        name the splits have colours, and with several members too, whose lines are faint.
      metrics: those to draw; by default all.
    """
    found: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
    for name, own in records.items():
        for record in own:
            for metric, value in record.items():
                if metric in ('step', 'split') or isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                if math.isfinite(value) and (not metrics or metric in metrics):
                    series = found.setdefault(metric, {}).setdefault((name, record['split']), {})
                    series[record['step']] = float(value)
    order = metrics or sorted(found, key=lambda metric: metric not in FIRST)
    # A split has one colour in all panels.
    splits = list(dict.fromkeys(record['split'] for own in records.values() for record in own))
    # What was measured once is a number of the tables, and no curve.
    curves = [metric for metric in order if any(len(points) > 1 for points in found.get(metric, {}).values())]
    return [_panel(metric, found[metric], splits) for metric in curves]


def compared(runs: Mapping[str, Sequence[Mapping[str, Any]]], metric: str) -> Panel | None:
    """One metric of several runs, a colour each, on what each was scored on (its loss in training where on nothing)."""
    lines = {}
    for name, records in runs.items():
        scored = [r for r in records if r['split'] != 'train' and isinstance(r.get(metric), int | float)]
        scored = scored or [r for r in records if isinstance(r.get(metric), int | float)]
        if scored:
            lines[name, ''] = {r['step']: float(r[metric]) for r in scored}
    return _panel(metric, lines, list(runs), by_name=True) if lines else None


def _panel(metric: str, series: Mapping[tuple[str, str], Mapping[int, float]], names, by_name: bool = False) -> Panel:
    many = len({name for name, _ in series}) > 1 and not by_name
    xs = [step for points in series.values() for step in points]
    ys = [value for points in series.values() for value in points.values()]
    x_axis = Axis(0, max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _y_axis(metric, ys)
    lines, notes = [], set()
    for (name, split), points in series.items():
        thinned, each = _thinned(sorted(points.items()))
        if each > 1:
            notes.add(f'means of {each} neighbouring records')
        color = names.index(name if by_name else split) % COLORS
        where = [f'{x_axis(x):.1f},{y_axis(y):.1f}' for x, y in thinned]
        lines.append(Line(where, name or split, color, many))
    label = share if y_axis.share else short
    return Panel(
        title=metric.replace('_', ' '),
        lines=lines,
        x_ticks=[Tick(x_axis(x), f'{x:,.0f}') for x in x_axis.ticks(4) if x == int(x)],
        y_ticks=[Tick(y_axis(y), label(y)) for y in y_axis.ticks(5)],
        legend=[(name, i % COLORS) for i, name in enumerate(names) if any(name == key[not by_name] for key in series)],
        note='; '.join([*sorted(notes), *(['logarithmic'] if y_axis.log else [])]),
    )


class Axis:
    """Data to the SVG's units."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool = False, share: bool = False):
        if high <= low:
            low, high = low - abs(low) * 0.05 - 1e-9, high + abs(high) * 0.05 + 1e-9
        self.low, self.high, self.start, self.end, self.log, self.share = low, high, start, end, log, share

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int) -> list[float]:
        """About so many round numbers between the ends."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            inside = [t for t in every if self.low <= t <= self.high]
            return inside[:: -(-len(inside) // count) or 1]
        step = _round_up((self.high - self.low) / count)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _y_axis(metric: str, values: Sequence[float]) -> Axis:
    from cnn.analysis.fold_statistics import SHARES

    low, high = min(values), max(values)
    log = metric not in SHARES and low > 0 and high > DECADES * low
    if not log:
        margin = 0.04 * (high - low)
        low, high = low - margin, high + margin
        if metric in SHARES:
            low, high = max(low, 0.0), min(high, 1.0)
    return Axis(low, high, HEIGHT - BOTTOM, TOP, log=log, share=metric in SHARES)


def _round_up(step: float) -> float:
    """The smallest of 1, 2, 5, 10, ... that is no smaller."""
    unit = 10.0 ** math.floor(math.log10(step))
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= step * (1 - 1e-9))


def _thinned(points: Sequence[tuple[int, float]]) -> tuple[Iterable[tuple[float, float]], int]:
    """At most POINTS points, each the mean of as many neighbours as the second number says."""
    each = -(-len(points) // POINTS)
    if each == 1:
        return points, 1
    parts = [points[i : i + each] for i in range(0, len(points), each)]
    return [tuple(sum(axis) / len(part) for axis in zip(*part, strict=True)) for part in parts], each

"""Learning curves from `metrics.jsonl`."""

import json
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, ORANGE, figure

_COLORS = (BLUE, ORANGE, '#009e73', '#cc79a7', '#e69f00')
# Shares from 0 to 1 whose interesting part is near 1.
_SHARES = ('accuracy', 'top5_accuracy', 'mean_class_accuracy', 'pixel_accuracy', 'mean_iou', 'map_50', 'map_coco')
# Distance from 1 at which the stretched axis ends.
_END = 1e-3


def read(path: str) -> list[dict]:
    """The records of a `metrics.jsonl`; a last line that a killed run left unfinished is dropped.

    Raises:
      ValueError: for any other line that is not a JSON object with `step` and `split`.
    """
    with open(path, encoding='utf-8') as file:
        lines = file.read().splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or 'step' not in record or 'split' not in record:
                raise ValueError('no step and split')
        except ValueError as error:
            if number == len(lines):
                break
            raise ValueError(f'{path}, line {number}: not a record of metrics ({error})') from None
        records.append(record)
    return records


def draw(records: Iterable[dict], path: str, *, metrics: Sequence[str] = ('loss', 'accuracy')) -> None:
    """Writes `path` (PNG): one panel a metric that any record has, one line a split.

    A loss is drawn on a logarithmic axis once it falls by more than ten times; a share that comes near 1 on an axis
    stretched there, so that 99 and 99.5 % are apart.
    """
    records = list(records)
    metrics = [m for m in metrics if any(m in r for r in records)] or list(metrics[:1])
    with figure(path, 5.2 * len(metrics), 3.6) as canvas:
        for axes, metric in zip(canvas.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            lines = _series(records, metric)
            for color, (split, (steps, values)) in zip(_cycle(len(lines)), lines.items(), strict=True):
                _line(axes, steps, values, color, text.shorten(split, 24))
            everything = np.concatenate([v for _, v in lines.values()] or [np.zeros(0)])
            scale(axes, metric, everything[np.isfinite(everything)])
            axes.set_title(text.shown(metric.replace('_', ' ')), loc='left', **text.style())
            axes.set_xlabel('step')
            axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
            axes.grid(True)
            axes.set_axisbelow(True)
            if lines:
                legend = axes.legend()
                for entry in legend.get_texts():
                    entry.set(**text.style())


def _series(records, metric):
    """Split -> (steps, values), in order of steps; of several records for one step the last counts."""
    found = {}
    for record in records:
        if isinstance(record.get(metric), int | float):
            found.setdefault(str(record['split']), {})[int(record['step'])] = float(record[metric])
    return {s: (np.array(sorted(v)), np.array([v[k] for k in sorted(v)])) for s, v in found.items()}


def _cycle(count):
    return [_COLORS[i % len(_COLORS)] for i in range(count)]


def _line(axes, steps, values, color, label):
    """A crowded line is drawn faint, with its running mean over a fortieth of the points on top."""
    window = len(values) // 40
    if window < 3:
        axes.plot(steps, values, color=color, label=label, marker='o' if len(values) < 30 else None, markersize=3)
        return
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    mean = np.convolve(values, np.ones(window) / window, 'valid')
    first = (window - 1) // 2
    axes.plot(steps[first : first + len(mean)], mean, color=color, label=label)


def scale(axes, metric: str, values: np.ndarray) -> None:
    """Gives the vertical axis of a metric with these finite values its scale, as `draw` says."""
    if not values.size:
        return
    if metric in _SHARES:
        if values.max() > 0.9:
            axes.set_yscale('function', functions=(_stretch, _unstretch))
            ticks = [t for t in (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1) if t >= _floor(values)]
            axes.set_ylim(_floor(values), 1)
            axes.yaxis.set_major_locator(ticker.FixedLocator(ticks))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))
    elif values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def _floor(values):
    """The tick below nearly all values: the first steps of a run would press the rest together."""
    low = np.quantile(values, 0.02)
    return max(t for t in (0, 0.5, 0.8, 0.9, 0.95) if t <= max(low, 0))


def _stretch(share):
    return -np.log10(1 + _END - np.clip(share, None, 1))


def _unstretch(place):
    return 1 + _END - np.power(10.0, -place)

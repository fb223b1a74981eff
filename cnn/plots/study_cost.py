"""Scores against what they cost: parameters, multiplications, and measured time where there is any."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, INK, figure
from cnn.plots.folds import SHARES


def draw(document: Mapping[str, Any], path: str) -> None:
    """Writes `path` (PNG): a panel for each cost, a point an arm with its standard deviation over the seeds."""
    metric, arms = document['plot']['metric'], document['arms']
    costs = {'parameters': lambda a: a['parameters'], 'multiplications an image': lambda a: a['macs']}
    if all(arm['timings'].get('step_seconds') for arm in arms):
        costs['ms a training step, median'] = lambda a: 1e3 * float(np.median(a['timings']['step_seconds']))
    with figure(path, 4.3 * len(costs) + 0.6, 4.4) as canvas:
        panels = canvas.subplots(1, len(costs), squeeze=False, sharey=True)[0]
        for axes, (name, of) in zip(panels, costs.items(), strict=True):
            points = [(of(arm), arm['mean'][metric], arm['std'][metric] or 0.0, arm['name']) for arm in arms]
            for x, y, spread, _ in points:
                axes.errorbar([x], [y], [spread], fmt='o', color=BLUE, elinewidth=1.1, capsize=3, markersize=6)
            _axis(axes, [x for x, *_ in points])
            _labels(axes, points)
            axes.set_xlabel(name)
            axes.grid(True)
            axes.set_axisbelow(True)
        if metric in SHARES:
            panels[0].yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))
        title = f'{metric.replace("_", " ")}, mean ± standard deviation of {len(document["seeds"])} seeds'
        panels[0].set_title(text.shown(title), loc='left', **text.style())


def _axis(axes, places) -> None:
    low, high = min(places), max(places)
    if high > 3 * low:
        axes.set_xscale('log')
        axes.set_xlim(low / 1.4, high * 1.9)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    else:
        axes.set_xlim(low - 0.12 * (high - low or 1), high + 0.3 * (high - low or 1))
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: _short(v)))


def _labels(axes, points) -> None:
    """Names beside the points, those of near ones above and below each other."""
    axes.margins(y=0.15)
    axes.autoscale_view(scalex=False)
    inverse, placed = axes.transData, []
    axes.figure.draw_without_rendering()
    for x, y, _, name in sorted(points, key=lambda p: p[1]):
        at = inverse.transform((x, y))
        shift = 0.0
        while any(abs(at[0] - px) < 75 and abs(at[1] + shift - py) < 13 for px, py in placed):
            shift += 4.0
        placed.append((at[0], at[1] + shift))
        axes.annotate(text.shorten(name.replace('_', ' '), 22), (x, y), xytext=(6, 4 + shift * 72 / axes.figure.dpi),
                      textcoords='offset points', fontsize=8, color=INK, **text.style())  # fmt: skip


def _short(value: float) -> str:
    for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if value >= size:
            return f'{value / size:g} {unit}'
    return f'{value:g}'

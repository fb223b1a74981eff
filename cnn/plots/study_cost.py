"""Scores against what they cost: parameters, multiplications, and measured time where there is any."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import curves, palette, text
from cnn.plots.figure import figure
from cnn.plots.folds import SHARES

_MARKERS = 'osD^vP'


def draw(document: Mapping[str, Any], path: str) -> None:
    """Writes `path` (PNG): a panel for each cost, a point an arm with its standard deviation over the seeds."""
    metric, arms = document['plot']['metric'], document['arms']
    costs = {'parameters': lambda a: a['parameters'], 'multiplications an image': lambda a: a['macs']}
    if all(arm['timings'].get('step_seconds') for arm in arms):
        costs['ms a training step, median'] = lambda a: 1e3 * float(np.median(a['timings']['step_seconds']))
    colors = [tuple(color / 255) for color in palette.of([f'arm {k}' for k in range(len(arms))])]
    with figure(path, 3.9 * len(costs) + 2.2, 4.2) as canvas:
        panels = canvas.subplots(1, len(costs), squeeze=False, sharey=True)[0]
        for axes, (name, of) in zip(panels, costs.items(), strict=True):
            for k, (arm, color) in enumerate(zip(arms, colors, strict=True)):
                spread = arm['std'][metric] or 0.0
                axes.errorbar([of(arm)], [arm['mean'][metric]], [spread], fmt=_MARKERS[k % len(_MARKERS)], color=color,
                              elinewidth=1.2, capsize=3, markersize=7, alpha=0.9,
                              label=text.shorten(arm['name'].replace('_', ' '), 26))  # fmt: skip
            _axis(axes, [of(arm) for arm in arms])
            axes.set_xlabel(name)
            axes.grid(True)
            axes.set_axisbelow(True)
        ends = [arm['mean'][metric] + sign * (arm['std'][metric] or 0.0) for arm in arms for sign in (-1, 1)]
        _heights(panels[0], metric, np.array(ends))
        title = f'{metric.replace("_", " ")}, mean ± standard deviation of {len(document["seeds"])} seeds'
        panels[0].set_title(text.shown(title), loc='left', **text.style())
        legend = canvas.legend(*panels[0].get_legend_handles_labels(), loc='outside right upper', fontsize=9)
        for entry in legend.get_texts():
            entry.set(**text.style())


def _heights(axes, metric: str, ends: np.ndarray) -> None:
    """Shares that are far apart on the axis stretched towards 1, others as they are."""
    if metric not in SHARES or np.ptp(ends) > 0.1:
        curves.scale(axes, metric, ends)
        if metric in SHARES:
            axes.set_ylim(top=min(tick for tick in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1) if tick >= ends.max()))
        return
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))


def _axis(axes, places) -> None:
    low, high = min(places), max(places)
    if high > 3 * low:
        axes.set_xscale('log')
        axes.set_xlim(low / 1.5, high * 1.5)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    else:
        axes.set_xlim(low - 0.12 * (high - low or 1), high + 0.12 * (high - low or 1))
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: _short(v)))


def _short(value: float) -> str:
    for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if value >= size:
            return f'{value / size:g} {unit}'
    return f'{value:g}'

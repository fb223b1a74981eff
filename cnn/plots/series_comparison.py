"""Forecasters side by side: their errors over subjects, and how errors grow with the distance."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure

_COLORS = (ORANGE, BLUE, '#009e73', '#cc79a7', '#e69f00')
_ROW = 0.5


def draw(methods: Sequence[Mapping[str, Any]], path: str, *, unit: str = '', title: str = '') -> None:
    """Writes `path` (PNG): left a row a method, right a line a method over the steps ahead.

    Args:
      methods: each with `name`; `values` `[S]`, each subject's mean absolute error; `mean`; `interval` (`[low, high]`
        over subjects, or None); `ahead` `[H]`, the mean absolute error 1 ... H steps ahead; `trained`, whether it is a
        network (drawn in colour; the others in grey).
      unit: of the errors.
      title: what was tested, in a line.
    """
    height = max(3.4, 1.3 + _ROW * len(methods))
    with figure(path, 12.5, height) as canvas:
        left, right = canvas.subplots(1, 2, width_ratios=(1.5, 1))
        colors = _colors(methods)
        for row, (method, color) in enumerate(zip(methods, colors, strict=True)):
            _row(left, row, method, color)
        left.set_yticks(range(len(methods)), [text.shorten(m['name'], 46) for m in methods])
        for label in left.get_yticklabels():
            label.set(**text.style())
        left.set_ylim(len(methods) - 0.5, -0.5)
        left.tick_params(axis='y', length=0)
        left.spines['left'].set_visible(False)
        _error_axis(left, methods)
        of = f' ({text.shown(unit)})' if unit else ''
        left.set_xlabel(f'mean absolute error{of}: a dot a subject, the mean, its interval', **text.style())
        left.set_title(text.shown(title), loc='left', **text.style())
        ends = _apart([method['ahead'][-1] for method in methods], 0.055)
        for method, color, end in zip(methods, colors, ends, strict=True):
            ahead = np.asarray(method['ahead'])
            style = '-' if method['trained'] else '--'
            right.plot(np.arange(1, len(ahead) + 1), ahead, style, color=color, marker='o', markersize=3.5)
            right.annotate(
                text.shorten(method['name'].partition(' (')[0], 34), (len(ahead), end), xytext=(7, 0),
                textcoords='offset points', va='center', fontsize=8.5, color=color, annotation_clip=False,
                **text.style(),
            )  # fmt: skip
        right.set_xlabel('steps ahead')
        right.set_title('error by distance', loc='left')
        right.set_ylim(bottom=0)
        right.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        for axes in (left, right):
            axes.grid(True, axis='x' if axes is left else 'both')
            axes.set_axisbelow(True)


def _colors(methods) -> list[str]:
    trained = iter(_COLORS * len(methods))
    greys = iter((FAINT, '#6f6f6f', '#b9a27e', '#5b7f95') * len(methods))
    return [next(trained) if method['trained'] else next(greys) for method in methods]


def _apart(values: Sequence[float], share: float) -> np.ndarray:
    """Where labels of these values stand, in their order and at least `share` of the largest value apart."""
    values = np.asarray(values, float)
    places, least = values.copy(), share * values.max()
    order = np.argsort(values, kind='stable')
    for before, at in itertools.pairwise(order):
        places[at] = max(places[at], places[before] + least)
    return places


def _row(axes, row, method, color) -> None:
    values = np.asarray(method['values'], float)
    # Up and down by a rule, so that equal errors do not hide each other: the golden ratio spreads any number evenly.
    spread = (np.arange(len(values)) * 0.618034) % 1 - 0.5
    axes.plot(values, row - 0.08 + 0.4 * spread, 'o', color=color, alpha=0.35, markersize=3.2, markeredgewidth=0)
    mean, ends = method['mean'], method['interval']
    axes.plot([mean, mean], [row - 0.34, row + 0.26], color=INK, linewidth=2.2, solid_capstyle='butt')
    note = f'{mean:.3g}'
    if ends:
        axes.plot(ends, [row + 0.26] * 2, color=INK, linewidth=2.2, solid_capstyle='butt')
        note += f'  [{ends[0]:.3g}, {ends[1]:.3g}]'
    axes.annotate(note, (1.01, row), xycoords=('axes fraction', 'data'), va='center', fontsize=8.5,
                  annotation_clip=False, **text.style())  # fmt: skip


def _error_axis(axes, methods) -> None:
    """Logarithmic from the smallest to the largest: some subjects are forecast a hundred times better than others."""
    values = np.concatenate([np.asarray(m['values'], float) for m in methods])
    values = values[values > 0]
    if values.size and values.max() > 20 * values.min():
        axes.set_xscale('log')
        axes.set_xlim(max(values.min(), np.quantile(values, 0.002)) * 0.9, values.max() * 1.1)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
        axes.xaxis.set_minor_locator(ticker.NullLocator())

"""Several subjects' forecasts beside what came."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure

_PANELS = (2, 3)


def draw_forecasts(table: Mapping[str, np.ndarray], curve: Callable[[int], Any], path: str, *, unit: str = '') -> None:
    """Writes `path` (PNG): six panels, a subject each, from the best forecast to the worst.

    Each subject's last example counts. Their mean absolute errors are ranked, and the panels stand at equal distances
    in that order: the first is the best of all, the last the worst, and nobody picked those between.

    Args:
      table: `index`, `subject` `[N]`, `forecast` and `truth` `[N, H]`.
      curve: of an index, the example's `name`, `past_times`, `past` `[T]`, `times` and `values` `[H]`.
      unit: of the values.
    """
    last = np.array([np.flatnonzero(table['subject'] == s)[-1] for s in np.unique(table['subject'])])
    errors = np.abs(table['forecast'][last] - table['truth'][last]).mean(1)
    order = np.argsort(errors, kind='stable')
    ranks = np.unique(np.round(np.linspace(0, len(order) - 1, _PANELS[0] * _PANELS[1])).astype(int))
    with figure(path, 3.5 * _PANELS[1], 2.6 * _PANELS[0]) as canvas:
        panels = canvas.subplots(*_PANELS).ravel()
        for axes, rank in zip(panels, ranks, strict=False):
            row = last[order[rank]]
            _panel(axes, curve(int(table['index'][row])), table['forecast'][row])
            name = text.shorten(curve(int(table['index'][row])).name, 30)
            axes.set_title(f'{name}\n', loc='left', fontsize=10, **text.style())
            place = f'mean error {_number(errors[order[rank]])}, {rank + 1} of {len(order)}'
            axes.text(0, 1.03, place, transform=axes.transAxes, fontsize=8.5, color=FAINT, **text.style())
        for axes in panels[len(ranks) :]:
            axes.set_axis_off()
        panels[0].legend(fontsize=8.5, loc='best')
        if unit:
            canvas.supylabel(text.shown(unit), fontsize=10, color=INK, **text.style())


def _panel(axes, shown, forecast) -> None:
    axes.plot(shown.past_times, shown.past, color=INK, linewidth=1.4, label='known')
    joined = np.concatenate([shown.past_times[-1:], shown.times])
    for values, color, label in ((shown.values, BLUE, 'came'), (forecast, ORANGE, 'forecast')):
        line = {'color': color, 'linewidth': 1.4, 'marker': 'o', 'markersize': 2.5}
        axes.plot(joined, [shown.past[-1], *values], label=label, **line)
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
    if np.asarray(shown.times).dtype.kind in 'if':
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:g}'))
    else:
        axes.tick_params(axis='x', labelrotation=30)


def _number(value: float) -> str:
    return f'{value:.3g}'

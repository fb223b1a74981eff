"""The validation curve: scores over capacity, the training curve beside it, and what is chosen where."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure
from cnn.plots.folds import SHARES


def draw(
    points: Sequence[Mapping[str, Any]],
    path: str,
    *,
    metric: str,
    capacity: str = 'degree',
    best: Any = None,
    chosen: Any = None,
    threshold: float | None = None,
    error_name: str = 'corrected standard error',
) -> None:
    """Writes `path` (PNG): the folds' mean over capacity, with each fold as a dot.

    Args:
      points: one a setting, with `capacity` (a number, or a word), `validation` (a value for each fold), `error` (the
        standard error of their mean, or None) and `train` (a value for each fold; may be empty). Drawn in their order
        of capacity where all are numbers, on a logarithmic axis where these span more than thirtyfold.
      metric: what the values are; shares are shown in per cent.
      capacity: what the axis is called.
      best: capacity of the best mean.
      chosen: capacity that the rule of one standard error chose; may be the same.
      threshold: the mean that it had to reach.
      error_name: what `error` is; it is no interval, so its name stands in the legend.
    """
    places, log = _places([p['capacity'] for p in points])
    order = np.argsort(places, kind='stable')
    points, places = [points[i] for i in order], places[order]
    with figure(path, 6.6, 4.6) as canvas:
        axes = canvas.subplots()
        if log:
            axes.set_xscale('log')
        for key, label, color in (('train', 'training', BLUE), ('validation', 'validation', ORANGE)):
            _curve(axes, points, places, key, f'{label}, mean', color, log, error_name)
        _marks(axes, points, places, best, chosen, threshold)
        _ticks(axes, points, places, log)
        _heights(axes, points, metric)
        axes.margins(x=0.04)
        axes.set_xlabel(text.shown(capacity.replace('_', ' ')), **text.style())
        axes.set_title(text.shown(metric.replace('_', ' ')), loc='left', **text.style())
        axes.grid(True, axis='y')
        axes.set_axisbelow(True)
        # Curves with error bars come last of themselves; the curves belong first.
        handles, labels = axes.get_legend_handles_labels()
        first = sorted(range(len(labels)), key=lambda k: not labels[k].startswith(('training', 'validation')))
        legend = canvas.legend([handles[k] for k in first], [labels[k] for k in first], fontsize=8.5, ncols=2,
                               loc='outside lower left')  # fmt: skip
        for entry in legend.get_texts():
            entry.set(**text.style())


def _places(capacities):
    """Where each capacity stands, and whether on a logarithmic axis; words stand in their order."""
    numbers = [c for c in capacities if isinstance(c, int | float) and not isinstance(c, bool) and np.isfinite(c)]
    if len(numbers) < len(capacities):
        return np.arange(len(capacities), dtype=float), False
    places = np.asarray(capacities, float)
    return places, bool(len(places) > 2 and places.min() > 0 and places.max() > 30 * places.min())


def _curve(axes, points, places, key, label, color, log, error_name):
    means, errors, drawn = [], [], []
    if not len(places):
        return
    step = 0.012 * (np.ptp(np.log(places) if log else places) or 1.0) * (1 if key == 'validation' else -1)
    for point, place in zip(points, places, strict=True):
        values = np.asarray(point.get(key) or [], float)
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        beside = place * np.exp(step) if log else place + step
        axes.plot([beside] * len(values), values, 'o', color=color, alpha=0.3, markersize=3.5, markeredgewidth=0)
        means.append(values.mean())
        errors.append(point.get('error') if key == 'validation' else None)
        drawn.append(place)
    if not drawn:
        return
    has_errors = any(e is not None for e in errors)
    if not has_errors:
        axes.plot(drawn, means, color=color, linewidth=1.8, label=label)
        return
    bars = [np.nan if e is None else e for e in errors]
    label += f' ± one {error_name}'
    axes.errorbar(drawn, means, bars, color=color, linewidth=1.8, elinewidth=1.4, capsize=3.5, label=label)


def _marks(axes, points, places, best, chosen, threshold):
    at = {p['capacity']: (place, np.mean(p['validation'])) for p, place in zip(points, places, strict=True)
          if len(p['validation'])}  # fmt: skip
    if threshold is not None and np.isfinite(threshold):
        axes.axhline(threshold, color=FAINT, linewidth=1, linestyle='--', label='one standard error from the best')
    if best in at:
        axes.plot(*at[best], 'o', markersize=13, markerfacecolor='none', markeredgecolor=INK, markeredgewidth=1.4,
                  linestyle='none', label=f'best mean: {text.shorten(best, 20)}')  # fmt: skip
    if chosen in at:
        axes.plot(*at[chosen], 'D', markersize=8, color=INK, linestyle='none', zorder=5,
                  label=f'chosen, the simplest within: {text.shorten(chosen, 20)}')  # fmt: skip


def _heights(axes, points, metric):
    """Shares in per cent and inside 0 to 1; positive values that span more than tenfold on a logarithmic axis."""
    values = np.array([v for p in points for v in (*p['validation'], *(p.get('train') or ()))], float)
    values = values[np.isfinite(values)]
    if metric in SHARES:
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.01), min(high, 1.01))
    elif values.size and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale('log', nonpositive='clip')
        axes.set_ylim(values.min() / 1.3, values.max() * 1.3)
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def _ticks(axes, points, places, log):
    capacities = [p['capacity'] for p in points]
    labels = [text.shorten(f'{c:g}' if isinstance(c, float) else c, 14) for c in capacities]
    crowded = len(points) > 12 or (log and len(points) > 8)
    words = any(isinstance(c, str) for c in capacities)
    if words or not crowded:
        axes.set_xticks(places, labels, rotation=30 if words and max(map(len, labels)) > 6 else 0)
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        for label in axes.get_xticklabels():
            label.set(**text.style())

"""A sweep: every trial's value in its order, and which settings mattered."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure
from cnn.plots.folds import SHARES


def history(trials: Sequence[Mapping[str, Any]], path: str, *, metric: str, larger_is_better: bool) -> None:
    """Writes `path` (PNG): a mark a trial, the best so far as a line.

    Args:
      trials: with `number`, `state` (complete, pruned, failed, ...) and `value` (None where there is none); pruned ones
        stand at their last value, failed ones at the lower edge.
      metric: what the values are; shares are shown in per cent.
    """
    with figure(path, 7.0, 3.8) as canvas:
        axes = canvas.subplots()
        done, pruned = (_points(trials, state) for state in ('complete', 'pruned'))
        _best(axes, done, larger_is_better, max((t['number'] for t in trials), default=0))
        axes.plot(*done.T, 'o', color=BLUE, markersize=5.5, markeredgewidth=0, label=f'complete ({len(done)})')
        if len(pruned):
            axes.plot(*pruned.T, 'x', color=FAINT, markersize=5.5, label=f'pruned, where it stood ({len(pruned)})')
        _limits(axes, done[:, 1], pruned[:, 1], metric)
        failed = [t['number'] for t in trials if t['state'] == 'failed']
        if failed:
            low = np.full(len(failed), 0.015)
            axes.plot(failed, low, '^', color=ORANGE, markersize=6, transform=axes.get_xaxis_transform(),
                      linestyle='none', label=f'failed ({len(failed)})')  # fmt: skip
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.set_xlabel('trial')
        axes.set_title(text.shown(metric.replace('_', ' ')), loc='left', **text.style())
        axes.grid(True, axis='y')
        axes.set_axisbelow(True)
        axes.legend(fontsize=8.5, loc='best')


def importance(shares: Mapping[str, float], path: str, *, metric: str, trials: int) -> None:
    """Writes `path` (PNG): a bar a setting, the longest on top.

    Args:
      shares: adding up to 1.
      metric: what they are shares of the variation of.
      trials: how many completed ones they come from.
    """
    order = sorted(shares, key=lambda name: shares[name])
    with figure(path, 7.0, 1.2 + 0.36 * len(order)) as canvas:
        axes = canvas.subplots()
        values = [shares[name] for name in order]
        axes.barh(range(len(order)), values, height=0.62, color=BLUE)
        for row, value in enumerate(values):
            axes.annotate(f'{100 * value:.0f} %', (value, row), xytext=(4, 0), textcoords='offset points', va='center',
                          fontsize=8.5, color=INK)  # fmt: skip
        axes.set_yticks(range(len(order)), [text.shorten(name, 34) for name in order])
        for label in axes.get_yticklabels():
            label.set(**text.style())
        axes.set_xlim(0, 1.12 * max(values))
        axes.xaxis.set_visible(False)
        axes.tick_params(axis='y', length=0)
        for side in ('left', 'bottom'):
            axes.spines[side].set_visible(False)
        said = f'What mattered for {metric.replace("_", " ")}, of {trials} trials'
        axes.set_title(text.shown(said), loc='left', **text.style())


def _points(trials, state) -> np.ndarray:
    """`[n, 2]`: number and finite value of the trials in this state."""
    found = [(t['number'], t['value']) for t in trials if t['state'] == state and t['value'] is not None]
    points = np.array(found, float).reshape(-1, 2)
    return points[np.isfinite(points[:, 1])]


def _best(axes, done, larger_is_better, last):
    if not len(done):
        return
    so_far = (np.maximum if larger_is_better else np.minimum).accumulate(done[:, 1])
    numbers, so_far = np.append(done[:, 0], max(last, done[-1, 0])), np.append(so_far, so_far[-1])
    axes.plot(numbers, so_far, color=INK, linewidth=1.4, drawstyle='steps-post', label='best so far', zorder=1)


def _limits(axes, done, pruned, metric):
    """One bad trial must not flatten the rest: what is far outside is counted, not shown."""
    values = np.concatenate([done, pruned])
    if not values.size:
        return
    low, high = values.min(), values.max()
    if len(values) > 4:
        inner = np.quantile(values, [0.25, 0.75])
        reach = 3 * (inner[1] - inner[0]) or (high - low)
        shown = values[(values >= inner[0] - reach) & (values <= inner[1] + reach)]
        low, high = shown.min(), shown.max()
    margin = 0.07 * ((high - low) or abs(high) or 1.0)
    axes.set_ylim(low - margin, min(high + margin, 1.004) if metric in SHARES else high + margin)
    outside = int(np.sum(values < low) + np.sum(values > high))
    if outside:
        axes.annotate(f'{outside} outside', (1, 0.02), xycoords='axes fraction', ha='right', fontsize=8.5, color=FAINT)
    if metric in SHARES:
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))

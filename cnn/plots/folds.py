"""Folds as dots with their mean and its interval, several settings under each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure

# Metrics from 0 to 1 that are shown in per cent.
SHARES = ('accuracy', 'top5_accuracy', 'mean_class_accuracy', 'pixel_accuracy', 'mean_iou', 'map_50', 'map_coco')
_ROW = 0.62


def draw(document: Mapping[str, Any], metric: str, path: str) -> None:
    """Writes `path` (PNG) from what `folds.json` holds: one row, or one for each of `settings_compared`."""
    compared = document.get('settings_compared') or {'': document}
    draw_settings([of_summary(summary, metric, name) for name, summary in compared.items()], path, metric=metric)


def of_summary(summary: Mapping[str, Any], metric: str, name: str) -> dict[str, Any]:
    """A setting for `draw_settings` from what `fold_statistics.summary` returned."""
    keys = {'values': 'values', 'mean': 'mean', 'interval': 'interval', 'method': 'interval_method'}
    return {'name': name, 'confidence': summary['confidence'], **{k: summary[v][metric] for k, v in keys.items()}}


def draw_settings(settings: Sequence[Mapping[str, Any]], path: str, *, metric: str, of: str = 'folds') -> None:
    """Writes `path` (PNG): a row a setting; a dot a fold, the mean as a bar, its interval as a line below the dots.

    Args:
      settings: from `of_summary`, or with the same keys: `name`, `values`, `mean`, `interval` (`[low, high]`, or None:
        then no line is drawn and `method` says why), `method`, `confidence`. Values that are not finite are left out.
      metric: what the values are; named ones are shown in per cent.
      of: what the values are one of each.
    """
    share = metric in SHARES
    colors = (BLUE, ORANGE) if len(settings) == 2 else (BLUE, BLUE)
    with figure(path, 8.2, 1.15 + _ROW * len(settings)) as canvas:
        axes = canvas.subplots()
        for row, setting in enumerate(settings):
            _row(axes, row, setting, colors[row % 2], share)
        axes.set_yticks(range(len(settings)), [text.shorten(s['name'], 26) for s in settings])
        for label in axes.get_yticklabels():
            label.set(**text.style())
        axes.set_ylim(max(len(settings) - 0.5, 0.5), -0.5)
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.grid(True, axis='x')
        axes.set_axisbelow(True)
        _limits(axes, settings, share)
        axes.set_title(_title(settings, metric, of), loc='left', **text.style())
        reasons = dict.fromkeys(s.get('method') or 'none' for s in settings if not s['interval'])
        if reasons:
            words = '; '.join(r.removeprefix('none: ') for r in reasons)
            axes.set_xlabel(text.shorten(f'no interval: {words}', 100), fontsize=8.5, color=FAINT, **text.style())


def _row(axes, row, setting, color, share):
    values = np.asarray(setting['values'], float)
    values = values[np.isfinite(values)]
    axes.plot(values, row - 0.12 + _spread(values), 'o', color=color, alpha=0.55, markersize=5.5, markeredgewidth=0)
    mean, ends = setting['mean'], setting['interval']
    if mean is None or not np.isfinite(mean):
        return
    axes.plot([mean, mean], [row - 0.33, row + 0.26], color=INK, linewidth=2.2, solid_capstyle='butt')
    if ends:
        axes.plot(ends, [row + 0.26] * 2, color=INK, linewidth=2.2, solid_capstyle='butt')
        for end in ends:
            axes.plot([end, end], [row + 0.19, row + 0.33], color=INK, linewidth=1.2)
    low_high = f'  [{_number(ends[0], share)}, {_number(ends[1], share)}]' if ends else '  no interval'
    note = _number(mean, share) + (' %' if share else '') + low_high
    axes.annotate(note, (1.02, row), xycoords=('axes fraction', 'data'), va='center', fontsize=9, annotation_clip=False,
                  **text.style())  # fmt: skip


def _spread(values):
    """Offsets up and down so that dots within a fortieth of the range do not hide each other."""
    width, placed, levels = (np.ptp(values) if len(values) else 0) / 40, [], np.zeros(len(values), int)
    for i in np.argsort(values, kind='stable'):
        taken = {level for v, level in placed if values[i] - v <= width}
        levels[i] = next(level for level in range(len(values)) if level not in taken)
        placed.append((values[i], levels[i]))
    step = min(0.09, 0.36 / max(1, levels.max(initial=0)))
    return np.where(levels % 2, 1, -1) * ((levels + 1) // 2) * step


def _limits(axes, settings, share):
    every = [v for s in settings for v in (*s['values'], s['mean'], *(s['interval'] or ())) if v is not None]
    every = np.array([v for v in every if np.isfinite(v)])
    if not every.size:
        return
    margin = 0.05 * np.ptp(every) or 0.05 * abs(every[0]) or 1.0
    low, high = every.min() - margin, every.max() + margin
    axes.set_xlim(max(low, -0.004) if share else low, min(high, 1.004) if share else high)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    if share:
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))
    axes.tick_params(axis='x', color=FAINT)


def _title(settings, metric, of):
    counts = sorted({len(s['values']) for s in settings})
    title = f'{text.shown(metric.replace("_", " "))}: {counts[0] if len(counts) == 1 else ""} {of}, their mean'
    drawn = [s for s in settings if s['interval']]
    if drawn:
        levels = {s.get('confidence') for s in drawn}
        level = f'{100 * levels.pop():g} % ' if len(levels) == 1 and None not in levels else ''
        corrected = 'corrected ' if all('corrected' in str(s.get('method')) for s in drawn) else ''
        title += f' and its {corrected}{level}interval'
    return title.replace('  ', ' ')


def _number(value, share):
    return f'{100 * value:.1f}' if share else f'{value:.4g}'

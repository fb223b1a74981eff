"""Training and test curves of many arms in one figure, seeds as a band."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, ticker

from cnn.plots import text
from cnn.plots.figure import figure

# Arms called plain_20, plain_56, residual_20 are two panels.
_NUMBERED = re.compile(r'(.+?)_?(\d+)')
# Of a training curve so many points are drawn, each the mean of its windows.
_POINTS = 40


def draw(document: Mapping[str, Any], path: str) -> None:
    """Writes `path` (PNG): the loss above, the error below; a column for each kind of arm, all on the same axes."""
    panels = _panels([arm['name'] for arm in document['arms']])
    runs: dict[str, list] = {}
    for run in document['runs']:
        runs.setdefault(run['arm'], []).append(run['curves'])
    with figure(path, 4.4 * len(panels) + 0.8, 6.2) as canvas:
        grid = canvas.subplots(2, len(panels), squeeze=False, sharex=True, sharey='row')
        for column, (panel, names) in zip(grid.T, panels.items(), strict=True):
            colors = colormaps['viridis'](np.linspace(0, 0.85, len(names)))
            for axes, (what, of) in zip(column, _QUANTITIES.items(), strict=True):
                for color, (name, label) in zip(colors, names.items(), strict=True):
                    _arm(axes, runs.get(name, ()), of, color, label)
                axes.grid(True)
                axes.set_axisbelow(True)
                if axes is column[0]:
                    axes.set_title(text.shown(panel or what), loc='left', **text.style())
            column[1].set_xlabel('step')
            legend = column[0].legend(fontsize=8.5)
            for entry in legend.get_texts():
                entry.set(**text.style())
        for axes, what in zip(grid[:, 0], _QUANTITIES, strict=True):
            axes.set_ylabel(what)
        _scales(grid)
        seeds = len(document['seeds'])
        canvas.suptitle(f'dashed: training · solid: test · mean of {seeds} seeds, band from the least to the most',
                        fontsize=9, x=0.01, ha='left')  # fmt: skip


def _loss(record: Mapping[str, Any]) -> float | None:
    return record.get('loss')


def _error(record: Mapping[str, Any]) -> float | None:
    value = record.get('accuracy')
    return None if value is None else 100 * (1 - value)


_QUANTITIES = {'loss': _loss, 'error, %': _error}


def _panels(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Panel -> arm's name -> its label there."""
    matches = [_NUMBERED.fullmatch(name) for name in names]
    if not all(matches) or len({match[1] for match in matches}) == len(names):
        return {'': {name: text.shorten(name.replace('_', ' '), 24) for name in names}}
    panels: dict[str, dict[str, str]] = {}
    for name, match in zip(names, matches, strict=True):
        panels.setdefault(match[1], {})[name] = match[2]
    return panels


def _arm(axes, curves: Sequence[Mapping[str, Any]], of, color, label: str) -> None:
    styles = {'train': {'linestyle': '--', 'linewidth': 1.1}, 'test': {'linewidth': 1.9, 'label': label}}
    for split, style in styles.items():
        steps, values = _together([run[split] for run in curves], of)
        if not len(steps):
            continue
        if split == 'train':
            steps, values = _thinned(steps, values)
        axes.plot(steps, values.mean(0), color=color, **style)
        axes.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.15 if split == 'test' else 0.07,
                          linewidth=0)  # fmt: skip


def _together(records: Sequence[Sequence[Mapping[str, Any]]], of) -> tuple[np.ndarray, np.ndarray]:
    """Steps that every seed has, and `[seeds, steps]` values; a seed that diverged ends the curve."""
    found = [{r['step']: of(r) for r in lines if of(r) is not None} for lines in records]
    steps = sorted(set.intersection(*map(set, found))) if found else []
    return np.array(steps), np.array([[run[step] for step in steps] for run in found])


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbouring windows: single ones are noisy, and cross each other."""
    size = max(1, len(steps) // _POINTS)
    count = len(steps) // size
    cut = values[:, : count * size].reshape(len(values), count, size)
    return steps[: count * size].reshape(count, size).mean(1), cut.mean(2)


def _scales(grid) -> None:
    """Logarithmic axes that hold every training curve: of an early test loss, which running statistics that lag behind
    may make a thousand times as large, the top is cut."""
    for row in grid:
        values = {style: np.concatenate([line.get_ydata() for axes in row for line in axes.get_lines()
                                         if (line.get_linestyle() == '--') == (style == 'train')] or [np.zeros(0)])
                  for style in ('train', 'test')}  # fmt: skip
        every = np.concatenate([*values.values()])
        every = every[every > 0]
        if not every.size or every.max() < 10 * every.min():
            continue
        top = values['train'].max() if values['train'].size else every.max()
        row[0].set_yscale('log')
        row[0].set_ylim(every.min() / 1.4, 1.5 * top)
        row[0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        row[0].yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
        row[0].yaxis.set_minor_locator(ticker.NullLocator())

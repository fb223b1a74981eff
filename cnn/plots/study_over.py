"""Scores over the values of a field, a line an arm, a dot a seed; beside it over the parameters, where these differ."""

from collections.abc import Mapping
from typing import Any

from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, ORANGE, figure
from cnn.plots.folds import SHARES

_COLORS = (ORANGE, BLUE, '#009e73', '#cc79a7', '#e69f00')


def draw(document: Mapping[str, Any], path: str) -> None:
    """Writes `path` (PNG); `document['plot']` names the field (`x`) and the metric."""
    field, metric = document['plot']['x'], document['plot']['metric']
    arms = [arm for arm in document['arms'] if field in arm['settings']]
    lines: dict[str, list] = {}
    for arm in arms:
        lines.setdefault(arm['arm'], []).append(arm)
    several = len({arm['parameters'] for arm in arms}) > 2
    with figure(path, 10.4 if several else 6.4, 4.2) as canvas:
        panels = canvas.subplots(1, 1 + several, squeeze=False, sharey=True)[0]
        for axes, of in zip(panels, (lambda a: a['settings'][field], lambda a: a['parameters']), strict=False):
            for color, (name, own) in zip(_COLORS * len(lines), lines.items(), strict=False):
                _line(axes, sorted(own, key=of), of, metric, color, text.shorten(name.replace('_', ' '), 24))
            _places(axes, sorted({of(arm) for arm in arms}))
            axes.grid(True)
            axes.set_axisbelow(True)
        if metric in SHARES:
            panels[0].yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{100 * v:.4g} %'))
        panels[0].set_xlabel(text.shown(field.rpartition('.')[2].replace('_', ' ')), **text.style())
        panels[-1].set_xlabel('parameters' if several else panels[0].get_xlabel())
        title = f'{metric.replace("_", " ")}, mean of {len(document["seeds"])} seeds; a dot each'
        panels[0].set_title(text.shown(title), loc='left', **text.style())
        if len(lines) > 1:
            legend = panels[0].legend()
            for entry in legend.get_texts():
                entry.set(**text.style())


def _line(axes, arms, of, metric: str, color, label: str) -> None:
    places = [of(arm) for arm in arms]
    axes.plot(places, [arm['mean'].get(metric) for arm in arms], color=color, linewidth=1.8, label=label)
    for arm, place in zip(arms, places, strict=True):
        values = [value for value in arm['values'].get(metric, ()) if value is not None]
        axes.plot([place] * len(values), values, 'o', color=color, alpha=0.45, markersize=4.5, markeredgewidth=0)
        if arm['diverged']:
            axes.annotate(f'{len(arm["diverged"])} diverged', (place, arm['mean'][metric]), xytext=(0, -13),
                          color=FAINT, textcoords='offset points', ha='center', fontsize=7.5)  # fmt: skip


def _places(axes, places) -> None:
    if len(places) > 2 and min(places) > 0 and max(places) > 8 * min(places):
        axes.set_xscale('log')
    axes.set_xticks(places, [f'{place:g}' if place < 1e4 else f'{place / 1e3:.0f} k' for place in places])
    axes.xaxis.set_minor_locator(ticker.NullLocator())


"""Detectors side by side: what each finds and how long it takes, its proposals counted, beside its paper's figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure


def draw(rungs: Sequence[Mapping[str, Any]], path: str, *, title: str = '') -> None:
    """Writes `path` (PNG): left each detector's average precision, right its milliseconds for an image.

    Args:
      rungs: from the first to the last, each with `name`; `map_50` (0 to 1); `proposal_ms` and `network_ms`, for one
        image; `passes`, convolutional passes over an image or a region; and `paper_map`, `paper_ms`, or None.
      title: what was tested, in a line.
    """
    with figure(path, 11.5, 1.6 + 0.62 * len(rungs)) as canvas:
        left, right = canvas.subplots(1, 2, sharey=True, width_ratios=(1, 1.25))
        rows = np.arange(len(rungs))
        left.barh(rows, [100 * rung['map_50'] for rung in rungs], height=0.55, color=BLUE, label='here')
        for row, rung in enumerate(rungs):
            left.annotate(f'{100 * rung["map_50"]:.1f}', (100 * rung['map_50'], row), xytext=(-4, 0),
                          textcoords='offset points', ha='right', va='center', color='white')  # fmt: skip
        _papers(left, rungs, 'paper_map', label='its paper, on VOC 2007')
        left.set_xlim(0, 100)
        left.set_xlabel('average precision at an overlap of 0.5, %')
        left.set_yticks(rows, [text.shorten(rung['name'], 28) for rung in rungs])
        left.set_ylim(len(rungs) - 0.5, -0.5)
        left.tick_params(axis='y', length=0)
        left.set_title(text.shown(title), loc='left', **text.style())
        _times(right, rungs)
        handles, labels = left.get_legend_handles_labels()
        more = right.get_legend_handles_labels()
        known = dict(zip([*labels, *more[1]], [*handles, *more[0]], strict=True))
        canvas.legend(known.values(), known.keys(), loc='outside lower center', ncols=len(known))


def _times(axes, rungs) -> None:
    """Two bars a row, for on a logarithmic axis parts that lie end to end cannot be compared."""
    parts = ((-0.15, 'network_ms', BLUE, 'here'), (0.15, 'proposal_ms', ORANGE, 'its proposals'))
    for offset, key, color, label in parts:
        rows = [row for row, rung in enumerate(rungs) if rung[key] > 0]
        widths = [rungs[row][key] for row in rows]
        axes.barh([row + offset for row in rows], widths, height=0.28, color=color, label=label)
    for row, rung in enumerate(rungs):
        passes = f'{rung["passes"]:,} {"pass" if rung["passes"] == 1 else "passes"}'
        axes.annotate(passes, (1, row), xycoords=('axes fraction', 'data'), xytext=(6, 0),
                      textcoords='offset points', va='center', color=INK, fontsize=9)  # fmt: skip
    _papers(axes, rungs, 'paper_ms', label='its paper, on VOC 2007')
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:,.10g}'))
    axes.grid(axis='x', color='#e6e6e6')
    axes.set_axisbelow(True)
    axes.tick_params(axis='y', length=0)
    axes.set_xlabel('milliseconds for an image')


def _papers(axes, rungs, key: str, label: str) -> None:
    rows = [row for row, rung in enumerate(rungs) if rung.get(key)]
    axes.plot([rungs[row][key] for row in rows], rows, 'D', markersize=6, markerfacecolor='white',
              markeredgecolor=FAINT, markeredgewidth=1.6, label=label, linestyle='none')  # fmt: skip

"""Training and test error over capacity, a panel for each number of training examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import ticker

from cnn.plots.figure import BLUE, ORANGE, figure

WIDTH, EXAMPLES = 'model.width', 'study.examples'
_METRICS = {'loss': ('fit_loss', 'loss'), 'accuracy': ('fit_accuracy', 'accuracy')}


def draw(document: Mapping[str, Any], path: str) -> None:
    """Writes `path` (PNG): errors where `plot.metric` is the accuracy, else losses; a dot a seed."""
    metric = document['plot']['metric']
    arms = [arm for arm in document['arms'] if {WIDTH, EXAMPLES} <= set(arm['settings'])]
    examples = sorted({arm['settings'][EXAMPLES] for arm in arms})
    share = metric == 'accuracy'
    with figure(path, 2.9 * len(examples) + 0.9, 3.9) as canvas:
        panels = canvas.subplots(1, len(examples), squeeze=False, sharey=True)[0]
        for axes, n in zip(panels, examples, strict=True):
            own = sorted((a for a in arms if a['settings'][EXAMPLES] == n), key=lambda a: a['settings'][WIDTH])
            widths = [arm['settings'][WIDTH] for arm in own]
            for key, color, label in zip(_METRICS[metric], (BLUE, ORANGE), ('training examples', 'test'), strict=True):
                values = [_finite(arm['values'][key], share) for arm in own]
                axes.plot(widths, [v.mean() if len(v) else np.nan for v in values], color=color, label=label)
                for width, dots in zip(widths, values, strict=True):
                    axes.plot([width] * len(dots), dots, 'o', color=color, alpha=0.4, markersize=4, markeredgewidth=0)
            axes.set_xscale('log')
            axes.set_xticks(widths, [f'{width:g}' for width in widths])
            axes.xaxis.set_minor_locator(ticker.NullLocator())
            axes.set_title(f'{n} examples', loc='left')
            axes.set_xlabel('width')
            axes.grid(True)
            axes.set_axisbelow(True)
        panels[0].set_ylabel('error, %' if share else 'loss')
        # Linear around zero, where the training error of most networks is.
        knee = 1.0 if share else 1e-2
        panels[0].set_yscale('symlog', linthresh=knee)
        panels[0].set_ylim(bottom=-0.1 * knee)
        ticks = [base * 10.0**power for power in range(-2, 5) for base in (1, 2, 5)]
        panels[0].yaxis.set_major_locator(ticker.FixedLocator([0.0, *(tick for tick in ticks if tick >= knee)]))
        panels[0].yaxis.set_minor_locator(ticker.NullLocator())
        panels[0].yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
        panels[0].legend(fontsize=8.5, loc='center right')


def _finite(values, share: bool) -> np.ndarray:
    known = np.array([value for value in values if value is not None], float)
    return 100 * (1 - known) if share else known

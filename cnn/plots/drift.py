"""How the distribution of a layer's values moves in training, an arm a panel."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, figure


def draw(document: Mapping[str, Any], path: str) -> None:
    """Writes `path` (PNG): the 15th, 50th and 85th percentile over the steps, a line a seed.

    Of arms that are crossed with a field, those with the value at which the first arm trains best.
    """
    shown = _arms(document)
    runs = [run for run in document['runs'] if run.get('drift')]
    with figure(path, 4.0 * len(shown) + 0.6, 3.6) as canvas:
        panels = canvas.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for axes, arm in zip(panels, shown, strict=True):
            own = [run['drift'] for run in runs if run['arm'] == arm['name']]
            for run in own:
                quantiles = np.asarray(run['quantiles'])
                axes.fill_between(run['steps'], quantiles[:, 0], quantiles[:, 2], color=BLUE, alpha=0.10, linewidth=0)
                for k, style in enumerate(('--', '-', '--')):
                    axes.plot(run['steps'], quantiles[:, k], style, color=BLUE, linewidth=1.1 + 0.5 * (k == 1))
            mean = np.mean([run['drift'] for run in own])
            title = f'{text.shorten(arm["name"].replace("_", " "), 34)}: drift {mean:.2f}'
            axes.set_title(title, loc='left', fontsize=9.5, **text.style())
            axes.set_xlabel('step')
            axes.grid(True)
            axes.set_axisbelow(True)
        panels[0].set_ylabel('15th, 50th, 85th percentile')


def _arms(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    ended = {run['arm'] for run in document['runs'] if run.get('drift')}
    arms, field = [arm for arm in document['arms'] if arm['name'] in ended], document['plot']['x']
    first = [arm for arm in arms if arm['arm'] == arms[0]['arm'] and not arm['diverged'] and field in arm['settings']]
    if not first:
        return arms
    best = min(first, key=lambda arm: arm['mean']['train_loss'])['settings'][field]
    return [arm for arm in arms if arm['settings'].get(field) == best]

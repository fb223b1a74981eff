"""Precision over recall, class by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn.plots import palette, text
from cnn.plots.figure import FAINT, INK, figure

# As many as can be told apart in one picture.
_MOST = 12


def draw(
    curves: Sequence[Any], values: Sequence[float], names: Sequence[str], path: str, *, threshold: float = 0.5
) -> None:
    """Writes `path` (PNG): the curve of each class with objects, the best and the worst where there are many.

    Args:
      curves: with `precision` and `recall` `[n]`, detection by detection from the highest score down, and `objects`
        (voc_ap.curves).
      values: each class's average precision, 0 to 1; NaN without objects.
      names: C class names.
      threshold: the overlap that a hit needs, to be said.
    """
    values = np.asarray(values, np.float64)
    colors = palette.of(names) / 255
    order = [int(c) for c in np.argsort(-np.nan_to_num(values, nan=-1), kind='stable') if curves[c].objects]
    shown = order if len(order) <= _MOST else order[: _MOST // 2] + order[-_MOST // 2 :]
    with figure(path, 7.2, 4.2) as canvas:
        axes = canvas.subplots()
        for c in shown:
            curve = curves[c]
            recall, precision = np.asarray(curve.recall), np.asarray(curve.precision)
            largest = np.maximum.accumulate(precision[::-1])[::-1]
            # From recall 0 on, down to the axis after the last hit: what the area is under.
            end = recall[-1] if len(recall) else 0.0
            x, y = np.concatenate([[0.0], recall, [end]]), np.concatenate([largest[:1], largest, [0.0]])
            x = x if len(recall) else np.zeros(1)
            label = f'{text.percent(values[c])}  {text.shorten(names[c], 18)} ({curve.objects})'
            axes.plot(recall, precision, color=colors[c], linewidth=0.6, alpha=0.4)
            axes.plot(x, y, color=colors[c], linewidth=1.7, drawstyle='steps-pre', label=label)
        mean = values[order].mean() if order else np.nan
        left_out = f', {len(shown)} of {len(order)} classes' if len(shown) < len(order) else ''
        title = f'Average precision {text.percent(float(mean))} at an overlap of {threshold:g}{left_out}'
        axes.set_title(title if order else 'No objects to be found', loc='left', color=INK)
        axes.set_xlabel('recall')
        axes.set_ylabel('precision')
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        axes.grid(linewidth=0.6)
        if shown:
            properties = {'family': text.style()['fontfamily'], 'size': 8.5}
            legend = axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1.0), prop=properties, borderaxespad=0)
            legend.set_title('AP, class (objects)', prop={'size': 8.5})
            legend.get_title().set_color(FAINT)
            for label in legend.get_texts():
                label.set_parse_math(False)

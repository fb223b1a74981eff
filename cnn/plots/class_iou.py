"""Bars of intersection over union by class."""

from collections.abc import Sequence

import numpy as np

from cnn.plots import palette, text
from cnn.plots.figure import FAINT, INK, figure


def draw(iou: np.ndarray, pixels: np.ndarray, names: Sequence[str], path: str, *, count: int = 40) -> None:
    """Writes `path` (PNG): a bar for each class, best first; of very many the `count` worst.

    Args:
      iou: float `[C]`, 0 to 1; NaN for a class neither there nor predicted, which has no bar.
      pixels: int `[C]`, labelled pixels of each class.
      names: C class names.
    """
    iou, pixels = np.asarray(iou, np.float64), np.asarray(pixels, np.int64)
    known = np.flatnonzero(~np.isnan(iou))
    shown = known[np.argsort(-iou[known], kind='stable')][-count:]
    with figure(path, 7.2, 1.1 + 0.27 * max(len(shown), 2)) as canvas:
        axes = canvas.subplots()
        title = f'IU of the {len(shown)} worst of {len(known)} classes' if len(shown) < len(known) else 'IU by class'
        axes.set_title(title if len(known) else 'No labelled pixels', loc='left')
        if len(shown):
            _bars(axes, iou, pixels, names, shown, float(iou[known].mean()))
        axes.set_xlim(0, 1.32)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=['0 %', '25 %', '50 %', '75 %', '100 %'])
        axes.spines[['left', 'bottom']].set_visible(False)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        axes.grid(True, axis='x')


def _bars(axes, iou, pixels, names, shown, mean):
    places = np.arange(len(shown))
    axes.barh(places, iou[shown], height=0.62, color=palette.of(names)[shown] / 255, alpha=0.85)
    axes.set_yticks(places, [text.shorten(names[i], 30) for i in shown], **text.style(fontsize=9))
    total = max(pixels.sum(), 1)
    for place, i in enumerate(shown):
        axes.text(min(iou[i], 1) + 0.01, place, text.percent(iou[i]), va='center', fontsize=8.5, color=INK)
        share = text.percent(pixels[i] / total) if pixels[i] else 'no'
        axes.text(1.32, place, f'{share} of pixels', va='center', ha='right', fontsize=8, color=FAINT)
    axes.axvline(mean, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel(f'dashed: mean IU {text.percent(mean)}', fontsize=8.5, color=FAINT)
    axes.set_ylim(len(shown) - 0.4, -0.6)

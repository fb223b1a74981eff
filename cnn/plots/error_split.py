"""What kind of mistakes detectors make: one bar for each."""

from collections.abc import Mapping

import numpy as np

from cnn.plots import text
from cnn.plots.figure import FAINT, INK, figure

# Right in green and then by how wrong it is; the last for what no object is near.
_COLORS = ('#009e73', '#e69f00', '#56b4e9', '#cc79a7', '#d55e00', '#0072b2')
_BAR = 0.5
_TITLE = 'Of each class, as many of the highest scores as it has objects'


def draw(splits: Mapping[str, Mapping[str, float]], path: str, *, title: str = _TITLE) -> None:
    """Writes `path` (PNG).

    Args:
      splits: for each detector (or class) the share of each kind, 0 to 1, kinds in the order drawn (hoiem.shares). A
        bar without any is said to be empty.
    """
    kinds = list(dict.fromkeys(kind for split in splits.values() for kind in split))
    height = 1.15 + _BAR * max(len(splits), 1)
    with figure(path, 7.2, height) as canvas:
        axes = canvas.subplots()
        for place, split in enumerate(splits.values()):
            values = np.nan_to_num([split.get(kind, 0.0) for kind in kinds])
            starts = np.concatenate([[0.0], np.cumsum(values)[:-1]])
            for k, (start, value) in enumerate(zip(starts, values, strict=True)):
                axes.barh(place, value, left=start, height=0.62, color=_COLORS[k % len(_COLORS)])
                if value >= 0.06:
                    axes.text(start + value / 2, place, text.percent(float(value)), ha='center', va='center',
                              fontsize=8, color='white' if k != 1 else INK)  # fmt: skip
            if not values.sum():
                axes.text(0.01, place, 'no detections', va='center', fontsize=8, color=FAINT)
        axes.set_yticks(range(len(splits)), [text.shorten(name, 24) for name in splits], **text.style(fontsize=9.5))
        axes.set_ylim(len(splits) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        for side in ('left', 'bottom'):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)
        axes.set_title(title, loc='left', fontsize=10, color=INK)
        handles = [axes.barh(0, 0, color=_COLORS[k % len(_COLORS)], label=kind) for k, kind in enumerate(kinds)]
        if handles:
            axes.legend(handles=handles, loc='upper left', bbox_to_anchor=(0, -0.02), ncols=len(kinds), fontsize=8.5,
                        handlelength=1.0, columnspacing=1.2, borderaxespad=0)  # fmt: skip

"""Boxes on a picture: outlines that show on any ground, with a tag where there is something to say."""

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cnn.plots import text

DASHES = (0, (2.2, 1.4))


def outline(
    axes: Axes,
    box: Sequence[float],
    color,
    *,
    step: float = 1,
    width: float = 1.6,
    dashed: bool = False,
    halo: bool = True,
    tag: str = '',
) -> None:
    """Draws a box x0, y0, x1, y1 in continuous pixels on a picture that shows every `step`-th pixel.

    Args:
      color: what matplotlib takes.
      dashed: for what is wrong or does not count.
      halo: a white rim.
      tag: a few words at the box's upper left corner, inside the picture.
    """
    # Pixel i of a picture is drawn from i - 1/2 to i + 1/2.
    x0, y0, x1, y1 = (float(value) / step - 0.5 for value in box)
    line = {'edgecolor': color, 'linewidth': width, 'linestyle': DASHES if dashed else 'solid', 'joinstyle': 'miter'}
    if halo:
        line['path_effects'] = [patheffects.withStroke(linewidth=width + 1.4, foreground='white', alpha=0.85)]
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **line))
    if tag:
        _tag(axes, x0, y0, y1, tag, color)


def _tag(axes, x0, y0, y1, tag, color):
    """Above the box; within it where that would leave the picture."""
    height = abs(np.diff(axes.get_ylim())[0])
    above = y0 > 0.07 * height
    axes.annotate(
        tag, (max(x0, -0.5), max(y0, -0.5)), xytext=(0, 1.2 if above else -1.2), textcoords='offset points',
        va='bottom' if above else 'top', ha='left', clip_on=True, annotation_clip=False,
        bbox={'boxstyle': 'square,pad=0.12', 'facecolor': color, 'edgecolor': 'none'},
        **text.style(fontsize=6.5, color=ink_on(color)),
    )  # fmt: skip


def ink_on(color) -> str:
    """Black or white, whichever is read better on an RGB colour (0 to 1)."""
    return 'black' if np.dot(np.asarray(color)[:3], (0.299, 0.587, 0.114)) > 0.55 else 'white'

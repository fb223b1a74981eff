"""Where in a photograph a classifier sees a class: its heat map over the picture, with boxes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure, picture

_HEIGHT = 3.4


class ClassMap(NamedTuple):
    """One class's map.

    Attributes:
      name: the class.
      heat: float over the image's pixels, `[H, W]` or coarser in the same proportions; shown from least to most.
      box: x0, y0, x1, y1 in pixels of what the map finds, or None.
      note: a few words beside the name: a probability, say.
    """

    name: str
    heat: np.ndarray
    box: Sequence[float] | None = None
    note: str = ''


def draw(image: np.ndarray, maps: Sequence[ClassMap], path: str, *, title: str = '', truth: Any = ()) -> None:
    """Writes `path` (PNG): the photograph, and beside it each class's map over a pale copy of it.

    Args:
      image: uint8 `[H, W, 3]`.
      truth: boxes `[n, 4]` of the object in pixels, drawn into the photograph and, thinly, into the maps.
    """
    image = np.asarray(image)
    across = float(np.clip(_HEIGHT * image.shape[1] / image.shape[0], 0.4 * _HEIGHT, 1.7 * _HEIGHT))
    count = 1 + len(maps)
    with figure(path, count * (across + 0.15) + 0.2, _HEIGHT + 0.8) as canvas:
        axes = np.atleast_1d(canvas.subplots(1, count))
        _photograph(axes[0], image)
        _boxes(axes[0], truth, BLUE, 2.0)
        if title:
            axes[0].set_title(text.shorten(title, int(11 * across)), loc='left', **text.style(fontsize=9, color=FAINT))
        for place, one in zip(axes[1:], maps, strict=True):
            _one(place, image, one, truth, across)
        if len(truth) or any(one.box is not None for one in maps):
            canvas.supxlabel('blue: the annotated box; orange: the box that the map finds', fontsize=8, color=FAINT)


def _photograph(axes, pixels):
    height, width = pixels.shape[:2]
    picture(axes, pixels)
    axes.images[0].set_extent((0, width, height, 0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _one(axes, image, one, truth, across):
    grey = image.astype(np.float32).mean(-1, keepdims=True)
    _photograph(axes, np.repeat(70 + 0.65 * grey, 3, -1).astype(np.uint8))
    height, width = image.shape[:2]
    low, high = float(one.heat.min()), float(one.heat.max())
    share = (one.heat - low) / (high - low) if high > low else np.zeros_like(one.heat)
    layer = matplotlib.colormaps['inferno'](0.2 + 0.75 * share)
    layer[..., 3] = 0.75 * share**0.8
    axes.imshow(layer, extent=(0, width, height, 0), interpolation='bilinear')
    y, x = np.unravel_index(one.heat.argmax(), one.heat.shape)
    axes.plot((x + 0.5) * width / one.heat.shape[1], (y + 0.5) * height / one.heat.shape[0], marker='+',
              color='white', markersize=9, markeredgewidth=1.6)  # fmt: skip
    _boxes(axes, truth, BLUE, 1.0)
    _boxes(axes, [] if one.box is None else [one.box], ORANGE, 2.0)
    name = text.shorten(one.name, max(int(11 * across) - len(one.note) - 2, 6))
    said = f'{name}, {one.note}' if one.note else name
    axes.set_title(said, loc='left', **text.style(fontsize=9, color=INK))


def _boxes(axes, boxes, color, width):
    for x0, y0, x1, y1 in np.asarray(boxes, np.float64).reshape(-1, 4):
        for edge, line in (('white', width + 1), (color, width)):
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=edge, linewidth=line))

"""One picture of a user's beside what the network takes it for, and what in it decided."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, figure, picture

_HEIGHT = 3.6
_BARS = 4.2


class Evidence(NamedTuple):
    """Where the evidence for the best class lies.

    Attributes:
      heat: float `[h, w]`, 0 or more, over what the network saw; all 0 where nothing spoke for the class.
      seen: x0, y0, x1, y1 of that in pixels of the image (pixel i covers i to i + 1).
      peak: x, y of the hottest place in pixels of the image, or None.
    """

    heat: np.ndarray
    seen: Sequence[float]
    peak: Sequence[float] | None


def draw(
    image: np.ndarray,
    probabilities: Sequence[float],
    names: Sequence[str],
    path: str,
    *,
    title: str = '',
    top: int = 5,
    evidence: Evidence | None = None,
) -> None:
    """Writes `path` (PNG): the image at the left, bars of the `top` classes at the right, the evidence between them.

    Args:
      image: uint8 `[H, W, 3]` or `[H, W, 1]`, any size and aspect ratio.
      probabilities: C numbers from 0 to 1.
      names: C class names.
      title: the file's name, as a rule.
      evidence: with it the image gets a frame around what the network saw, and a second picture shows that part, warm
        where it spoke for the best class.
    """
    image = np.asarray(image)
    probabilities = np.asarray(probabilities, np.float64)
    best = np.argsort(-probabilities, kind='stable')[:top]
    # The picture takes what its shape needs, within limits that leave a very long one visible and the bars readable.
    longest = 2.0 if evidence is None else 1.6
    width = float(np.clip(_HEIGHT * image.shape[1] / image.shape[0], 0.35 * _HEIGHT, longest * _HEIGHT))
    widths = [width, _BARS - 0.4] if evidence is None else [width, _HEIGHT, _BARS - 0.4]
    with figure(path, sum(widths) + 0.4, _HEIGHT) as canvas:
        left, *middle, right = canvas.subplots(1, len(widths), width_ratios=widths)
        shown = picture(left, image)
        if title:
            title = text.shorten(title, int(sum(widths) * 12))
            canvas.suptitle(title, x=0.01, ha='left', **text.style(fontsize=9, color=FAINT))
        if evidence is not None:
            _frame(left, evidence.seen, len(image) / len(shown))
            _heat(middle[0], image, evidence, names[best[0]])
        _bars(right, probabilities[best], [names[i] for i in best])


def _frame(axes, seen, step):
    """Outlines what the network saw, on a picture that shows every `step`-th pixel; never too thin to be seen."""
    x0, y0, x1, y1 = (value / step - 0.5 for value in seen)
    least = 0.03 * max(axes.images[0].get_array().shape[:2])
    x0, x1 = min(x0, (x0 + x1 - least) / 2), max(x1, (x0 + x1 + least) / 2)
    y0, y1 = min(y0, (y0 + y1 - least) / 2), max(y1, (y0 + y1 + least) / 2)
    for color, size in (('white', 2.4), (INK, 0.9)):
        box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=size, clip_on=False)
        axes.add_patch(box)


def _heat(axes, image, evidence, name):
    x0, y0, x1, y1 = evidence.seen
    left, top = int(x0), int(y0)
    right, bottom = max(int(np.ceil(x1)), left + 1), max(int(np.ceil(y1)), top + 1)
    part = picture(axes, _grey(image[top:bottom, left:right]))
    # From here on in pixels of the image.
    axes.images[0].set_extent((left, right, bottom, top))
    hottest = float(evidence.heat.max())
    if hottest > 0:
        share = evidence.heat / hottest
        layer = matplotlib.colormaps['inferno'](0.25 + 0.7 * share)
        layer[..., 3] = 0.75 * share**0.8
        smooth = 'bilinear' if min(part.shape[:2]) > 1 else 'nearest'
        axes.imshow(layer, extent=(x0, x1, y1, y0), interpolation=smooth)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y1, y0)
    axes.set_aspect('equal')
    if evidence.peak is not None:
        axes.plot(*evidence.peak, marker='+', color='white', markersize=9, markeredgewidth=1.6)
    said = 'what spoke for' if hottest > 0 else 'nothing in it spoke for'
    axes.set_title(f'{said} {text.shorten(name, 24)}', loc='left', **text.style(fontsize=9, color=INK))


def _grey(pixels: np.ndarray) -> np.ndarray:
    """The same in pale grey, so that colour means evidence alone."""
    grey = pixels.astype(np.float32).mean(-1, keepdims=True)
    return np.repeat(60 + 0.7 * grey, 3, -1).astype(np.uint8)


def _bars(axes, probabilities, names):
    places = np.arange(len(names))
    axes.barh(places + 0.2, np.ones(len(names)), height=0.3, color='#eeeeee')
    colors = [BLUE] + ['#8fbbd9'] * (len(names) - 1)
    axes.barh(places + 0.2, probabilities, height=0.3, color=colors)
    for place, value, name in zip(places, probabilities, names, strict=True):
        axes.text(0, place - 0.18, text.shorten(name, 40), va='center', **text.style(fontsize=10, color=INK))
        axes.text(1, place - 0.18, text.percent(value), va='center', ha='right', fontsize=10, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_axis_off()

"""One picture of a user's beside what the network takes it for."""

from collections.abc import Sequence

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, figure, picture

_HEIGHT = 3.6
_BARS = 4.2


def draw(
    image: np.ndarray, probabilities: Sequence[float], names: Sequence[str], path: str, *, title: str = '', top: int = 5
) -> None:
    """Writes `path` (PNG): the image at the left, bars of the `top` classes at the right.

    Args:
      image: uint8 `[H, W, 3]` or `[H, W, 1]`, any size and aspect ratio.
      probabilities: C numbers from 0 to 1.
      names: C class names.
      title: the file's name, as a rule.
    """
    image = np.asarray(image)
    probabilities = np.asarray(probabilities, np.float64)
    best = np.argsort(-probabilities, kind='stable')[:top]
    # The picture takes what its shape needs, within limits that leave a very long one visible and the bars readable.
    width = float(np.clip(_HEIGHT * image.shape[1] / image.shape[0], 0.35 * _HEIGHT, 2.0 * _HEIGHT))
    with figure(path, width + _BARS, _HEIGHT) as canvas:
        left, right = canvas.subplots(1, 2, width_ratios=(width, _BARS - 0.4))
        picture(left, image)
        if title:
            title = text.shorten(title, int((width + _BARS) * 12))
            canvas.suptitle(title, x=0.01, ha='left', **text.style(fontsize=9, color=FAINT))
        _bars(right, probabilities[best], [names[i] for i in best])


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

"""One picture of a user's beside what the network takes it for."""

from collections.abc import Sequence

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, figure

_HEIGHT = 3.6


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
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, -1)
    probabilities = np.asarray(probabilities, np.float64)
    best = np.argsort(-probabilities, kind='stable')[:top]
    # The picture takes what its shape needs, within limits that leave a very long one visible and the bars readable.
    width = float(np.clip(_HEIGHT * image.shape[1] / image.shape[0], 0.35 * _HEIGHT, 2.0 * _HEIGHT))
    with figure(path, width + 4.4, _HEIGHT) as canvas:
        left, right = canvas.subplots(1, 2, width_ratios=(width, 4.0))
        left.imshow(_fitted(image), interpolation='nearest' if max(image.shape[:2]) < 100 else 'antialiased')
        left.set_axis_off()
        if title:
            title = text.shorten(title, max(16, int(width * 11)))
            left.set_title(title, loc='left', **text.style(fontsize=9, color=FAINT))
        _bars(right, probabilities[best], [names[i] for i in best])


def _fitted(image):
    """At most about 1,000 pixels a side: whole steps, for a photograph of 100 megapixels draws no better."""
    step = max(1, max(image.shape[:2]) // 1000)
    return image[::step, ::step]


def _bars(axes, probabilities, names):
    places = np.arange(len(names))
    axes.barh(places + 0.2, np.ones(len(names)), height=0.3, color='#eeeeee')
    colors = [BLUE] + ['#8fbbd9'] * (len(names) - 1)
    axes.barh(places + 0.2, probabilities, height=0.3, color=colors)
    for place, value, name in zip(places, probabilities, names, strict=True):
        axes.text(0, place - 0.18, text.shorten(name, 36), va='center', **text.style(fontsize=10, color=INK))
        axes.text(1, place - 0.18, _percent(value), va='center', ha='right', fontsize=10, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_axis_off()


def _percent(value: float) -> str:
    """Digits that neither round a doubt away nor pretend."""
    if 0.9995 <= value < 1:
        return '> 99.9 %'
    return f'{100 * value:.1f} %' if value >= 0.001 or value == 0 else '< 0.1 %'

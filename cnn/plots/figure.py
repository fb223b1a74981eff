"""Figures without pyplot: made, written whole or not at all, and forgotten; the caller's settings never matter."""

import contextlib
import os
from collections.abc import Iterator

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Ink and colours of every picture; the two are apart for the colour-blind as well (Okabe and Ito 2008).
INK = '#222222'
FAINT = '#9a9a9a'
BLUE = '#0072b2'
ORANGE = '#d55e00'

_STYLE = {
    'font.size': 10,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': FAINT,
    'axes.labelcolor': INK,
    'axes.titlesize': 11,
    'text.color': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'grid.color': '#e6e6e6',
    'legend.frameon': False,
    'figure.facecolor': 'white',
}


@contextlib.contextmanager
def figure(path: str, width: float, height: float, *, layout: str = 'constrained', dpi: int = 110) -> Iterator[Figure]:
    """Yields an empty figure of `width` x `height` inches and writes it to `path` as PNG when the block ends.

    The file appears by renaming, so a reader or a crash never meets half of it; nothing is written if the block raises.
    """
    with matplotlib.style.context(['default', _STYLE]):
        canvas = Figure(figsize=(width, height), dpi=dpi, layout=layout)
        FigureCanvasAgg(canvas)
        yield canvas
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        partial = f'{path}.{os.getpid()}.part'
        try:
            canvas.savefig(partial, format='png')
            os.replace(partial, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)


def picture(axes: Axes, pixels: np.ndarray) -> np.ndarray:
    """Shows uint8 `[H, W, 3]` or `[H, W, 1]` without a frame: small images in sharp pixels, large ones smoothed.

    Returns:
      The pixels shown, thinned in whole steps to about a thousand a side: 100 megapixels draw no better.
    """
    step = max(1, max(pixels.shape[:2]) // 1000)
    pixels = pixels[::step, ::step]
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, -1)
    axes.imshow(pixels, interpolation='nearest' if max(pixels.shape[:2]) < 100 else 'antialiased')
    axes.set_axis_off()
    return pixels

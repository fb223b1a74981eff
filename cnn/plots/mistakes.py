"""The pictures that the network gets most confidently wrong."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, ORANGE, figure, picture

_COLUMNS = 6
# Inches: a picture's side, the gap between two, the three lines under one, the title's strip.
_SIDE, _GAP, _LINES, _TITLE = 1.6, 0.18, 0.62, 0.45


def draw(
    mistakes: Mapping[str, np.ndarray],
    image: Callable[[int], np.ndarray],
    names: Sequence[str],
    path: str,
    *,
    count: int = 24,
) -> None:
    """Writes `path` (PNG), a grid of the first `count` mistakes; says so where there are none.

    Args:
      mistakes: columns `index`, `label`, `prediction`, `confidence` (0 to 1), most confident first.
      image: gives uint8 `[H, W, 3]` (or `[H, W, 1]`) for a value of `index`; sizes may differ.
      names: class names.
    """
    total = len(mistakes['index'])
    shown = min(count, total)
    columns = min(_COLUMNS, max(shown, 3))
    rows = -(-shown // columns)
    width = _GAP + columns * (_SIDE + _GAP)
    height = _TITLE + rows * (_SIDE + _LINES + _GAP)
    with figure(path, width, height, layout='none') as canvas:
        title = f'The {shown} most confident of {total:,} mistakes' if shown < total else f'All {total:,} mistakes'
        title = f'{title}: true → predicted' if total else 'No mistakes'
        canvas.text(_GAP / width, 1 - 0.5 * _TITLE / height, title, va='center', fontsize=11)
        for place in range(shown):
            left = _GAP + place % columns * (_SIDE + _GAP)
            top = _TITLE + place // columns * (_SIDE + _LINES + _GAP)
            box = (left / width, 1 - (top + _SIDE) / height, _SIDE / width, _SIDE / height)
            _one(canvas.add_axes(box), {c: mistakes[c][place] for c in mistakes}, image, names)


def _one(axes, row, image, names):
    pixels = picture(axes, np.asarray(image(int(row['index']))))
    # A square whatever the picture's shape, which stands on its left bottom corner: captions hang at one height.
    side, height = max(pixels.shape[:2]), len(pixels)
    axes.set_xlim(-0.5, side - 0.5)
    axes.set_ylim(height - 0.5, height - side - 0.5)
    lines = (
        (text.shorten(names[int(row['label'])], 22), BLUE, 9),
        (f'→ {text.shorten(names[int(row["prediction"])], 20)}', ORANGE, 9),
        (f'{text.percent(float(row["confidence"]))} sure, no. {int(row["index"])}', FAINT, 7.5),
    )
    for place, (line, color, size) in enumerate(lines):
        below = -(0.06 + 0.19 * place) / _SIDE
        style = text.style(fontsize=size, color=color)
        axes.text(0, below, line, va='top', transform=axes.transAxes, **style)

"""The pictures that the network gets most confidently wrong."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, ORANGE, figure

_COLUMNS = 6


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
    rows = max(1, -(-shown // columns))
    with figure(path, 1.75 * columns, 2.15 * rows + 0.5) as canvas:
        if not total:
            title = 'No mistakes'
        else:
            title = f'The {shown} most confident of {total:,} mistakes' if shown < total else f'All {total:,} mistakes'
        canvas.suptitle(title, x=0.01, ha='left', fontsize=12)
        grid = canvas.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for place, axes in zip(range(shown), grid.flat, strict=False):
            _one(axes, {c: mistakes[c][place] for c in mistakes}, image, names)


def _one(axes, row, image, names):
    pixels = np.asarray(image(int(row['index'])))
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, -1)
    interpolation = 'nearest' if max(pixels.shape[:2]) < 100 else 'antialiased'
    axes.imshow(pixels, interpolation=interpolation)
    predicted = text.shorten(names[int(row['prediction'])], 18)
    true = text.shorten(names[int(row['label'])], 18)
    below = {'ha': 'center', 'va': 'top', 'transform': axes.transAxes}
    predicted = f'{predicted}  {float(row["confidence"]):.0%}'
    axes.text(0.5, -0.03, predicted, color=ORANGE, **below, **text.style(fontsize=9))
    axes.text(0.5, -0.17, f'true: {true}', color=BLUE, **below, **text.style(fontsize=9))
    axes.text(0.5, -0.31, f'#{int(row["index"])}', color=FAINT, fontsize=7, **below)

"""The confusion matrix, readable for ten classes and for a thousand, beside the pairs that are confused most."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colors

from cnn.plots import text
from cnn.plots.figure import FAINT, INK, figure

# Up to so many classes every cell shows its count and every row its name.
_NAMED = 30
# A larger matrix is reduced to about so many cells a side, each the largest share among those it covers.
_CELLS = 250


def most_confused(matrix: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """The `count` largest cells off the diagonal as (true, predicted, examples), zeros left out.

    Equal counts are ordered by their share of the true class, larger first, then by class numbers.
    """
    matrix = np.asarray(matrix, np.int64)
    wrong = matrix - np.diag(np.diagonal(matrix))
    true, predicted = np.nonzero(wrong)
    cells, totals = wrong[true, predicted], matrix.sum(1)[true]
    order = np.lexsort((predicted, true, totals, -cells))[:count]
    return [(int(true[i]), int(predicted[i]), int(cells[i])) for i in order]


def draw(matrix: np.ndarray, names: Sequence[str], path: str, *, pairs: int = 20) -> None:
    """Writes `path` (PNG): shares of each true class by predicted class, and the `pairs` most confused.

    Args:
      matrix: integers `[C, C]`, rows true, columns predicted.
      names: C class names.
    """
    matrix = np.asarray(matrix)
    named = len(matrix) <= _NAMED
    side = max(5.0, 0.42 * len(matrix) + 1.5) if named else 8.0
    confused = most_confused(matrix, min(pairs, max(8, int(side / 0.3))))
    with figure(path, side + 4.6, side) as canvas:
        left, right = canvas.subplots(1, 2, width_ratios=(side, 4.2))
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        if named:
            _named_matrix(left, matrix, share, names)
        else:
            _large_matrix(canvas, left, share)
        total = int(matrix.sum())
        accuracy = f'{np.trace(matrix) / total:.2%} of {total:,} examples right' if total else 'no examples'
        left.set_title(accuracy, loc='left')
        left.set_xlabel('predicted class')
        left.set_ylabel('true class')
        left.spines[:].set_visible(False)
        _pairs(right, matrix, confused, names)


def _named_matrix(axes, matrix, share, names):
    axes.imshow(share, cmap='Blues', vmin=0, vmax=1.15)
    every = range(len(matrix))
    labels = [text.shorten(n, 18) for n in names]
    long = max(map(len, labels), default=0) > 2
    axes.set_xticks(every, labels, **text.style(rotation=90 if long else 0))
    axes.set_yticks(every, labels, **text.style())
    axes.tick_params(length=0)
    size = 9 if matrix.max(initial=0) < 1000 else 7
    for row, column in zip(*np.nonzero(matrix), strict=True):
        ink = 'white' if share[row, column] > 0.6 else INK
        axes.text(column, row, str(matrix[row, column]), ha='center', va='center', color=ink, fontsize=size)


def _large_matrix(canvas, axes, share):
    classes = len(share)
    step = -(-classes // _CELLS)
    blocks = -(-classes // step)
    padded = np.zeros((blocks * step, blocks * step))
    padded[:classes, :classes] = share
    shown = padded.reshape(blocks, step, blocks, step).max((1, 3))
    norm = colors.LogNorm(vmin=0.01, vmax=1, clip=True)
    extent = (-0.5, blocks * step - 0.5, blocks * step - 0.5, -0.5)
    image = axes.imshow(np.where(shown > 0, shown, np.nan), cmap='Blues', norm=norm, extent=extent)
    image.set_interpolation('nearest')
    label = 'share of the true class' + (f', largest of {step} x {step} classes' if step > 1 else '')
    bar = canvas.colorbar(image, ax=axes, location='bottom', shrink=0.6, aspect=40, label=label)
    bar.set_ticks([0.01, 0.1, 1.0], labels=['≤ 1 %', '10 %', '100 %'])
    bar.outline.set_visible(False)


def _pairs(axes, matrix, confused, names):
    axes.set_axis_off()
    axes.set_title('Most confused: true → predicted' if confused else 'No confusions', loc='left')
    axes.set_xlim(0, 1)
    slots = max(len(confused), 8)
    axes.set_ylim(slots, 0)
    for place, (true, predicted, count) in enumerate(confused):
        total = int(matrix[true].sum())
        pair = f'{text.shorten(names[true], 20)}  →  {text.shorten(names[predicted], 20)}'
        axes.text(0, place + 0.35, pair, va='center', **text.style(fontsize=9))
        axes.text(0, place + 0.75, f'{count} of {total} ({count / total:.0%})', va='center', fontsize=8, color=FAINT)

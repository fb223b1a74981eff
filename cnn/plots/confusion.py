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
    """Writes `path` (PNG): what each true class (row) was taken for (column), and the `pairs` most confused.

    Args:
      matrix: integers `[C, C]`, rows true, columns predicted.
      names: C class names.
    """
    matrix = np.asarray(matrix)
    named = len(matrix) <= _NAMED
    side = max(5.0, 0.42 * len(matrix) + 1.5) if named else 7.5
    lines = _pair_lines(matrix, names, min(pairs, int(side / 0.3)))
    # About 0.075 inches a letter, and the counts at the right.
    aside = max(2.6, 0.075 * max((text.width(pair) for pair, _ in lines), default=0) + 1.3)
    with figure(path, side + aside, side) as canvas:
        left, right = canvas.subplots(1, 2, width_ratios=(side, aside))
        if named:
            _named_matrix(left, matrix, names)
        else:
            _large_matrix(canvas, left, matrix)
        total = int(matrix.sum())
        accuracy = f'{np.trace(matrix) / total:.2%} of {total:,} examples right' if total else 'no examples'
        left.set_title(accuracy, loc='left')
        left.set_xlabel('predicted class')
        left.set_ylabel('true class')
        left.spines[:].set_visible(False)
        _pairs(right, lines, slots=int(side / 0.27))


def _shares(matrix):
    return matrix / np.maximum(matrix.sum(1, keepdims=True), 1)


def _named_matrix(axes, matrix, names):
    """Right answers in blue by their share of the row; wrong ones in orange, against the worst of them."""
    share, right = _shares(matrix), np.eye(len(matrix), dtype=bool)
    wrong = np.where(right | (matrix == 0), np.nan, share)
    worst = max(np.nanmax(wrong, initial=0.0), 0.05)
    axes.imshow(np.where(right & (matrix > 0), share, np.nan), cmap='Blues', vmin=0, vmax=1.25)
    axes.imshow(wrong, cmap='Oranges', vmin=-0.1 * worst, vmax=1.6 * worst)
    every = range(len(matrix))
    labels = [text.shorten(n, 20) for n in names]
    long = max(map(text.width, labels), default=0) > 2
    axes.set_xticks(every, labels, **text.style(rotation=90 if long else 0))
    axes.set_yticks(every, labels, **text.style())
    axes.set_xticks(np.arange(len(matrix) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(matrix) + 1) - 0.5, minor=True)
    axes.grid(True, which='minor', color='#f0f0f0', linewidth=0.8)
    axes.tick_params(length=0, which='both')
    size = 9 if matrix.max(initial=0) < 1000 else 7
    for row, column in zip(*np.nonzero(matrix), strict=True):
        ink = 'white' if row == column and share[row, column] > 0.6 else INK
        axes.text(column, row, str(matrix[row, column]), ha='center', va='center', color=ink, fontsize=size)


def _large_matrix(canvas, axes, matrix):
    """Shares of the row in logarithmic shades, so that one example in a hundred is seen beside the diagonal."""
    classes = len(matrix)
    step = -(-classes // _CELLS)
    blocks = -(-classes // step)
    padded = np.zeros((blocks * step, blocks * step))
    padded[:classes, :classes] = _shares(matrix)
    shown = padded.reshape(blocks, step, blocks, step).max((1, 3))
    norm = colors.LogNorm(vmin=0.01, vmax=1, clip=True)
    extent = (-0.5, blocks * step - 0.5, blocks * step - 0.5, -0.5)
    shown = np.where(shown > 0, shown, np.nan)
    image = axes.imshow(shown, cmap='Blues', norm=norm, extent=extent, interpolation='nearest')
    label = 'share of the true class' + (f', the largest of {step} × {step} classes' if step > 1 else '')
    bar = canvas.colorbar(image, ax=axes, location='bottom', shrink=0.6, aspect=40, label=label)
    bar.set_ticks([0.01, 0.1, 1.0], labels=['≤ 1 %', '10 %', '100 %'])
    bar.outline.set_visible(False)


def _pair_lines(matrix, names, count):
    lines = []
    for true, predicted, examples in most_confused(matrix, count):
        total = int(matrix[true].sum())
        pair = f'{text.shorten(names[true], 24)} → {text.shorten(names[predicted], 24)}'
        lines.append((pair, f'{examples:,} of {total:,}'))
    return lines


def _pairs(axes, lines, slots):
    axes.set_axis_off()
    axes.set_title('Most confused, true → predicted' if lines else 'No confusions', loc='left')
    axes.set_xlim(0, 1)
    axes.set_ylim(slots, 0)
    for place, (pair, count) in enumerate(lines):
        axes.text(0, place + 0.5, pair, va='center', **text.style(fontsize=9))
        axes.text(1, place + 0.5, count, va='center', ha='right', fontsize=9, color=FAINT)

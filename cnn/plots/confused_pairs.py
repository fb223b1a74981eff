"""The pairs of classes that are taken for each other most, in pictures: what the network sees alike."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure, picture

# Inches: a picture's side, the gap between two, and between the two classes, a row's heading, its captions, the title.
_SIDE, _GAP, _BREAK, _HEAD, _LINES, _TITLE = 1.45, 0.14, 0.34, 0.5, 0.36, 0.5
# Of each class: one recognised and so many taken for the other.
_WRONG = 2


def pairs(matrix: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The `count` unordered pairs of classes with most confusions, both ways together, as (a, b).

    a is the class of which the larger share is taken for the other. Equal pairs are ordered by their share of both
    classes' examples, larger first, then by number; pairs never confused are left out.
    """
    matrix = np.asarray(matrix, np.int64)
    totals = matrix.sum(1)
    both = np.triu(matrix + matrix.T, 1)
    first, second = np.nonzero(both)
    confused, of = both[first, second], totals[first] + totals[second]
    order = np.lexsort((second, first, -confused / np.maximum(of, 1), -confused))[:count]
    shares = matrix / np.maximum(totals, 1)[:, None]
    found = [(int(first[i]), int(second[i])) for i in order]
    return [(a, b) if shares[a, b] >= shares[b, a] else (b, a) for a, b in found]


def draw(
    matrix: np.ndarray,
    table: Mapping[str, np.ndarray],
    image: Callable[[int], np.ndarray],
    names: Sequence[str],
    path: str,
    *,
    count: int = 6,
) -> None:
    """Writes `path` (PNG), a row for each of the `count` pairs confused most; says so where there are none.

    A row has a half for each class: one picture that was recognised, then those taken for the other class, the most
    confident of either first. So what was mistaken for a class stands beside that class.

    Args:
      matrix: integers `[C, C]`, rows true, columns predicted.
      table: columns `index`, `label`, `prediction`, `confidence` (0 to 1), of any examples.
      image: gives uint8 `[H, W, 3]` (or `[H, W, 1]`) for a value of `index`; sizes may differ.
      names: C class names.
    """
    matrix = np.asarray(matrix, np.int64)
    chosen = pairs(matrix, count)
    columns = 2 * (_WRONG + 1)
    width = 2 * _GAP + columns * _SIDE + (columns - 2) * _GAP + _BREAK
    row_height = _HEAD + _SIDE + _LINES
    height = _TITLE + max(len(chosen), 1) * row_height if chosen else _TITLE
    with figure(path, width, height, layout='none') as canvas:
        title = 'Pairs of classes confused most, either way' if chosen else 'No two classes were confused'
        canvas.text(_GAP / width, 1 - 0.5 * _TITLE / height, title, va='center', fontsize=11)
        for place, pair in enumerate(chosen):
            top = _TITLE + place * row_height
            _heading(canvas, top / height, width, height, matrix, names, pair)
            for slot, row in enumerate(_slots(table, pair)):
                left = _GAP + slot * (_SIDE + _GAP) + (_BREAK - _GAP if slot > _WRONG else 0)
                bottom = 1 - (top + _HEAD + _SIDE) / height
                if row is not None:
                    axes = canvas.add_axes((left / width, bottom, _SIDE / width, _SIDE / height))
                    _one(axes, {c: table[c][row] for c in table}, image, names)


def _heading(canvas, top, width, height, matrix, names, pair):
    """Each class's name over its half, and how many of its examples went to the other."""
    half = (_WRONG + 1) * (_SIDE + _GAP) - _GAP + _BREAK
    for side, (true, other) in enumerate((pair, pair[::-1])):
        x = (_GAP + side * half) / width
        said = f'{matrix[true, other]:,} of {matrix[true].sum():,} taken for the other'
        style = text.style(fontsize=10, color=INK)
        canvas.text(x, 1 - top - 0.15 / height, text.shorten(names[true], 42), va='center', **style)
        canvas.text(x, 1 - top - 0.35 / height, said, va='center', fontsize=8.5, color=FAINT)


def _slots(table: Mapping[str, np.ndarray], pair: tuple[int, int]) -> list[int | None]:
    """Rows of the table, left to right: a right, a taken for b ..., b right, b taken for a ...; None for no such."""
    a, b = pair

    def best(true: int, predicted: int, count: int) -> list[int | None]:
        rows = np.flatnonzero((table['label'] == true) & (table['prediction'] == predicted))
        rows = rows[np.argsort(-np.asarray(table['confidence'])[rows], kind='stable')][:count]
        return [*map(int, rows)] + [None] * (count - len(rows))

    return [*best(a, a, 1), *best(a, b, _WRONG), *best(b, b, 1), *best(b, a, _WRONG)]


def _one(axes, row, image, names):
    pixels = picture(axes, np.asarray(image(int(row['index']))))
    # A square whatever the picture's shape, standing on its bottom: captions hang at one height.
    side, height = max(pixels.shape[:2]), len(pixels)
    axes.set_xlim(-0.5, side - 0.5)
    axes.set_ylim(height - 0.5, height - side - 0.5)
    right = int(row['label']) == int(row['prediction'])
    line = 'right' if right else f'→ {text.shorten(names[int(row["prediction"])], 18)}'
    sure = f'{text.percent(float(row["confidence"]))} sure, no. {int(row["index"])}'
    style = text.style(fontsize=8.5, color=BLUE if right else ORANGE)
    axes.text(0, -0.05 / _SIDE, line, va='top', transform=axes.transAxes, **style)
    axes.text(0, -0.2 / _SIDE, sure, va='top', transform=axes.transAxes, fontsize=7.5, color=FAINT)

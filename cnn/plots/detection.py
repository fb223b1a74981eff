"""Detections: objects and what was found, beside each other, for a data set; what a detector sees in a photograph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from cnn.plots import palette, text
from cnn.plots.box_marks import DASHES, outline
from cnn.plots.figure import FAINT, INK, figure, picture

# Inches: a picture's side, the gap, the line above each, the title's strip, a legend's line.
_SIDE, _GAP, _LINE, _TITLE, _ENTRY = 2.5, 0.08, 0.24, 0.5, 0.24
_BLOCKS = 2


def draw_pairs(
    rows: Sequence[Any],
    image: Callable[[int], np.ndarray],
    names: Sequence[str],
    path: str,
    *,
    title: str,
    least: float = 0.5,
    most: int = 30,
) -> None:
    """Writes `path` (PNG): for each image its objects and, beside them, its detections; a legend of the classes.

    Args:
      rows: with `index`; `truth` `[m, 4]` and `truth_labels` `[m]`; `boxes` `[n, 4]`, `labels` and `scores` `[n]`, in
        pixels of the image; and, where they are known, `difficult` and `crowd` (bool `[m]`: dashed) and `verdicts`
        (int `[n]`, voc_ap.judge: what is no hit is dashed).
      image: gives uint8 `[H, W, 3]` for an `index`.
      names: C class names.
      least: scores below are not drawn; `most`: so many of an image's highest scores are.
    """
    seen = sorted({int(c) for row in rows for c in (*row.truth_labels, *row.labels[_shown(row, least, most)])})
    pixels = [np.asarray(image(int(row.index))) for row in rows]
    blocks = min(_BLOCKS, max(len(rows), 1))
    # Each line as high as its highest picture.
    shapes = [_SIDE * min(1.0, p.shape[0] / p.shape[1]) for p in pixels]
    heights = [max(shapes[i : i + _BLOCKS]) for i in range(0, len(rows), _BLOCKS)]
    width = blocks * (2 * (_SIDE + _GAP) + 2 * _GAP) + _GAP
    entries = max(int(width / 1.35), 1)
    below = 0.15 + _ENTRY * -(-(len(seen) + 2) // entries)
    height = _TITLE + sum(heights) + len(heights) * (_LINE + _GAP) + below
    with figure(path, width, height, layout='none') as canvas:
        said = f'{title}: objects, and what was found with a score of {least:g} or more' if rows else f'{title}: none'
        canvas.text(_GAP / width, 1 - 0.4 * _TITLE / height, said, va='center', fontsize=11)
        for place, row in enumerate(rows):
            left, line = _GAP + place % _BLOCKS * (2 * (_SIDE + _GAP) + 2 * _GAP), place // _BLOCKS
            top, tall = _TITLE + sum(heights[:line]) + line * (_LINE + _GAP) + _LINE, heights[line]
            axes = [
                canvas.add_axes(((left + k * (_SIDE + _GAP)) / width, 1 - (top + tall) / height,
                                 _SIDE / width, tall / height)) for k in (0, 1)
            ]  # fmt: skip
            _pair(*axes, row, pixels[place], names, least, most)
            found = len(_shown(row, least, most))
            caption = f'no. {row.index}: {_count(len(row.truth), "object")}, {found} found'
            canvas.text(left / width, 1 - (top - 0.5 * _LINE) / height, caption, va='center', fontsize=8.5, color=FAINT)
        _legend(canvas, seen, names, entries, rows)


def _pair(left, right, row, pixels, names, least, most):
    colors = palette.of(names) / 255
    apart = getattr(row, 'difficult', np.zeros(len(row.truth), bool)) | getattr(row, 'crowd', False)
    verdicts = getattr(row, 'verdicts', np.ones(len(row.labels), int))
    step = len(pixels) / len(picture(left, pixels))
    picture(right, pixels)
    for axes in (left, right):
        axes.set_anchor('NW')
    for box, label, dashed in zip(row.truth, row.truth_labels, apart, strict=True):
        outline(left, box, colors[label], step=step, dashed=bool(dashed))
    for k in _shown(row, least, most)[::-1]:
        tag = f'{text.shorten(names[row.labels[k]], 14)} {row.scores[k]:.2f}'
        outline(right, row.boxes[k], colors[row.labels[k]], step=step, dashed=verdicts[k] != 1, tag=tag)


def _shown(row, least, most) -> np.ndarray:
    """The detections to be drawn, highest score first: their places."""
    order = np.argsort(-np.asarray(row.scores), kind='stable')
    return order[np.asarray(row.scores)[order] >= least][:most]


def _legend(canvas, seen, names, entries, rows):
    colors = palette.of(names) / 255
    handles = [Line2D([], [], color=colors[c], linewidth=2, label=text.shorten(names[c], 16)) for c in seen]
    if any(hasattr(row, 'verdicts') for row in rows):
        handles.append(Line2D([], [], color=INK, linewidth=1.2, linestyle=DASHES, label='wrong, or ignored'))
    if handles:
        properties = {'family': text.style()['fontfamily'], 'size': 8.5}
        legend = canvas.legend(handles=handles, loc='lower left', ncols=entries, prop=properties, handlelength=1.6,
                               columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
        for label in legend.get_texts():
            label.set_parse_math(False)


def draw(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    path: str,
    *,
    title: str = '',
    least: float = 0.5,
    most: int = 50,
) -> None:
    """Writes `path` (PNG): a photograph with its detections, and how many there are of each class.

    Args:
      image: uint8 `[H, W, 3]` or `[H, W, 1]`.
      boxes, scores, labels: `[n, 4]` in pixels of the image, `[n]`, int `[n]`; below 0 for padding.
      names: C class names.
      title: the file's name, as a rule.
      least, most: as in `draw_pairs`.
    """
    image, boxes, scores, labels = map(np.asarray, (image, boxes, scores, labels))
    order = np.argsort(-scores, kind='stable')
    order = order[(scores[order] >= least) & (labels[order] >= 0)][:most]
    side = 4.6
    across = float(np.clip(side * image.shape[1] / image.shape[0], 0.35 * side, 1.8 * side))
    colors = palette.of(names) / 255
    with figure(path, across + 2.2, side) as canvas:
        axes, beside = canvas.subplots(1, 2, width_ratios=[across, 2.0])
        step = len(image) / len(picture(axes, image))
        for k in order[::-1]:
            tag = f'{text.shorten(names[labels[k]], 20)} {scores[k]:.2f}'
            outline(axes, boxes[k], colors[labels[k]], step=step, tag=tag)
        if title:
            short = text.shorten(title, int(14 * across))
            canvas.suptitle(short, x=0.01, ha='left', **text.style(fontsize=9, color=FAINT))
        _counts(beside, labels[order], colors, names, least)


def _counts(axes, labels, colors, names, least):
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(1, 0)
    if not len(labels):
        axes.text(0, 0.05, f'nothing scores {least:g}\nor more', va='top', fontsize=9, color=INK)
    counts = np.bincount(labels, minlength=len(names))
    classes = [int(c) for c in np.argsort(-counts, kind='stable') if counts[c]]
    for place, c in enumerate(classes[:18]):
        at = 0.03 + 0.054 * place
        axes.plot([0, 0.1], [at, at], color=colors[c], linewidth=3, solid_capstyle='butt')
        axes.text(0.14, at, f'{counts[c]} × {text.shorten(names[c], 18)}', va='center', **text.style(fontsize=9))


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'

"""Masks over images: truth beside prediction for a data set, and what a network sees in one photograph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Patch

from cnn.plots import palette, text
from cnn.plots.figure import FAINT, INK, figure, picture

# Inches: a picture's side, the gap, the line above each, the title's strip, a legend's line.
_SIDE, _GAP, _LINE, _TITLE, _ENTRY = 1.75, 0.08, 0.24, 0.5, 0.24
_BLOCKS, _WIDTH = 2, 3


def draw_pairs(
    rows: Sequence[Any], image: Callable[[int], np.ndarray], names: Sequence[str], path: str, *, title: str
) -> None:
    """Writes `path` (PNG): each image plain, with its true mask, and with the predicted one; a legend of the classes.

    Args:
      rows: with `index`, `truth` and `predicted` (uint8 `[H, W]`, 255 where nothing is labelled) and `mean_iou`.
      image: gives uint8 `[H, W, 3]` for an `index`, of the masks' size.
      names: C class names.
    """
    seen = sorted({int(c) for row in rows for mask in (row.truth, row.predicted) for c in np.unique(mask)})
    lines = -(-len(rows) // _BLOCKS)
    blocks = min(_BLOCKS, max(len(rows), 1))
    width = blocks * (_WIDTH * (_SIDE + _GAP) + 3 * _GAP) + _GAP
    entries = max(int(width / 1.35), 1)
    below = 0.15 + _ENTRY * -(-len(seen) // entries)
    height = _TITLE + lines * (_SIDE + _LINE + _GAP) + below
    with figure(path, width, height, layout='none') as canvas:
        said = f'{title}: image, truth, prediction' if rows else f'{title}: none has a labelled pixel'
        canvas.text(_GAP / width, 1 - 0.4 * _TITLE / height, said, va='center', fontsize=11)
        for place, row in enumerate(rows):
            left = _GAP + place % _BLOCKS * (_WIDTH * (_SIDE + _GAP) + 3 * _GAP)
            top = _TITLE + place // _BLOCKS * (_SIDE + _LINE + _GAP) + _LINE
            _triple(canvas, row, image(int(row.index)), names, left, top, width, height)
        _legend(canvas, seen, names, entries)


def _triple(canvas, row, pixels, names, left, top, width, height):
    panels = pixels, palette.paint(pixels, row.truth, names), palette.paint(pixels, row.predicted, names)
    for place, panel in enumerate(panels):
        x = left + place * (_SIDE + _GAP)
        axes = canvas.add_axes((x / width, 1 - (top + _SIDE) / height, _SIDE / width, _SIDE / height))
        picture(axes, panel)
        axes.set_anchor('NW')
    caption = f'no. {row.index}, mean IU {text.percent(row.mean_iou)}'
    canvas.text(left / width, 1 - (top - 0.5 * _LINE) / height, caption, va='center', fontsize=8.5, color=FAINT)


def _legend(canvas, seen, names, entries):
    colours = palette.of(names) / 255
    handles = []
    for c in seen:
        known = c < len(names)
        label = text.shorten(names[c], 16) if known else 'not labelled'
        colour = colours[c] if known else np.array(palette.VOID) / 255
        handles.append(Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.5, label=label))
    if handles:
        properties = {'family': text.style()['fontfamily'], 'size': 8.5}
        legend = canvas.legend(handles=handles, loc='lower left', ncols=entries, prop=properties, handlelength=1.0,
                               columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
        for label in legend.get_texts():
            label.set_parse_math(False)


def draw(image: np.ndarray, mask: np.ndarray, names: Sequence[str], path: str, *, title: str = '') -> None:
    """Writes `path` (PNG): a photograph, the same under its mask, and how much of it each class takes.

    Args:
      image: uint8 `[H, W, 3]` or `[H, W, 1]`.
      mask: uint8 `[H, W]`, a class or 255 for none.
      names: C class names.
    """
    image = np.asarray(image)
    counts = np.bincount(np.asarray(mask).ravel(), minlength=256)
    order = [int(c) for c in np.argsort(-counts, kind='stable') if counts[c]]
    side = 3.6
    across = float(np.clip(side * image.shape[1] / image.shape[0], 0.35 * side, 1.8 * side))
    with figure(path, 2 * across + 2.6, side) as canvas:
        left, middle, right = canvas.subplots(1, 3, width_ratios=[across, across, 2.2])
        picture(left, image)
        picture(middle, palette.paint(image, mask, names))
        if title:
            short = text.shorten(title, int(24 * across))
            canvas.suptitle(short, x=0.01, ha='left', **text.style(fontsize=9, color=FAINT))
        _shares(right, order[:12], counts / max(counts.sum(), 1), names)


def _shares(axes, order, share, names):
    colours = palette.of(names) / 255
    for place, c in enumerate(order):
        colour = colours[c] if c < len(names) else np.array(palette.VOID) / 255
        axes.barh(place, 0.08, left=0, height=0.5, color=[colour], edgecolor=FAINT, linewidth=0.5)
        label = text.shorten(names[c], 18) if c < len(names) else 'no class'
        axes.text(0.13, place, label, va='center', **text.style(fontsize=9, color=INK))
        axes.text(1, place, text.percent(float(share[c])), va='center', ha='right', fontsize=9, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(order), 8) - 0.5, -0.5)
    axes.set_axis_off()


def index_png(mask: np.ndarray, names: Sequence[str], path: str) -> None:
    """Writes `path`: the mask itself, uint8 `[H, W]`, as a PNG with a palette: its values are the classes' numbers."""
    import PIL.Image

    png = PIL.Image.fromarray(np.ascontiguousarray(mask, np.uint8))
    table = np.full((256, 3), palette.VOID, np.uint8)
    table[: len(names)] = palette.of(names)
    png.putpalette(table.tobytes())
    png.save(path, optimize=True)

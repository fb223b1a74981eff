"""Accuracy by class: the classes that a network knows least, with what so few examples can tell."""

from collections.abc import Sequence

import numpy as np

from cnn.plots import text
from cnn.plots.figure import BLUE, FAINT, INK, figure

# Of a normal deviate, for intervals of 95 %.
_DEVIATE = 1.96


def worst(hits: np.ndarray, counts: np.ndarray, count: int) -> np.ndarray:
    """The `count` classes of least accuracy, worst first; equal ones by examples, most first, then by number.

    Classes without an example are left out.
    """
    hits, counts = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    present = np.flatnonzero(counts > 0)
    accuracy = hits[present] / counts[present]
    return present[np.lexsort((present, -counts[present], accuracy))][:count]


def interval(hits: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval (1927) of each share hits / counts, counts above 0: ends within 0 to 1."""
    hits, counts = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    share, square = hits / counts, _DEVIATE**2 / counts
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def draw(hits: np.ndarray, counts: np.ndarray, names: Sequence[str], path: str, *, count: int = 20) -> None:
    """Writes `path` (PNG): bars of the `count` classes of least accuracy, each with its interval and its examples.

    Args:
      hits, counts: int `[C]`, right and all examples of each class.
      names: C class names.
    """
    hits, counts = np.asarray(hits, np.int64), np.asarray(counts, np.int64)
    shown = worst(hits, counts, count)
    total = int((counts > 0).sum())
    height = 1.1 + 0.27 * max(len(shown), 2)
    with figure(path, 7.2, height) as canvas:
        axes = canvas.subplots()
        title = f'The {len(shown)} of {total:,} classes known least' if len(shown) < total else 'Accuracy by class'
        axes.set_title(title if len(shown) else 'No examples', loc='left')
        if len(shown):
            _bars(axes, hits, counts, names, shown)
        axes.set_xlim(0, 1.16)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=['0 %', '25 %', '50 %', '75 %', '100 %'])
        axes.spines[['left', 'bottom']].set_visible(False)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        axes.grid(True, axis='x')


def _bars(axes, hits, counts, names, shown):
    places, right, of = np.arange(len(shown)), hits[shown], counts[shown]
    share = right / of
    low, high = interval(right, of)
    axes.barh(places, share, height=0.62, color=BLUE, alpha=0.8)
    axes.hlines(places, low, high, color=INK, linewidth=1)
    axes.set_yticks(places, [text.shorten(names[i], 30) for i in shown], **text.style(fontsize=9))
    for place, r, n in zip(places, right, of, strict=True):
        axes.text(1.15, place, f'{r:,} of {n:,}', va='center', ha='right', fontsize=8.5, color=FAINT)
    # Known by the mean, so that one sees how far behind these are.
    known = counts > 0
    mean = float((hits[known] / counts[known]).mean())
    axes.axvline(mean, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel(f'dashed: mean of all classes, {mean:.1%}; lines: 95 % intervals', fontsize=8.5, color=FAINT)
    axes.set_ylim(len(shown) - 0.4, -0.6)

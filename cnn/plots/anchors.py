"""A region proposal network from within, for a learner: its anchors, which of them learn an object, its proposals."""

from collections.abc import Sequence

import numpy as np

from cnn.plots.box_marks import outline
from cnn.plots.figure import BLUE, FAINT, INK, ORANGE, figure, picture

_SIDE = 3.6
_COLORS = ('#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')


def draw_anchors(
    image: np.ndarray,
    anchors: np.ndarray,
    stride: float,
    truth: np.ndarray,
    positive: np.ndarray,
    path: str,
    *,
    per_shape: int = 3,
    title: str = 'Anchors',
) -> None:
    """Writes `path` (PNG): all anchors of the middle cell over the grid of cells, and the anchors that learn an object.

    Args:
      image: uint8 `[H, W, 3]`.
      anchors: `[rows, columns, A, 4]`, in pixels of the image (cnn/ops/anchors.grid, reshaped).
      stride: pixels between cells.
      truth: `[m, 4]`, objects; positive: bool `[rows, columns, A]`, the anchors matched with one.
      per_shape: so many of A in a row have a colour, the scales of one ratio as a rule.
    """
    anchors = np.asarray(anchors, np.float64)
    rows, columns, count, _ = anchors.shape
    with figure(path, 2 * _SIDE * _aspect(image) + 0.2, _SIDE + 0.5) as canvas:
        left, right = canvas.subplots(1, 2)
        steps = [len(image) / len(picture(axes, image)) for axes in (left, right)]
        centres = (anchors[:, :, 0, :2] + anchors[:, :, 0, 2:]) / 2 / steps[0] - 0.5
        left.plot(*centres.reshape(-1, 2).T, linestyle='none', marker='.', markersize=2.2, color='white', alpha=0.7)
        middle = anchors[rows // 2, columns // 2]
        for k in np.argsort(-(middle[:, 2] - middle[:, 0]) * (middle[:, 3] - middle[:, 1])):
            outline(left, middle[k], _COLORS[k // per_shape % len(_COLORS)], step=steps[0], width=1.2)
        _keep_view(left, image, steps[0], middle / steps[0])
        left.set_title(f'{title}: {count} at each of {rows} x {columns} cells, {stride:g} px apart', **_TITLE)
        for k in np.argwhere(np.asarray(positive)):
            color = _COLORS[k[2] // per_shape % len(_COLORS)]
            outline(right, anchors[tuple(k)], color, step=steps[1], width=1.0)
        for box in truth:
            outline(right, box, 'black', step=steps[1], width=1.6, dashed=True)
        right.set_title(f'{int(np.sum(positive))} of them learn the {len(truth)} objects (dashed)', **_TITLE)
        _keep_view(right, image, steps[1])


def draw_proposals(
    image: np.ndarray,
    proposals: np.ndarray,
    scores: np.ndarray,
    overlaps: np.ndarray,
    truth: np.ndarray,
    path: str,
    *,
    counts: Sequence[int] = (10, 100),
    threshold: float = 0.5,
) -> None:
    """Writes `path` (PNG): the highest scoring proposals, those on an object in colour, for each number of `counts`.

    Args:
      image: uint8 `[H, W, 3]`.
      proposals: `[n, 4]` in pixels of the image; scores: `[n]`.
      overlaps: `[n, m]` with each object (boxes.iou); truth: `[m, 4]`.
      threshold: the overlap from which a proposal is on an object, and an object is found.
    """
    order = np.argsort(-np.asarray(scores), kind='stable')
    proposals, overlaps = np.asarray(proposals)[order], np.asarray(overlaps).reshape(len(order), len(truth))[order]
    with figure(path, len(counts) * _SIDE * _aspect(image) + 0.2, _SIDE + 0.5) as canvas:
        panels = canvas.subplots(1, len(counts), squeeze=False)[0]
        for axes, count in zip(panels, counts, strict=True):
            step = len(image) / len(picture(axes, image))
            hits = overlaps[:count] >= threshold
            on_object = hits.any(1)
            # Those on an object last, so that they are not hidden.
            for k in np.argsort(on_object, kind='stable'):
                color = ORANGE if on_object[k] else FAINT
                outline(axes, proposals[k], color, step=step, width=1.0, halo=bool(on_object[k]))
            for box, found in zip(truth, hits.any(0), strict=True):
                outline(axes, box, BLUE if found else INK, step=step, width=1.8, dashed=True)
            said = f'{min(count, len(order))} proposals find {int(hits.any(0).sum())} of {len(truth)} objects (dashed)'
            axes.set_title(said, **_TITLE)
            _keep_view(axes, image, step)


_TITLE = {'loc': 'left', 'fontsize': 9, 'color': INK}


def _aspect(image) -> float:
    return float(np.clip(image.shape[1] / image.shape[0], 0.5, 2))


def _keep_view(axes, image, step, boxes=None):
    """The picture, whatever boxes reach; with the room that `boxes` take, but no more than it takes itself."""
    height, width = image.shape[0] / step, image.shape[1] / step
    x0, y0, x1, y1 = 0.0, 0.0, width, height
    if boxes is not None:
        x0, y0 = max(min(0, boxes[:, 0].min()), -width / 2), max(min(0, boxes[:, 1].min()), -height / 2)
        x1, y1 = min(max(x1, boxes[:, 2].max()), 1.5 * width), min(max(y1, boxes[:, 3].max()), 1.5 * height)
    axes.set_xlim(x0 - 0.5, x1 - 0.5)
    axes.set_ylim(y1 - 0.5, y0 - 0.5)

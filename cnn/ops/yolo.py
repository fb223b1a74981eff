"""YOLO v1's grid (Redmon et al. 2016, arXiv:1506.02640): objects to cells, the loss, and cells back to boxes.

An output is float32 `[B, Sy, Sx, 5 P + C]`: in each cell, for each of its P predictors, x, y (of the box's centre, in
cells, from the cell's upper left corner), the square roots of width and height (in images), and a confidence; then C
class probabilities. All of them are plain numbers, which nothing squashes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnn.ops import boxes as boxes_ops
from cnn.ops.matching import take


class Cells(NamedTuple):
    """An output taken apart.

    Attributes:
      places: `[B, Sy, Sx, P, 4]`: x, y, and the roots of width and height, or these themselves.
      confidences: `[B, Sy, Sx, P]`.
      classes: `[B, Sy, Sx, C]`.
    """

    places: jax.Array
    confidences: jax.Array
    classes: jax.Array


class Assignment(NamedTuple):
    """Which object each cell answers for.

    Attributes:
      index: int32 `[B, Sy, Sx]`, into the objects; 0 where there is none.
      full: bool `[B, Sy, Sx]`, whether the centre of an object lies in the cell.
      assigned: bool `[B, N]`, which objects a cell answers for; two in one cell are one too many.
    """

    index: jax.Array
    full: jax.Array
    assigned: jax.Array


def split(output: jax.Array, predictors: int) -> Cells:
    """Takes an output apart."""
    boxes, classes = jnp.split(output, [5 * predictors], axis=-1)
    boxes = boxes.reshape(*boxes.shape[:-1], predictors, 5)
    return Cells(boxes[..., :4], boxes[..., 4], classes)


def corners(places: jax.Array, height, width, *, sqrt: bool = True) -> jax.Array:
    """Boxes `[B, Sy, Sx, P, 4]` in pixels of an image of `height` x `width`, not clipped, of what `Cells.places` has.

    Args:
      sqrt: whether these are the roots of the sides.
    """
    rows, columns = places.shape[1:3]
    x = (jnp.arange(columns)[:, None] + places[..., 0]) * (width / columns)
    y = (jnp.arange(rows)[:, None, None] + places[..., 1]) * (height / rows)
    # darknet squares as well, so that a negative root has a side.
    sides = jnp.square(places[..., 2:]) if sqrt else places[..., 2:]
    return boxes_ops.cxcywh_to_xyxy(jnp.stack([x, y, sides[..., 0] * width, sides[..., 1] * height], -1))


def assign(boxes: jax.Array, valid: jax.Array, grid: tuple[int, int], height, width) -> Assignment:
    """Gives each object to the cell in which its centre lies; of several in one cell the first counts, as in darknet.

    Args:
      boxes: `[B, N, 4]` in pixels; N may be 0.
      valid: bool `[B, N]`.
      grid: Sy, Sx.
    """
    rows, columns = grid
    if not boxes.shape[1]:
        boxes, valid = jnp.zeros((boxes.shape[0], 1, 4), boxes.dtype), jnp.zeros((boxes.shape[0], 1), bool)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    # A centre on the image's last edge belongs to the last cell.
    column = jnp.clip(jnp.floor(centre[..., 0] * (columns / width)), 0, columns - 1).astype(jnp.int32)
    row = jnp.clip(jnp.floor(centre[..., 1] * (rows / height)), 0, rows - 1).astype(jnp.int32)
    cell = row * columns + column
    here = (cell[:, None] == jnp.arange(rows * columns)[:, None]) & valid[:, None]  # [B, cells, N]
    first = here & (jnp.cumsum(here, -1) == 1)
    index = jnp.argmax(here, -1).astype(jnp.int32)
    return Assignment(index.reshape(-1, rows, columns), here.any(-1).reshape(-1, rows, columns), first.any(1))


def loss(
    output: jax.Array,
    boxes: jax.Array,
    labels: jax.Array,
    valid: jax.Array,
    *,
    predictors: int,
    height,
    width,
    coord: float = 5.0,
    noobj: float = 0.5,
    rescore: bool = True,
    rmse_fallback: bool = False,
    sqrt: bool = True,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """The sum of squares of equation 3 of the paper, image by image.

    In each cell with an object one predictor is responsible: the one whose box overlaps the object most now, the first
    of equals. It alone learns the place and the confidence of the object; all other confidences are to become 0.
    darknet's gradients are half of this loss's.

    Args:
      output: `[B, Sy, Sx, 5 P + C]`.
      boxes: `[B, N, 4]` in pixels of the image of `height` x `width`; labels: int32 `[B, N]`; valid: bool `[B, N]`.
      predictors: P.
      coord, noobj: the paper's lambdas.
      rescore: the responsible confidence is to become the overlap, as the paper's text says and darknet's files ask
        for; else 1.
      rmse_fallback: where no predictor of a cell overlaps the object, the one whose x, y, width and height are nearest
        is responsible, as in darknet; else the first.
      sqrt: whether the outputs are roots of the sides, as in the paper; else the sides.

    Returns:
      Parts to be added up, float32 `[B]`: `place`, `size`, `confidence`, `background`, `class`. And to be shown: `iou`,
      the mean overlap of the responsible boxes (0 without any), and `assigned`, the share of objects that a cell
      answers for (1 without any).
    """
    output = output.astype(jnp.float32)
    grid, (places, confidences, classes) = output.shape[1:3], split(output, predictors)
    index, full, assigned = assign(boxes, valid, grid, height, width)
    count = full.sum((1, 2))
    if not boxes.shape[1]:
        boxes, labels = jnp.zeros((output.shape[0], 1, 4)), jnp.zeros((output.shape[0], 1), jnp.int32)
    flat = index.reshape(output.shape[0], -1)
    truth = take(boxes, flat).reshape(*index.shape, 1, 4)
    target = _encode(truth, grid, height, width)
    predicted = corners(jax.lax.stop_gradient(places), height, width, sqrt=sqrt)
    overlap = boxes_ops.iou(predicted, truth)[..., 0]  # [B, Sy, Sx, P]
    best = jnp.argmax(overlap, -1)
    if rmse_fallback:
        best = jnp.where((overlap > 0).any(-1), best, _nearest(places, target, grid, sqrt))
    responsible = (jnp.arange(predictors) == best[..., None]) & full[..., None]
    if sqrt:
        target = target.at[..., 2:].set(jnp.sqrt(target[..., 2:]))
    error = jnp.square(places - target)
    wanted = overlap if rescore else 1.0
    label = take(labels, flat).reshape(index.shape)
    distribution = jax.nn.one_hot(label, classes.shape[-1])
    parts = {
        'place': coord * _sum(error[..., :2].sum(-1), responsible),
        'size': coord * _sum(error[..., 2:].sum(-1), responsible),
        'confidence': _sum(jnp.square(confidences - wanted), responsible),
        'background': noobj * _sum(jnp.square(confidences), ~responsible),
        'class': _sum(jnp.square(classes - distribution), full[..., None]),
    }
    objects = valid.sum(-1)
    shown = {
        'iou': _sum(overlap, responsible) / jnp.maximum(count, 1),
        'assigned': jnp.where(objects > 0, assigned.sum(-1) / jnp.maximum(objects, 1), 1.0),
    }
    return parts, shown


def _nearest(places: jax.Array, target: jax.Array, grid: tuple[int, int], sqrt: bool) -> jax.Array:
    """The predictor of each cell whose x, y, width and height are nearest to the object's, in images: `[B, Sy, Sx]`."""
    found = jax.lax.stop_gradient(places)
    found = found.at[..., 2:].set(jnp.square(found[..., 2:])) if sqrt else found
    scale = jnp.asarray([1 / grid[1], 1 / grid[0], 1, 1], jnp.float32)
    return jnp.argmin(jnp.square((found - target) * scale).sum(-1), -1)


def _encode(boxes: jax.Array, grid: tuple[int, int], height, width) -> jax.Array:
    """Boxes `[B, Sy, Sx, 1, 4]` as x and y in cells from the cell's corner, width and height in images."""
    rows, columns = grid
    x, y, w, h = jnp.moveaxis(boxes_ops.xyxy_to_cxcywh(boxes.astype(jnp.float32)), -1, 0)
    x = x * (columns / width) - jnp.arange(columns)[:, None]
    y = y * (rows / height) - jnp.arange(rows)[:, None, None]
    return jnp.stack([x, y, w / width, h / height], -1)


def _sum(values: jax.Array, chosen: jax.Array) -> jax.Array:
    """Over the cells of each image where `chosen`: float32 `[B]`."""
    return jnp.where(chosen, values, 0.0).sum(tuple(range(1, values.ndim)))


def decode(output: jax.Array, *, predictors: int, height, width, sqrt: bool = True) -> tuple[jax.Array, jax.Array]:
    """Boxes `[B, R, 4]` in pixels, not clipped, and scores `[B, R, C]`, of R = Sy Sx P predictors.

    A score is the confidence times the probability of the class, equation 1 of the paper.
    """
    places, confidences, classes = split(output.astype(jnp.float32), predictors)
    boxes = corners(places, height, width, sqrt=sqrt)
    scores = confidences[..., None] * classes[..., None, :]
    return boxes.reshape(output.shape[0], -1, 4), scores.reshape(output.shape[0], -1, classes.shape[-1])

"""Non-maximum suppression with static shapes: exactly the greedy rule, in blocks.

Boxes are visited from the highest score down; each is kept unless it overlaps one kept before by more than a threshold.
A loop over single boxes wastes a vector machine, so tiles of boxes are visited: those of a tile that a box kept earlier
suppresses drop out at once; among the rest, whoever is suppressed by nobody is kept and whoever one of these suppresses
drops out, until nothing changes. That is the greedy result, whatever the boxes, in as many rounds as chains of
suppression are long. The loop ends when enough boxes are kept.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import boxes as boxes_ops

TILE = 256


class Kept(NamedTuple):
    """What `nms` kept, highest score first.

    Attributes:
      index: int32 `[..., K]` into the boxes given; 0 where fewer than K were kept.
      valid: bool `[..., K]`, False there.
    """

    index: jax.Array
    valid: jax.Array


def nms(
    boxes: jax.Array,
    scores: jax.Array,
    *,
    iou_threshold: float,
    count: int,
    valid: jax.Array | None = None,
    labels: jax.Array | None = None,
    inclusive: bool = False,
    tile: int = TILE,
) -> Kept:
    """Keeps at most `count` boxes, greedily, none of which overlaps another of a higher score by more than a threshold.

    Equal scores go by place, the first before the others. Runs inside a compiled step; its work is about N times the
    number kept. No gradient flows through it.

    Args:
      boxes: `[..., N, 4]`, N may be 0; `scores`: `[..., N]`. A box or score that is not finite is never kept.
      iou_threshold: 0 to 1; an overlap of exactly this does not suppress.
      count: K.
      valid: bool `[..., N]`; False for padding.
      labels: int32 `[..., N]`, classes: boxes of different ones do not suppress each other.
      inclusive: as in boxes.iou.
      tile: boxes to a block; changes the speed alone.
    """
    boxes, scores = (lax.stop_gradient(x.astype(jnp.float32)) for x in (boxes, scores))
    real = jnp.isfinite(scores) & jnp.isfinite(boxes).all(-1)
    valid = real if valid is None else real & valid
    labels = jnp.zeros(scores.shape, jnp.int32) if labels is None else labels

    def one(boxes, scores, valid, labels):
        return _nms(boxes, scores, valid, labels, iou_threshold, count, inclusive, tile)

    for _ in scores.shape[:-1]:
        one = jax.vmap(one)
    return Kept(*one(boxes, scores, valid, labels))


def _nms(boxes, scores, valid, labels, threshold, count, inclusive, tile):
    size = len(scores)
    if not size or not count:
        return jnp.zeros(count, jnp.int32), jnp.zeros(count, bool)
    tile = min(tile, -(-size // 8) * 8)
    order = jnp.argsort(jnp.where(valid, -scores, jnp.inf)).astype(jnp.int32)
    total, order = valid.sum(), jnp.pad(order, (0, -size % tile))
    # Each row a box and its label; of what is not there yet the area is 0 in either convention.
    rows = jnp.concatenate([boxes, labels[:, None].astype(jnp.float32)], 1)[order]
    room = -(-count // tile) * tile
    nothing = jnp.tile(jnp.float32([0, 0, -1, -1, -1]), (room, 1))

    def suppressed(by, those):
        # To be reduced over its rows: along its columns XLA's CPU loop does not vectorise and is six times slower.
        overlap = boxes_ops.iou(by[:, :4], those[:, :4], inclusive=inclusive) > threshold
        return overlap & (by[:, 4:] == those[:, 4])

    def visit(state):
        t, number, kept, index = state
        here = lax.dynamic_slice_in_dim(rows, t * tile, tile)

        def by_block(b, alive):
            return alive & ~suppressed(lax.dynamic_slice_in_dim(kept, b * tile, tile), here).any(0)

        alive = lax.fori_loop(0, -(-number // tile), by_block, t * tile + jnp.arange(tile) < total)
        earlier = jnp.arange(tile)[:, None] < jnp.arange(tile)
        keep = _settle(suppressed(here, here) & earlier, alive)
        # Where each kept box goes; what is beyond the room is dropped.
        to = jnp.where(keep, number + jnp.cumsum(keep) - 1, room)
        kept = kept.at[to].set(here, mode='drop')
        index = index.at[to].set(lax.dynamic_slice_in_dim(order, t * tile, tile), mode='drop')
        return t + 1, number + keep.sum(), kept, index

    state = (0, 0, nothing, jnp.zeros(room, jnp.int32))
    state = lax.while_loop(lambda s: (s[0] * tile < total) & (s[1] < count), visit, state)
    is_kept = jnp.arange(count) < state[1]
    return jnp.where(is_kept, state[3][:count], 0), is_kept


def _settle(pairs, alive):
    """The greedy choice among `alive` `[T]`; `pairs` `[T, T]` says that a row suppresses a column, a later box."""

    def step(state):
        _, keep = state
        return keep, alive & ~(pairs & keep[:, None]).any(0)

    # Repeating "keep whom nobody kept suppresses" fixes at least one more box of each chain, from its head on.
    return lax.while_loop(lambda s: (s[0] != s[1]).any(), step, (jnp.zeros_like(alive), alive))[1]

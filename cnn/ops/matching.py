"""Which object each candidate box (an anchor, a proposal) answers for."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

POSITIVE, NEGATIVE, NEITHER = 1, 0, -1


class Match(NamedTuple):
    """What `match` found for N candidates.

    Attributes:
      label: int32 `[..., N]`, POSITIVE, NEGATIVE, or NEITHER (takes no part in training).
      index: int32 `[..., N]`, the object of the largest overlap, the first of equals; 0 where there is no object.
      iou: float32 `[..., N]`, that overlap; 0 where there is no object.
    """

    label: jax.Array
    index: jax.Array
    iou: jax.Array


def match(
    iou: jax.Array,
    valid: jax.Array,
    *,
    positive: float,
    negative: tuple[float, float],
    best_too: bool = False,
    usable: jax.Array | None = None,
    ignored: jax.Array | None = None,
) -> Match:
    """Judges candidates by their largest overlap with an object.

    A region proposal network takes positive=0.7, negative=(0, 0.3), best_too=True (Ren et al. 2015, section 3.1.2),
    Fast R-CNN positive=0.5, negative=(0.1, 0.5) (Girshick 2015, arXiv:1504.08083, section 2.3).

    Args:
      iou: float32 `[..., N, M]` of N candidates with M objects (boxes.iou).
      valid: bool `[..., M]`, which objects are real and count (not padding, not crowds, not difficult ones).
      positive: at least this overlap makes a candidate positive.
      negative: low, high: an overlap of low <= iou < high makes it negative. Without any valid object the overlap is 0.
      best_too: the candidates of an object's largest overlap, all of them where several are equal, are positive as well
        if they overlap it at all. As in py-faster-rcnn they answer for their own best object, which may be another.
      usable: bool `[..., N]`: the other candidates (padding, anchors that leave the image) are out of the question:
        NEITHER, overlap 0, no object's best.
      ignored: bool `[..., N]`: candidates on a crowd or a difficult object (`on_ignored`), which are not negative.

    M may be 0.
    """
    if iou.shape[-1] == 0:
        valid, iou = jnp.zeros((*iou.shape[:-2], 1), bool), jnp.zeros((*iou.shape[:-1], 1), iou.dtype)
    usable = jnp.ones(iou.shape[-2], bool) if usable is None else usable
    known = jnp.where(valid[..., None, :] & usable[..., None], iou, 0.0)
    largest, index = known.max(-1), known.argmax(-1).astype(jnp.int32)
    is_positive = usable & (largest >= positive) & valid.any(-1, keepdims=True)
    if best_too:
        top = known.max(-2, keepdims=True)
        # By place as well as by value: a compiler that computes an overlap twice may round it twice.
        first = jnp.arange(iou.shape[-2])[:, None] == known.argmax(-2, keepdims=True)
        is_positive |= ((first | (known == top)) & (top > 0)).any(-1)
    is_negative = usable & (largest >= negative[0]) & (largest < negative[1])
    if ignored is not None:
        is_negative &= ~ignored
    label = jnp.where(is_positive, POSITIVE, jnp.where(is_negative, NEGATIVE, NEITHER))
    return Match(label.astype(jnp.int32), index, largest)


def on_ignored(overlap: jax.Array, ignored: jax.Array, threshold: float = 0.5) -> jax.Array:
    """Which candidates overlap an object to be ignored by `threshold` or more: bool `[..., N]`.

    Args:
      overlap: `[..., N, M]`: `boxes.covered` for crowds, whose boxes hold many objects, `boxes.iou` for difficult ones.
      ignored: bool `[..., M]`, which objects are to be ignored.
    """
    return (ignored[..., None, :] & (overlap >= threshold)).any(-1)


def take(values: jax.Array, index: jax.Array) -> jax.Array:
    """`values` `[..., M, *rest]` of the objects `index` int32 `[..., N]`: `[..., N, *rest]`.

    M must be 1 or more. `index` has as many axes as `values` has before `rest`, with the same leading sizes.
    """
    rest = values.ndim - index.ndim
    return jnp.take_along_axis(values, index.reshape(*index.shape, *(1,) * rest), axis=index.ndim - 1)

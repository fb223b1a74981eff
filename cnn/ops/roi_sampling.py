"""A fixed number of candidates to learn from, drawn at random with a share of positive ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import keys
from cnn.ops.matching import NEGATIVE, NEITHER, POSITIVE


class Sample(NamedTuple):
    """What `sample` drew of each example's N candidates.

    Attributes:
      index: int32 `[B, count]`, positive ones first; no candidate twice; 0 where there were not enough.
      label: int32 `[B, count]`, POSITIVE, NEGATIVE, or NEITHER where there were not enough.
    """

    index: jax.Array
    label: jax.Array


def sample(key: jax.Array, row: jax.Array, label: jax.Array, *, count: int, positive_share: float) -> Sample:
    """Draws up to `count` candidates without replacement, at most `positive_share` of them positive.

    Every positive candidate is as likely as every other, and so is every negative one, which fill the places that
    positive ones leave; missing negative ones are not replaced. A region proposal network draws 256 with a share of
    0.5, Fast R-CNN 64 with 0.25.

    Args:
      key: the step's; `row`: int32 `[B]`, the examples' rows in the global batch (keys.per_example).
      label: int32 `[B, N]` (matching.match); what is neither is never drawn. N may be below `count`.

    Raises:
      ValueError: for a count below 1 or a share outside 0..1.
    """
    return _sample(_orders(key, row, label.shape[1:]), label, count, positive_share)


def sample_together(key: jax.Array, row: jax.Array, label: jax.Array, *, count: int, positive_share: float) -> Sample:
    """`sample` over all examples at once, as R-CNN and SPPNet fill their batches.

    Returns:
      `index` int32 `[count]` into the B * N candidates, example after example, and `label` int32 `[count]`. Whether a
      candidate is drawn depends on the others of the batch; in what order they are tried, on its own row alone.

    Raises:
      ValueError: as `sample`.
    """
    order = _orders(key, row, label.shape[1:]).reshape(1, -1)
    return Sample(*(x[0] for x in _sample(order, label.reshape(1, -1), count, positive_share)))


def _orders(key, row, shape):
    return jax.vmap(lambda k: jax.random.uniform(k, shape, jnp.float32))(keys.per_example(key, row))


def _sample(order, label, count, positive_share):
    if count < 1 or not 0 <= positive_share <= 1:
        raise ValueError(f'cannot draw {count} candidates of which {positive_share} are positive')
    most = int(count * positive_share)
    positives, positive_count = _drawn(order, label == POSITIVE, most)
    negatives, negative_count = _drawn(order, label == NEGATIVE, count)
    place = jnp.arange(count)
    rest = place - positive_count[:, None]
    from_negatives = jnp.take_along_axis(negatives, jnp.clip(rest, 0, count - 1), axis=1)
    index = jnp.where(rest < 0, jnp.pad(positives, ((0, 0), (0, count - most))), from_negatives)
    drawn = jnp.where(rest < 0, POSITIVE, jnp.where(rest < negative_count[:, None], NEGATIVE, NEITHER))
    return Sample(jnp.where(drawn == NEITHER, 0, index), drawn.astype(jnp.int32))


def _drawn(order, among, count):
    """Up to `count` of the candidates `among` with the largest `order`: int32 `[B, count]`, and how many there are."""
    among = jnp.pad(among, ((0, 0), (0, max(count - among.shape[1], 0))))
    order = jnp.pad(order, ((0, 0), (0, among.shape[1] - order.shape[1])))
    _, index = lax.top_k(jnp.where(among, order, -1.0), count)
    return index.astype(jnp.int32), jnp.minimum(among.sum(1), count)

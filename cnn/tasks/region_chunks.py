"""Regions of a batch, a fixed number at a time: what they take of memory does not grow with their number."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def by_chunks(
    say: Callable[[jax.Array, jax.Array], Any], boxes: jax.Array, valid: jax.Array, chunk: int
) -> Any:
    """What `say` says of every region, `chunk` of them after another: real ones first, and a chunk without any is left
    out.

    Args:
      say: of boxes `[chunk, 4]` and int32 `[chunk]`, the image of each, to arrays `[chunk, ...]`.
      boxes: `[B, R, 4]`; `valid`: bool `[B, R]`.

    Returns:
      The arrays as `[B, R, ...]`; anything finite where a region is not real.
    """
    images, count = boxes.shape[:2]
    total = images * count
    if not isinstance(total, int):
        # A batch of a size that is not known yet, as exported programs take it: all at once.
        said = say(boxes.reshape(-1, 4), jnp.arange(total) // count)
        return jax.tree.map(lambda x: x.reshape(images, count, *x.shape[1:]), said)
    chunk = min(chunk, total)
    missing = -total % max(chunk, 1)
    order = jnp.argsort(~valid.ravel(), stable=True).astype(jnp.int32)
    back = jnp.argsort(order)
    real = jnp.pad(valid.ravel()[order], (0, missing)).reshape(-1, max(chunk, 1))
    order = jnp.pad(order, (0, missing)).reshape(-1, max(chunk, 1))

    def of(at):
        return say(boxes.reshape(-1, 4)[at], at // count)

    if total <= chunk:
        said = of(order.ravel())
    else:
        nothing = jax.eval_shape(of, order[0])

        def skip(_):
            return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), nothing)

        def step(_, part):
            at, is_real = part
            return None, lax.cond(is_real.any(), of, skip, at)

        _, said = lax.scan(step, None, (order, real))
        said = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), said)
    return jax.tree.map(lambda x: x[back].reshape(images, count, *x.shape[1:]), said)

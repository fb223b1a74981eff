"""Classification losses, one float32 value per example; masking and averaging are the caller's.

Labels outside 0..C-1 are refused by the input pipeline: inside a compiled step nothing can raise, and indexing with -1
would quietly score the last class.
"""

import jax
import jax.numpy as jnp


def smooth_targets(targets: jax.Array, num_classes: int, *, label_smoothing: float = 0.0) -> jax.Array:
    """Distributions float32 `[..., C]` from class numbers `[...]` or from distributions `[..., C]`.

    The share `label_smoothing` (0 to 1) of the mass is spread evenly over all C classes, the right one included, as
    in Szegedy et al. 2016 (arXiv:1512.00567, section 7) and in PyTorch: the right class keeps 1 - e + e / C.
    """
    if jnp.issubdtype(targets.dtype, jnp.integer):
        targets = jax.nn.one_hot(targets, num_classes, dtype=jnp.float32)
    targets = targets.astype(jnp.float32)
    return targets * (1.0 - label_smoothing) + label_smoothing / num_classes


def softmax_cross_entropy(logits: jax.Array, targets: jax.Array, *, label_smoothing: float = 0.0) -> jax.Array:
    """Cross entropy of the softmax of `logits` `[..., C]`, computed in float32, in nats; float32 `[...]`.

    Args:
      targets: class numbers (integers, `[...]`), or distributions (floats, `[..., C]`, rows summing to 1) as mixup
        makes them.
      label_smoothing: 0 to 1; see `smooth_targets`.
    """
    logits, targets = jnp.asarray(logits, jnp.float32), jnp.asarray(targets)
    # Shifted by the largest logit, so that the result keeps its digits where one class dominates.
    logits = logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    log_normalizer = jnp.log(jnp.exp(logits).sum(-1))
    if jnp.issubdtype(targets.dtype, jnp.integer):
        right = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
        mass = 1.0
    else:
        targets = targets.astype(jnp.float32)
        # A class of probability 0 costs nothing, even where its logit is minus infinity.
        right = (targets * jnp.where(targets > 0, logits, 0.0)).sum(-1)
        mass = targets.sum(-1)
    loss = mass * log_normalizer - right
    # A traced smoothing, as models trained side by side may have, is never left out.
    if not isinstance(label_smoothing, int | float) or label_smoothing:
        loss = (1.0 - label_smoothing) * loss + label_smoothing * (log_normalizer - logits.mean(-1))
    return loss


def smooth_l1(x: jax.Array, *, sigma: float = 1.0) -> jax.Array:
    """(sigma x)**2 / 2 where |x| < 1 / sigma**2, else |x| - 1 / (2 sigma**2), of each number; float32.

    Girshick 2015 (arXiv:1504.08083, equation 3), with the sigma of the Faster R-CNN release, where the RPN has 3.
    """
    x, square = jnp.abs(x.astype(jnp.float32)), sigma * sigma
    return jnp.where(x < 1 / square, 0.5 * square * x * x, x - 0.5 / square)

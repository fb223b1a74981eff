"""Normalisation statistics recomputed exactly over a data set, instead of the running averages of training.

He et al. computed theirs this way before scoring ("precise BN"; KaimingHe/deep-residual-networks, README): the mean and
variance of each layer's input over all training images, each batch normalised as in training.
"""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn.tasks.base import Batch, Task


def recompute(task: Task, variables: dict[str, Any], batches: Iterable[Batch]) -> dict[str, Any]:
    """`variables` with every `mean` and `var` of `batch_stats` replaced by those over `batches`.

    Args:
      task: without random augmentation, if the images are to be seen as they are.
      variables: `params` and `batch_stats`; other collections and leaves stay.
      batches: raw batches without padding; their sizes may differ, each size is compiled once.

    Returns:
      Host arrays. Batches are weighted by their size, variances joined by the law of total variance (the mean of the
      variances plus the variance of the means), both in float64. A batch's variance is the layer's own, which divides
      by n - 1 where the layer does as PyTorch's.
    """
    state = {name: tree for name, tree in variables.items() if name != 'params'}
    if not jax.tree.leaves(state.get('batch_stats', {})):
        return variables

    @jax.jit
    def batch_statistics(variables, batch):
        # Running statistics are m old + (1 - m) new, with m known to the layer alone: from old = 0 and old = 1 both
        # m and the batch's own statistics follow.
        def updated(fill):
            filled = {**state, 'batch_stats': jax.tree.map(lambda x: jnp.full_like(x, fill), state['batch_stats'])}
            given = {'params': variables['params'], **filled}
            return task.loss(given, batch, jax.random.key(0)).model_state['batch_stats']

        zero, one = updated(0.0), updated(1.0)

        def own(old, z, o):
            # One m for the whole leaf: the median is free of the rounding that large statistics bring. What does not
            # move (a frozen norm, one that the loss does not run) stays.
            moved = 1.0 - jnp.median(o - z)
            return jnp.where(moved > 1e-6, z / jnp.maximum(moved, 1e-6), old)

        return jax.tree.map(own, state['batch_stats'], zero, one)

    means, squares, count = None, None, 0.0
    for batch in batches:
        weight = float(np.sum(batch['mask']))
        found = jax.tree.map(lambda x: np.asarray(x, np.float64), batch_statistics(variables, batch))
        mean, square = _moments(found)
        if means is None:
            means, squares = jax.tree.map(np.zeros_like, mean), jax.tree.map(np.zeros_like, square)
        means = jax.tree.map(lambda total, x, w=weight: total + w * x, means, mean)
        squares = jax.tree.map(lambda total, x, w=weight: total + w * x, squares, square)
        count += weight
    if not count:
        raise ValueError('statistics cannot be recomputed over no batches')
    exact = _statistics(jax.tree.map(lambda x: x / count, means), jax.tree.map(lambda x: x / count, squares))
    return {**variables, 'batch_stats': jax.tree.map(lambda x, old: x.astype(old.dtype), exact, state['batch_stats'])}


def _moments(tree: Any) -> tuple[Any, Any]:
    """The tree as it is, and with each `var` replaced by the second moment var + mean**2."""
    return tree, _paired(tree, lambda mean, var: var + mean**2)


def _statistics(means: Any, squares: Any) -> Any:
    """The inverse: `mean` from the averaged means, `var` = E[x**2] - mean**2 from the averaged second moments."""
    joined = _replace(squares, means, 'mean')
    return _paired(joined, lambda mean, square: np.maximum(square - mean**2, 0.0))


def _paired(tree: Any, of: Any) -> Any:
    """Each dict that holds `mean` and `var` with `var` replaced by `of(mean, var)`."""
    if not isinstance(tree, dict):
        return tree
    new = {name: _paired(child, of) for name, child in tree.items()}
    if 'mean' in new and 'var' in new:
        new['var'] = of(new['mean'], new['var'])
    return new


def _replace(tree: Any, source: Any, leaf: str) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {name: source[name] if name == leaf else _replace(child, source[name], leaf) for name, child in tree.items()}

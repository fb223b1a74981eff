"""Optimizers and learning-rate schedules from plain config sections, over Optax.

Frozen parameters are taken out of the tree (`partition`), so they cost no optimizer memory and stay bit-identical.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

NAMES = ('sgd', 'adamw', 'lars')
SCHEDULES = ('constant', 'step', 'cosine', 'exponential')


def path_name(path: tuple) -> str:
    """A leaf's path as `conv2_1/conv1/kernel`."""
    return '/'.join(str(getattr(p, 'key', getattr(p, 'name', p))) for p in path)


def matching(pattern: str, tree: Any, what: str, required: bool = True) -> Any:
    """Booleans of the tree's shape: whether the regular expression `pattern` is found in a leaf's path.

    Raises:
      ValueError: for a pattern that is no regular expression or, if `required`, matches no leaf; `what` names its
        origin.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f'{what}={pattern!r} is not a regular expression: {error}') from None
    found = jax.tree_util.tree_map_with_path(lambda path, _: expression.search(path_name(path)) is not None, tree)
    if required and not any(jax.tree.leaves(found)):
        first = [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(tree)[:4]]
        raise ValueError(f'{what}={pattern!r} matches no parameter; their paths look like {", ".join(first)}')
    return found


def partition(params: Any, frozen: Any) -> tuple[Any, Any]:
    """Splits `params` by the booleans `frozen` into (trainable, frozen) trees with `None` at the other's leaves."""
    trainable = jax.tree.map(lambda p, f: None if f else p, params, frozen)
    return trainable, jax.tree.map(lambda p, f: p if f else None, params, frozen)


def combine(trainable: Any, frozen: Any) -> Any:
    """The inverse of `partition`."""
    return jax.tree.map(lambda t, f: f if t is None else t, trainable, frozen, is_leaf=lambda x: x is None)


def schedule(section: Any, learning_rate: float, total_steps: int, steps_per_epoch: float) -> Callable:
    """step -> learning rate, for a config's `schedule` section.

    `constant`; `step` (times `factor` at each of `milestones`, in epochs); `cosine` (to `final_fraction` of the peak at
    the last step); `exponential` (times `factor` every `decay_epochs`, as GoogLeNet). Each is preceded by
    `warmup_epochs` of linear growth (Goyal et al. 2017, arXiv:1706.02677).
    """
    warmup = round(section.warmup_epochs * steps_per_epoch)
    if section.name == 'constant':
        main = optax.constant_schedule(learning_rate)
    elif section.name == 'step':
        edges = {max(round(e * steps_per_epoch) - warmup, 0): section.factor for e in section.milestones}
        main = optax.piecewise_constant_schedule(learning_rate, edges)
    elif section.name == 'cosine':
        main = optax.cosine_decay_schedule(learning_rate, max(total_steps - warmup, 1), alpha=section.final_fraction)
    else:
        interval = max(round(section.decay_epochs * steps_per_epoch), 1)
        main = optax.exponential_decay(learning_rate, interval, section.factor, staircase=True)
    if not warmup:
        return main
    # The first step already moves: step i of the warm-up has (i + 1) / warmup of the peak.
    rise = lambda step: learning_rate * (step + 1) / warmup  # noqa: E731
    return optax.join_schedules([rise, main], [warmup])


def create(section: Any, rate: Callable, given: dict[str, Any] | None = None) -> optax.GradientTransformation:
    """The optimizer of a config's `optimizer` section at the learning rates `rate(step)`.

    SGD's weight decay is the papers' L2 term, added to the gradient before the momentum; AdamW's is decoupled; LARS
    (You et al. 2017, arXiv:1708.03888) leaves vectors out of its trust ratio. `decay_vectors=False` spares every
    vector (biases, normalisation scales) the decay. `rates` slows parameters by path: 'conv.*=0.1,fc=2'.

    Args:
      given: `optimizer.weight_decay` and `optimizer.momentum` as traced scalars instead of the section's: models that
        are trained side by side differ in them. What is given is never left out, also where it is 0.
    """
    given = given or {}
    decay = given.get('optimizer.weight_decay', section.weight_decay)
    momentum = given.get('optimizer.momentum', section.momentum or None)
    decays = 'optimizer.weight_decay' in given or section.weight_decay

    def decayed(params):
        return jax.tree.map(lambda p: section.decay_vectors or p.ndim > 1, params)

    def matrices(params):
        return jax.tree.map(lambda p: p.ndim > 1, params)

    parts = [optax.clip_by_global_norm(section.clip_norm)] if section.clip_norm else []
    if section.name == 'sgd':
        if decays:
            parts.append(optax.add_decayed_weights(decay, mask=decayed))
        parts.append(optax.sgd(rate, momentum=momentum, nesterov=section.nesterov))
    elif section.name == 'adamw':
        betas = {'b1': section.beta1, 'b2': section.beta2, 'eps': section.epsilon}
        parts.append(optax.adamw(rate, **betas, weight_decay=decay, mask=decayed, nesterov=section.nesterov))
    else:
        moving = {'momentum': 0.0 if momentum is None else momentum, 'nesterov': section.nesterov}
        parts.append(optax.lars(rate, decay, weight_decay_mask=decayed, trust_ratio_mask=matrices, **moving))
    if section.rates:
        parts.append(_scale_by_path(section.rates))
    return optax.chain(*parts)


def parse_rates(text: str) -> list[tuple[str, float]]:
    """`'conv.*=0.1,fc=2' -> [('conv.*', 0.1), ('fc', 2.0)]`; a ValueError says what does not read."""
    pairs = []
    for item in filter(None, text.split(',')):
        pattern, separator, factor = item.rpartition('=')
        try:
            pairs.append((pattern, float(factor)))
        except ValueError:
            separator = ''
        if not separator:
            raise ValueError(f'optimizer.rates: {item!r} is not PATTERN=FACTOR, as in "conv.*=0.1,fc=2"')
    return pairs


def _scale_by_path(text: str) -> optax.GradientTransformation:
    pairs = parse_rates(text)

    def update(updates, params):
        # Later pairs win; found in full so that a pattern that matches nothing is told.
        factors = jax.tree.map(lambda _: 1.0, params)
        for pattern, factor in pairs:
            found = matching(pattern, params, 'optimizer.rates')
            factors = jax.tree.map(lambda old, hit, new=factor: new if hit else old, factors, found)
        return jax.tree.map(lambda u, f: u * jnp.asarray(f, u.dtype), updates, factors)

    return optax.stateless(update)

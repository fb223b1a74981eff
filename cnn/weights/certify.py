"""A parity certificate: two forward passes compared layer by layer, and the first layer that diverges by name.

A difference grows as it travels, so the logits say that two networks differ and the first diverging layer says where.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict

from cnn.weights import names

Activations = Mapping[str, Any]
# Of a summary: the mean, the root mean square, and as many values at even distances.
SAMPLES = 8


class Layer(NamedTuple):
    """One layer's largest difference, absolute and relative to the golden's largest value; nan where it has none."""

    name: str
    absolute: float
    relative: float
    note: str = ''


class Certificate(NamedTuple):
    """What `certify` found; `str()` is a table."""

    layers: tuple[Layer, ...]
    tolerance: float

    @property
    def first_divergent(self) -> Layer | None:
        """The earliest layer beyond tolerance, NaN or missing; None where all agree."""
        return next((layer for layer in self.layers if not layer.relative <= self.tolerance), None)

    @property
    def passed(self) -> bool:
        return bool(self.layers) and self.first_divergent is None

    def __str__(self) -> str:
        width = max((len(layer.name) for layer in self.layers), default=5)
        rows = [f'{"layer":{width}}  absolute  relative']
        rows += [f'{n:{width}}  {a:8.2e}  {r:8.2e}  {note}'.rstrip() for n, a, r, note in self.layers]
        first = self.first_divergent
        if first is None:
            rows.append(f'{len(self.layers)} layers agree within {self.tolerance:g}')
        else:
            rows.append(f'diverges first at {first.name}: {first.note or f"relative {first.relative:.2e}"}')
        return '\n'.join(rows)


def certify(
    forward: Callable[[], Activations] | Activations, golden: Activations, *, tolerance: float = 1e-4
) -> Certificate:
    """Compares named activations with golden ones, in the golden's order.

    Args:
      forward: the activations under test, or a function that gives them; more names than the golden's are allowed.
      golden: name -> array, in the order of the forward pass; whole activations, or summaries on both sides.
      tolerance: of max|a - b| / max|b|, layer by layer.
    """
    ours = forward() if callable(forward) else forward
    return Certificate(tuple(_compare(name, ours.get(name), value) for name, value in golden.items()), tolerance)


def _compare(name: str, ours: Any, golden: Any) -> Layer:
    golden = np.asarray(golden, np.float64)
    if ours is None:
        return Layer(name, np.nan, np.nan, 'no such layer')
    ours = np.asarray(ours, np.float64)
    if ours.shape != golden.shape:
        return Layer(name, np.nan, np.nan, f'shape {ours.shape} for {golden.shape}')
    if not golden.size:
        return Layer(name, 0.0, 0.0)
    absolute = float(np.abs(ours - golden).max())
    return Layer(name, absolute, absolute / max(float(np.abs(golden).max()), np.finfo(np.float32).tiny))


def summarise(activation: np.ndarray) -> np.ndarray:
    """`[2 + SAMPLES]`: mean, root mean square, and values at even distances of a channels-last activation."""
    flat = np.asarray(activation, np.float64).ravel()
    positions = np.linspace(0, flat.size - 1, SAMPLES).astype(int)
    return np.array([flat.mean(), np.sqrt(np.square(flat).mean()), *flat[positions]])


def activations(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: Any,
    *,
    style: str = names.NATIVE,
    reduce: Callable[[Any], Any] = lambda x: x,
) -> dict[str, np.ndarray]:
    """Outputs, in evaluation mode, of every layer that has parameters; and of the network, as `output`.

    Args:
      style: names by our own paths (`conv3_1/conv1`) or by the modules of another framework (`layer2.0.conv1`).
      reduce: what to keep of each, `summarise` for one.

    Returns:
      name -> array, channels last, in the order of the forward pass.
    """
    paths = {path[1:-1] for path in flatten_dict(dict(variables)) if path[0] == 'params'}

    order: dict[Any, None] = {}

    def keep(module: nn.Module, method: str) -> bool:
        if method != '__call__' or module.path not in paths:
            return False
        order[module.path] = None
        return True

    @jax.jit
    def run(variables, images):
        (output, _), state = model.apply(
            variables, images, train=False, capture_intermediates=keep, mutable=['intermediates']
        )
        kept = flatten_dict(state['intermediates'])
        return {path[:-1]: value[0] for path, value in kept.items() if path[:-1] in paths}, output

    layers, output = run(variables, images)
    named = {names.module_name(model, style, path): reduce(np.asarray(layers[path])) for path in order}
    return named | {'output': np.asarray(output)}

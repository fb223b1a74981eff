"""Walks a jaxpr from its inputs to its outputs and notes for every operation what its results see of the image.

An operation without a rule (`cnn.analysis.rules`) makes the field unknown rather than wrong.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from cnn.analysis.fields import Field, blur, join
from cnn.analysis.rules import ELEMENTWISE, RULES, SEVERAL

# Operations that run an inner jaxpr once, on their operands in order.
_CALLS = frozenset(
    (
        'jit', 'pjit', 'closed_call', 'core_call', 'call', 'remat2', 'checkpoint', 'remat', 'custom_jvp_call',
        'custom_vjp_call', 'custom_vjp_call_jaxpr',
    )
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Step:
    """One primitive operation: its equation, the module call it belongs to, and the fields around it.

    `repeats` is how often it runs (inside a scan); `inputs` and `outputs` follow the equation's variables.
    """

    eqn: Any
    call: int | None
    repeats: int
    inputs: tuple[Field | None, ...]
    outputs: tuple[Field | None, ...]

    @property
    def primitive(self) -> str:
        return self.eqn.primitive.name


def run(jaxpr, fields: Sequence[Field | None], call_of: Callable) -> tuple[list[Step], list[Field | None]]:
    """Walks `jaxpr` with the fields of its inputs; returns its steps, inner ones in place, and its outputs' fields.

    `call_of(eqn)` names the module call of an equation, or is None where it says nothing: then it is the enclosing one.
    """
    steps: list[Step] = []
    return steps, _walk(jaxpr, fields, call_of, None, 1, steps)


def _walk(jaxpr, fields, call_of, outer_call, repeats, steps) -> list[Field | None]:
    environment = dict(zip(jaxpr.invars, fields, strict=True))

    def read(atom):
        return None if hasattr(atom, 'val') else environment.get(atom)

    for eqn in jaxpr.eqns:
        inputs = tuple(read(atom) for atom in eqn.invars)
        call = call_of(eqn)
        call = outer_call if call is None else call
        body, times = _inner(eqn)
        if body is None:
            outputs = tuple(_apply(eqn, inputs))
            steps.append(Step(eqn, call, repeats, inputs, outputs))
        else:
            plain = eqn.primitive.name in _CALLS and len(inputs) == len(body.invars)
            # Operands of a loop or a branch do not line up with the inner jaxpr's.
            entering = inputs if plain else [blur(inputs)] * len(body.invars)
            outputs = _walk(body, entering, call_of, call, repeats * times, steps)
            outputs = outputs if plain else [blur(inputs)] * len(eqn.outvars)
        environment.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def weighted_depth(jaxpr, depths: Sequence[int] = ()) -> list[int]:
    """For each output, the most convolutions and matrix products on any way to it: the layers that papers count."""
    environment = dict(zip(jaxpr.invars, depths or [0] * len(jaxpr.invars), strict=True))

    def read(atom):
        return 0 if hasattr(atom, 'val') else environment.get(atom, 0)

    for eqn in jaxpr.eqns:
        inputs, (body, _) = [read(atom) for atom in eqn.invars], _inner(eqn)
        if body is not None and len(inputs) == len(body.invars):
            outputs = weighted_depth(body, inputs)
        else:
            weighs = eqn.primitive.name in ('conv_general_dilated', 'dot_general')
            outputs = [max(inputs, default=0) + weighs] * len(eqn.outvars)
        environment.update(zip(eqn.outvars, outputs, strict=False))
    return [read(atom) for atom in jaxpr.outvars]


def _inner(eqn):
    """(inner jaxpr, how often it runs) of an operation that has one, else (None, 0)."""
    params = eqn.params
    body = next((params[k] for k in ('jaxpr', 'call_jaxpr', 'fun_jaxpr', 'body_jaxpr') if k in params), None)
    if body is None and 'branches' in params:
        body = params['branches'][-1]
    if not hasattr(getattr(body, 'jaxpr', body), 'eqns'):
        return None, 0
    return getattr(body, 'jaxpr', body), params.get('length', 1)


def _apply(eqn, inputs) -> list[Field | None]:
    """Fields of an operation's results."""
    name = eqn.primitive.name
    if all(field is None for field in inputs):
        return [None] * len(eqn.outvars)
    if name in SEVERAL:
        return SEVERAL[name](eqn, *inputs)
    if name in RULES:
        return [RULES[name](eqn, *inputs)] * len(eqn.outvars)
    if name in ELEMENTWISE:
        return [join(*inputs)] * len(eqn.outvars)
    return [blur(inputs)] * len(eqn.outvars)

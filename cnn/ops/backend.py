"""Which form of an operation suits the backend: `conv`, `norm` and `pool` ask here.

Accelerators get XLA's own operations ('plain'). On the CPU several of them are slow; there the operations have forms
with the same results that are not ('cpu'), and use oneDNN where this jaxlib carries it ('onednn').
"""

import contextlib
import contextvars
import os

import jax

from cnn.ops import onednn

FORMS = ('plain', 'cpu', 'onednn')

_forced: contextvars.ContextVar[str] = contextvars.ContextVar('form', default='')


@contextlib.contextmanager
def lowering(name: str):
    """Within the context, operations are traced in the form `name`, one of `FORMS`.

    For analysis that walks a jaxpr for `conv_general_dilated`, and for tests. It acts while a function is traced: a
    function that is already compiled keeps its form.

    Raises:
      ValueError: for any other name.
    """
    token = _forced.set(_checked(name))
    try:
        yield
    finally:
        _forced.reset(token)


def form() -> str:
    """The form that operations traced now should take; the environment's `CNN_LOWERING` overrides the choice.

    Raises:
      ValueError: where `CNN_LOWERING` names no form.
    """
    forced = _forced.get() or os.environ.get('CNN_LOWERING', '')
    if forced:
        return _checked(forced)
    if jax.default_backend() != 'cpu':
        return 'plain'
    return 'onednn' if onednn.available() else 'cpu'


def _checked(name: str) -> str:
    if name not in FORMS:
        raise ValueError(f'unknown lowering {name!r}: there are {", ".join(FORMS)}')
    return name

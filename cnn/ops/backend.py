"""Which lowering of an operation suits the backend: `conv`, `norm` and `pool` ask here.

Accelerators get XLA's own operations. On the CPU several of them are slow, and the files of the operations hold
faster forms with the same results.
"""

import contextlib
import contextvars

import jax

_forced: contextvars.ContextVar[str | None] = contextvars.ContextVar('lowering', default=None)


@contextlib.contextmanager
def lowering(name: str):
    """Within the context, operations are traced as `name`: 'plain' (XLA's own) or 'cpu' (the forms for the CPU).

    For analysis that walks a jaxpr for `conv_general_dilated`, and for tests. It acts while a function is traced: a
    function that is already compiled keeps its lowering.

    Raises:
      ValueError: for any other name.
    """
    if name not in ('plain', 'cpu'):
        raise ValueError(f"unknown lowering {name!r}: there are 'plain' and 'cpu'")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def prefers_cpu_forms() -> bool:
    """Whether operations traced now should take their forms for the CPU."""
    return (_forced.get() or jax.default_backend()) == 'cpu'

"""Which form of an operation suits the backend: `conv`, `norm` and `pool` ask here.

Accelerators get XLA's own operations ('plain'). On the CPU several of them are slow; there the operations have forms
with the same results that are not ('cpu'), and use oneDNN where this jaxlib carries it ('onednn').
"""

import contextlib
import contextvars
import functools
import os

import jax
import jax.numpy as jnp

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

    Not 'onednn' beside JAX's persistent compilation cache: XLA cannot write programs with these calls to disk.

    Raises:
      ValueError: where `CNN_LOWERING` names no form.
    """
    forced = _forced.get() or os.environ.get('CNN_LOWERING', '')
    if forced:
        return _checked(forced)
    if jax.default_backend() != 'cpu':
        return 'plain'
    cached = jax.config.jax_enable_compilation_cache and jax.config.jax_compilation_cache_dir
    return 'onednn' if not cached and onednn.available() else 'cpu'


def _checked(name: str) -> str:
    if name not in FORMS:
        raise ValueError(f'unknown lowering {name!r}: there are {", ".join(FORMS)}')
    return name


def once(x: jax.Array) -> jax.Array:
    """`x`, computed once: on the CPU, XLA would compute it again in each loop that reads it.

    It copies whatever takes a single large operand into the loops of all readers, and with it all that stands before:
    the activations of three ResNet blocks were computed anew for one gradient, DenseNet's step took 1.5 times as long.
    It leaves alone what has two large operands and a reader that is no loop. The selection is that, and the identity.
    """
    return jnp.where(x != x, jnp.asarray(jnp.nan, x.dtype), x)


@jax.custom_vjp
def stored(x: jax.Array) -> jax.Array:
    """`once` where all readers are loops: a loop of no rounds, which XLA cannot see through, has it in memory."""
    rounds = jnp.isnan(x[(0,) * x.ndim]).astype(jnp.int32)
    return jax.lax.fori_loop(0, rounds, lambda _, x: once(x), x)


stored.defvjp(lambda x: (stored(x), None), lambda _, g: (g,))


@functools.cache
def compiler_options() -> dict[str, int]:
    """What `jax.jit(..., compiler_options=)` of a training or evaluation step should be given.

    On a CPU with AVX-512: loops in whole registers, where XLA takes halves (ResNet-20's step 0.93 of the time). An
    option that this XLA does not know is left out.
    """
    options = {'xla_cpu_prefer_vector_width': 512}
    if jax.default_backend() != 'cpu' or not _has_avx512():
        return {}
    with jax.ensure_compile_time_eval():
        try:
            jax.jit(lambda x: x + 1).lower(0).compile(compiler_options=options)
        except jax.errors.JaxRuntimeError:
            return {}
    return options


def _has_avx512() -> bool:
    try:
        with open('/proc/cpuinfo') as file:
            return any(line.startswith('flags') and ' avx512f ' in line for line in file)
    except OSError:
        return False

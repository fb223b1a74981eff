"""A program as ONNX with its weights, by jax2onnx; run by onnxruntime. Neither is needed for anything else."""

import contextlib
import importlib.util
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnn.export.onnx_pools import with_plain_pools
from cnn.export.program import Program

FILE = 'model.onnx'
# Beyond this, protobuf cannot write a model as one file.
LIMIT = 2**31
# Later ones of jax2onnx, up to 0.17 at least, want an orbax-checkpoint before 0.11.37.
INSTALL = "pip install jax2onnx==0.13.0 'onnx>=1.20,<2' 'onnxruntime>=1.24,<2'"


class NotExpressible(ValueError):
    """The program has an operation that the converter or the runtime does not know, or is too large."""


def check_installed() -> None:
    """Raises a one-line ValueError that says how to install what is missing."""
    missing = [name for name in ('jax2onnx', 'onnx', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'ONNX needs {" and ".join(missing)}: {INSTALL}; or leave it out with --formats=stablehlo')


def write(program: Program, path: pathlib.Path) -> None:
    """Writes the program.

    Raises:
      NotExpressible: one line with the converter's reason.
    """
    import jax2onnx

    with _quiet(), _unchanged(jax.lax, jax.nn, jax.numpy):
        try:
            model = jax2onnx.to_onnx(
                _flat(program),
                inputs=program.symbolic(),
                input_names=[i.name for i in program.inputs],
                output_names=list(program.outputs),
                model_name='model',
            )
        # The converter raises whatever it meets: it has no error type of its own.
        except Exception as error:
            raise NotExpressible(_line(error)) from error
        model = with_plain_pools(model)
    if model.ByteSize() >= LIMIT:
        raise NotExpressible(f'{model.ByteSize()} bytes are over the {LIMIT} of one ONNX file')
    path.write_bytes(model.SerializeToString())


def _flat(program: Program) -> Any:
    """The program without functions that JAX compiles apart (`nn.leaky_relu`, `jnp.var`): the converter, 0.13, takes
    them with JAX before 0.12 only."""

    def flat(*arrays):
        with jax.disable_jit():
            return program(*arrays)

    return flat


class Loaded:
    """The file, run by onnxruntime on the CPU: called with a batch, gives the outputs by name.

    Raises:
      NotExpressible: on being made or called, the runtime refuses the model.
    """

    def __init__(self, path: pathlib.Path, program: Program):
        import onnxruntime

        self._inputs, self._outputs = [i.name for i in program.inputs], list(program.outputs)
        options = onnxruntime.SessionOptions()
        # Errors only: its warnings are about graphs, not about this one's answers.
        options.log_severity_level = 4
        with _refusals():
            self._session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with _refusals():
            answer = self._session.run(self._outputs, {name: batch[name] for name in self._inputs})
        return dict(zip(self._outputs, answer, strict=True))


@contextlib.contextmanager
def _refusals():
    try:
        yield
    # onnxruntime's errors share no base but this.
    except Exception as error:
        raise NotExpressible(_line(error)) from error


@contextlib.contextmanager
def _unchanged(*modules: Any):
    """The converter puts functions of its own into JAX and leaves some there (0.17: `jnp.cumsum`), and what was traced
    with them in JAX's caches: neither may outlive it."""
    before = [dict(vars(module)) for module in modules]
    try:
        yield
    finally:
        for module, were in zip(modules, before, strict=True):
            for name, value in were.items():
                if vars(module).get(name) is not value:
                    setattr(module, name, value)
        jax.clear_caches()


@contextlib.contextmanager
def _quiet():
    """Without the converter's log of values whose type it did not note."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _line(error: Any) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) < 300 else f'{text[:300]} ...'

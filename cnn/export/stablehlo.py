"""A program as StableHLO with its weights, by `jax.export`: one file that this and later JAX run on any platform.

`jax.export.deserialize(bytearray(pathlib.Path('model.stablehlo').read_bytes())).call(images)` needs nothing of this
project. JAX promises to read it for six months of releases from the one that wrote it.
"""

import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from jax import export

from cnn.export.program import Program

FILE = 'model.stablehlo'
PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')


def write(program: Program, path: pathlib.Path) -> None:
    """Writes the program for every platform."""
    exported = export.export(jax.jit(program), platforms=PLATFORMS)(*program.symbolic())
    path.write_bytes(exported.serialize())


class Loaded:
    """The file, run as anyone would: called with a batch, gives the outputs by name."""

    def __init__(self, path: pathlib.Path, program: Program):
        self._inputs, self._outputs = [i.name for i in program.inputs], program.outputs
        self._call = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        answer = self._call(*(batch[name] for name in self._inputs))
        return {name: np.asarray(value) for name, value in zip(self._outputs, answer, strict=True)}

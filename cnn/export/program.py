"""What is exported: a function of named arrays whose first axis, the batch, may have any size.

It is traced in the operations' plain form (cnn/ops/backend.py): the calls that make the CPU fast are this project's own
and mean nothing elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from cnn.ops import backend

BATCH = 'batch'


class Input(NamedTuple):
    """An array that the program takes.

    Attributes:
      name: in the batch and in the files.
      dtype: NumPy's name.
      shape: without the batch.
      meaning: in words, for the person who calls it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str


class Program:
    """`function(batch) -> dict of arrays`, both with the batch as first axis.

    Args:
      function: pure; closed over its weights.
      inputs: what of a batch it reads.
      outputs: names of what to keep of its answer, in the order of the files.
    """

    def __init__(self, function: Callable[[Mapping[str, Any]], Mapping[str, Any]], inputs: Sequence[Input], outputs):
        self._function, self.inputs, self.outputs = function, tuple(inputs), tuple(outputs)

    def __call__(self, *arrays: jax.Array) -> tuple[jax.Array, ...]:
        """The outputs for the inputs, both in order, in the operations' plain form."""
        with backend.lowering('plain'):
            answer = self._function(dict(zip((i.name for i in self.inputs), arrays, strict=True)))
        return tuple(answer[name] for name in self.outputs)

    def reference(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the model itself says, in the form that it trains and predicts in here."""
        arrays = {i.name: batch[i.name] for i in self.inputs}
        answer = jax.jit(lambda given: {name: self._function(given)[name] for name in self.outputs})(arrays)
        return {name: np.asarray(value) for name, value in answer.items()}

    def symbolic(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes of the inputs, with a symbol for the batch's size."""
        (batch,) = export.symbolic_shape(BATCH)
        return [jax.ShapeDtypeStruct((batch, *i.shape), jnp.dtype(i.dtype)) for i in self.inputs]

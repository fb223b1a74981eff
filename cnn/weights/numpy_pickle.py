"""Pickles of NumPy arrays (`.pkl`), read without executing them."""

import io
import os
import pathlib
from typing import Any

import numpy as np

from cnn.weights.errors import MalformedWeightsError, UnsafeWeightsError
from cnn.weights.pickles import Deferred, Global, ordered_dict, read_pickle, resolve


def read_numpy_pickle(path: str | os.PathLike) -> Any:
    """Reads a pickle of dicts, lists and tuples of numeric arrays, of any protocol, from Python 2 too.

    Raises:
      MalformedWeightsError: damaged, truncated, trailing bytes, or an array whose bytes do not fit its shape.
      UnsafeWeightsError: the pickle names anything beyond plain arrays (arrays of objects included).
      OSError: the file cannot be opened.
    """
    path = pathlib.Path(path)
    stream = io.BytesIO(path.read_bytes())
    try:
        tree = resolve(read_pickle(stream, _NAMES))
        if stream.read(1):
            raise MalformedWeightsError('bytes after the end of the pickle')
        return tree
    except (MalformedWeightsError, UnsafeWeightsError) as error:
        raise type(error)(f'{path.name}: {error}') from error


class _DType(Deferred):
    """`dtype('f4', False, True)`, then its state: (version, byte order, ...)."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or code[:1] not in tuple('biufc') or not code[1:].isdigit() or len(code) > 3:
            raise UnsafeWeightsError('an array that is not of plain numbers')
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '>', '|', '='):
            raise MalformedWeightsError('the state of a dtype')
        if state[1] != '|':
            self.dtype = self.dtype.newbyteorder(state[1])

    def resolve(self) -> np.dtype:
        return self.dtype


class _Array(Deferred):
    """`_reconstruct(ndarray, (0,), b'b')`, then its state: (version, shape, dtype, Fortran order, bytes)."""

    array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise MalformedWeightsError('the state of an array')
        _, shape, dtype, fortran, blob = state
        self.array = _array(blob, dtype, shape, 'F' if fortran is True else 'C')

    def resolve(self) -> np.ndarray:
        if self.array is None:
            raise MalformedWeightsError('an array without contents')
        return self.array


def _array(blob: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if isinstance(blob, str):
        blob = blob.encode('latin-1')  # Python 2 kept bytes in strings.
    if not isinstance(blob, (bytes, bytearray)) or not isinstance(dtype, _DType) or not isinstance(shape, tuple):
        raise UnsafeWeightsError('an array that is not of plain numbers')
    if len(shape) > 32 or any(not isinstance(n, int) or not 0 <= n < 2**40 for n in shape) or order not in ('C', 'F'):
        raise MalformedWeightsError('the shape of an array')
    size = dtype.dtype.itemsize
    for n in shape:
        size *= n
    if size != len(blob):
        raise MalformedWeightsError(f'an array of {size} bytes has {len(blob)}')
    array = np.frombuffer(blob, dtype.dtype).reshape(shape, order=order)
    return array.astype(array.dtype.newbyteorder('='), copy=False)


def _scalar(dtype: Any, blob: Any) -> Any:
    return _array(blob, dtype, (), 'C')[()]


def _encode(text: Any, codec: Any) -> bytes:
    # How protocols below 3 spell bytes.
    if not isinstance(text, str) or codec not in ('latin1', 'latin-1'):
        raise UnsafeWeightsError('a call of codecs.encode that does not spell bytes')
    return text.encode('latin-1')


_NAMES = {
    'collections.OrderedDict': Global(call=ordered_dict),
    'numpy.ndarray': Global('ndarray'),
    'numpy.dtype': Global(call=_DType),
    '_codecs.encode': Global(call=_encode),
    # Protocols below 3 spell the empty bytes `bytes()`.
    'builtins.bytes': Global(call=lambda: b''),
    '__builtin__.bytes': Global(call=lambda: b''),
}
for _module in ('numpy.core', 'numpy._core'):
    _NAMES[f'{_module}.multiarray._reconstruct'] = Global(call=lambda *_: _Array())
    _NAMES[f'{_module}.multiarray.scalar'] = Global(call=_scalar)
    _NAMES[f'{_module}.numeric._frombuffer'] = Global(call=_array)

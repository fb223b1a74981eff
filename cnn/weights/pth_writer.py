"""Writes `.pth` files that `torch.load(..., weights_only=True)` reads, with NumPy alone.

The archive holds what `torch.save` would put there: a pickle of protocol 2, written opcode by opcode since the names in
it (`torch._utils._rebuild_tensor_v2`) need not exist on this machine, and one stored member a tensor.
"""

import io
import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from cnn.weights.errors import WeightsError

_STORAGES = {
    np.dtype(np.float32): 'FloatStorage', np.dtype(np.float64): 'DoubleStorage', np.dtype(np.float16): 'HalfStorage',
    np.dtype(ml_dtypes.bfloat16): 'BFloat16Storage', np.dtype(np.int64): 'LongStorage',
    np.dtype(np.int32): 'IntStorage', np.dtype(np.int16): 'ShortStorage', np.dtype(np.int8): 'CharStorage',
    np.dtype(np.uint8): 'ByteStorage', np.dtype(np.bool_): 'BoolStorage',
}  # fmt: skip


def write_pth(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a flat state dict; the file appears whole or not at all.

    Raises:
      WeightsError: an array of a dtype that PyTorch's files do not have.
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    held = {name: _native(np.asarray(array)) for name, array in arrays.items()}
    for name, array in held.items():
        if array.dtype not in _STORAGES:
            raise WeightsError(f'{name}: dtype {array.dtype} has no counterpart in .pth files')
    part = path.with_name(path.name + '.part')
    try:
        with zipfile.ZipFile(part, 'w', zipfile.ZIP_STORED) as archive:
            _member(archive, 'data.pkl', _pickle(held))
            _member(archive, 'byteorder', b'little')
            for index, array in enumerate(held.values()):
                _member(archive, f'data/{index}', array.tobytes())
            _member(archive, 'version', b'3\n')
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder('=')) if array.dtype.byteorder == '>' else array


def _member(archive: zipfile.ZipFile, name: str, blob: bytes) -> None:
    # A fixed date: equal weights give equal files.
    archive.writestr(zipfile.ZipInfo(f'archive/{name}', (1980, 1, 1, 0, 0, 0)), blob)


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    out.write(b'\x80\x02ccollections\nOrderedDict\n)R(')
    for index, (name, array) in enumerate(arrays.items()):
        out.write(_text(name))
        out.write(b'ctorch._utils\n_rebuild_tensor_v2\n((')
        out.write(_text('storage'))
        out.write(f'ctorch\n{_STORAGES[array.dtype]}\n'.encode())
        out.write(_text(str(index)) + _text('cpu') + _number(array.size) + b'tQ')
        out.write(_number(0) + _numbers(array.shape) + _numbers(_strides(array.shape)))
        # requires_grad, and an empty ordered dict of hooks.
        out.write(b'\x89ccollections\nOrderedDict\n)RtR')
    out.write(b'u.')
    return out.getvalue()


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(strides[::-1])


def _text(text: str) -> bytes:
    blob = text.encode()
    return b'X' + struct.pack('<I', len(blob)) + blob


def _number(number: int) -> bytes:
    if number < 2**31:
        return b'J' + struct.pack('<i', number)
    blob = number.to_bytes(8, 'little')
    return b'\x8a\x08' + blob


def _numbers(numbers: tuple[int, ...]) -> bytes:
    return b'(' + b''.join(_number(n) for n in numbers) + b't'

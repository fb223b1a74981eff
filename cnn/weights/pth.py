"""Files of PyTorch (`.pth`, `.pt`, `.th`) read and written with NumPy alone; nothing in them is ever executed.

Two containers exist. Since PyTorch 1.6 a file is a zip archive of stored members: one pickle of the structure and one
member a storage. Before, a file was five pickles in a row followed by the raw storages. Layout after PyTorch's
`torch/serialization.py` and `torch/_utils.py`; a tensor is (storage, offset, size, stride), counted in elements, and
each of them is checked against the bytes that are there before an array is made. Both containers stand in this one file
because they share those checks.
"""

import io
import math
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from cnn.weights.errors import MalformedWeightsError, UnsafeWeightsError
from cnn.weights.pickles import Deferred, Global, ordered_dict, read_pickle, resolve

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_ELEMENTS = 2**40

_ZIP_ERRORS = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, KeyError, OverflowError,
    struct.error,
)  # fmt: skip

STORAGES = {
    'Float': np.float32, 'Double': np.float64, 'Half': np.float16, 'BFloat16': ml_dtypes.bfloat16, 'Long': np.int64,
    'Int': np.int32, 'Short': np.int16, 'Char': np.int8, 'Byte': np.uint8, 'Bool': np.bool_,
    'ComplexFloat': np.complex64, 'ComplexDouble': np.complex128, 'Untyped': np.uint8,
}  # fmt: skip
DTYPES = {
    'float32': np.float32, 'float64': np.float64, 'float16': np.float16, 'bfloat16': ml_dtypes.bfloat16,
    'int64': np.int64, 'int32': np.int32, 'int16': np.int16, 'int8': np.int8, 'uint8': np.uint8, 'bool': np.bool_,
    'uint16': np.uint16, 'uint32': np.uint32, 'uint64': np.uint64, 'float8_e4m3fn': ml_dtypes.float8_e4m3fn,
    'float8_e5m2': ml_dtypes.float8_e5m2,
}  # fmt: skip


def read_pth(path: str | os.PathLike) -> Any:
    """Reads what `torch.save` wrote: usually a dict of arrays, or such a dict inside a training checkpoint.

    Arrays are read-only views of the file's storages, in PyTorch's own axis order (convolutions `[O, I / groups, kh,
    kw]`, dense layers `[out, in]`); bfloat16 comes as `ml_dtypes.bfloat16`.

    Raises:
      MalformedWeightsError: damaged or truncated, a tensor that leaves its storage, a storage of the wrong size, a
        compressed member, big-endian data, or another kind of file.
      UnsafeWeightsError: the pickle names anything beyond plain tensors and containers.
      OSError: the file cannot be opened.
    """
    path = pathlib.Path(path)
    data = path.read_bytes()
    try:
        if data[:4] == b'PK\x03\x04':
            return _read_zip(data)
        return _read_legacy(io.BytesIO(data), len(data))
    except (MalformedWeightsError, UnsafeWeightsError) as error:
        raise type(error)(f'{path.name}: {error}') from error


def _read_zip(data: bytes) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, len(data))
            pickles = [name for name in members if name.endswith('/data.pkl') and name.count('/') == 1]
            if len(pickles) != 1:
                raise MalformedWeightsError('a zip archive without one data.pkl is not of torch.save')
            root = pickles[0].removesuffix('data.pkl')
            if root + 'constants.pkl' in members:
                raise MalformedWeightsError('a TorchScript archive; save its state_dict() instead')
            if root + 'byteorder' in members and archive.read(root + 'byteorder') != b'little':
                raise MalformedWeightsError('big-endian tensors are not read')
            storages = _Storages(lambda key: archive.read(root + 'data/' + key))
            tree = read_pickle(io.BytesIO(archive.read(pickles[0])), storages.names(), storages.persistent)
            return resolve(tree)
    except (MalformedWeightsError, UnsafeWeightsError):
        raise
    except _ZIP_ERRORS as error:
        raise MalformedWeightsError(f'damaged archive: {error}') from error


def _members(archive: zipfile.ZipFile, size: int) -> set[str]:
    infos = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in infos):
        raise MalformedWeightsError('compressed members; torch.save stores them')
    names = {info.filename for info in infos}
    if len(names) != len(infos) or sum(info.file_size for info in infos) > size:
        raise MalformedWeightsError('members of the archive overlap')
    return names


def _read_legacy(stream: io.BytesIO, size: int) -> Any:
    if stream.getbuffer()[:2] not in (b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05'):
        raise MalformedWeightsError('neither a zip archive nor the older format of torch.save')
    if read_pickle(stream, {}) != LEGACY_MAGIC or read_pickle(stream, {}) != LEGACY_PROTOCOL:
        raise MalformedWeightsError('a pickle, but not of torch.save')
    system = read_pickle(stream, {})
    if not isinstance(system, dict) or system.get('little_endian') is not True:
        raise MalformedWeightsError('big-endian tensors are not read')
    blobs: dict[str, bytes] = {}
    storages = _Storages(blobs.__getitem__)
    tree = read_pickle(stream, storages.names(), storages.persistent)
    keys = read_pickle(stream, {})
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise MalformedWeightsError('the list of storages is missing')
    if sorted(keys) != sorted(storages.declared):
        raise MalformedWeightsError('the list of storages does not match the tensors')
    for key in keys:
        dtype, count = storages.declared[key]
        header = stream.read(8)
        if len(header) != 8 or int.from_bytes(header, 'little') != count:
            raise MalformedWeightsError(f'storage {key} does not have the {count} elements that its tensors declare')
        if count * dtype.itemsize > size - stream.tell():
            raise MalformedWeightsError(f'truncated in storage {key}')
        blobs[key] = stream.read(count * dtype.itemsize)
    if stream.tell() != size:
        raise MalformedWeightsError(f'{size - stream.tell()} bytes after the last storage')
    return resolve(tree)


class _Storages:
    """The storages of one file: what the pickle declares about each, and its bytes once they are needed."""

    def __init__(self, read: Callable[[str], bytes]):
        self.read = read
        self.declared: dict[str, tuple[np.dtype, int]] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def names(self) -> dict[str, Global]:
        """The names a pickle of tensors may use."""
        names = {
            'collections.OrderedDict': Global(call=ordered_dict),
            'torch.Size': Global(call=tuple),
            'torch.device': Global(call=lambda *_: None),
            'torch._utils._rebuild_tensor': Global(call=self.tensor),
            'torch._utils._rebuild_tensor_v2': Global(call=self.tensor),
            'torch._utils._rebuild_tensor_v3': Global(call=self.typed_tensor),
            'torch._utils._rebuild_parameter': Global(call=lambda tensor, *_: tensor),
        }
        for name, dtype in STORAGES.items():
            for module in ('torch', 'torch.cuda', 'torch.storage'):
                names[f'{module}.{name}Storage'] = Global(np.dtype(dtype))
        return names | {f'torch.{name}': Global(np.dtype(dtype)) for name, dtype in DTYPES.items()}

    def persistent(self, pid: Any) -> '_Storage':
        """`('storage', type, key, location, count[, view])` -> its first element, dtype and key."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != 'storage':
            raise MalformedWeightsError('a persistent id that is no storage')
        kind, key, count, view = pid[1], pid[2], pid[4], pid[5] if len(pid) == 6 else None
        if not isinstance(kind, Global) or not isinstance(kind.value, np.dtype) or not isinstance(key, str):
            raise MalformedWeightsError('a storage without type or key')
        declared = (kind.value, _counts([count])[0])
        if self.declared.setdefault(key, declared) != declared:
            raise MalformedWeightsError(f'storage {key} is declared twice, differently')
        if view is None:
            return _Storage(key, kind.value, 0, declared[1])
        if not isinstance(view, tuple) or len(view) != 3:
            raise MalformedWeightsError(f'storage {key} has a malformed view')
        start, length = _counts(view[1:])
        if start + length > declared[1]:
            raise MalformedWeightsError(f'a view leaves storage {key}')
        return _Storage(key, kind.value, start, length)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> '_Tensor':
        if not isinstance(storage, _Storage):
            raise MalformedWeightsError('a tensor without a storage')
        return _Tensor(self, storage, storage.dtype, offset, size, stride)

    def typed_tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> '_Tensor':
        # (requires_grad, backward_hooks, dtype, metadata): an untyped storage viewed as dtype.
        dtype = rest[2].value if len(rest) > 2 and isinstance(rest[2], Global) else None
        if not isinstance(storage, _Storage) or storage.dtype != np.uint8 or not isinstance(dtype, np.dtype):
            raise MalformedWeightsError('a tensor without a storage or dtype')
        return _Tensor(self, storage, dtype, offset, size, stride)

    def bytes(self, key: str) -> np.ndarray:
        if key not in self.arrays:
            dtype, count = self.declared[key]
            try:
                blob = self.read(key)
            except KeyError as error:
                raise MalformedWeightsError(f'storage {key} is missing') from error
            if len(blob) != count * dtype.itemsize:
                raise MalformedWeightsError(f'storage {key} has {len(blob)} bytes, declared {count} of {dtype}')
            self.arrays[key] = np.frombuffer(blob, np.uint8)
        return self.arrays[key]


class _Storage:
    """`count` elements of a storage from its element `start` on."""

    def __init__(self, key: str, dtype: np.dtype, start: int, count: int):
        self.key, self.dtype, self.start, self.count = key, dtype, start, count


class _Tensor(Deferred):
    """A window on a storage; offset and stride in elements."""

    def __init__(self, storages: _Storages, storage: _Storage, dtype: np.dtype, offset: Any, size: Any, stride: Any):
        if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride) or len(size) > 32:
            raise MalformedWeightsError('a tensor whose size and stride do not agree')
        self.storages, self.storage, self.dtype = storages, storage, dtype
        self.offset, self.size, self.stride = _counts([offset])[0], _counts(size), _counts(stride)
        held = storage.count * storage.dtype.itemsize // dtype.itemsize
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        # More elements than the storage has means that strides of zero repeat them: a bomb, or a tensor that nobody
        # saves as weights.
        if math.prod(n for n in self.size if n) >= MAX_ELEMENTS:
            raise MalformedWeightsError('a tensor of more than 2^40 elements')
        if 0 not in self.size and (last >= held or math.prod(self.size) > held):
            raise MalformedWeightsError(f'a tensor of size {self.size} leaves storage {storage.key} of {held} elements')

    def resolve(self) -> np.ndarray:
        if 0 in self.size:
            return np.zeros(self.size, self.dtype)
        blob = self.storages.bytes(self.storage.key)
        start = self.storage.start * self.storage.dtype.itemsize + self.offset * self.dtype.itemsize
        strides = [step * self.dtype.itemsize for step in self.stride]
        try:
            array = np.ndarray(self.size, self.dtype, blob, start, strides)
        except (ValueError, TypeError) as error:
            raise MalformedWeightsError(
                f'a tensor of size {self.size} in storage {self.storage.key}: {error}'
            ) from error
        array.flags.writeable = False
        return array


def _counts(values: Any) -> tuple[int, ...]:
    """Non-negative integers of a sane size, or an error."""
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_ELEMENTS:
            raise MalformedWeightsError(
                f'a size, stride or offset that is not in 0 to 2^40, type {type(value).__name__}'
            )
    return tuple(values)

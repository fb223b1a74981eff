"""Random access to the records of shard files in both formats that tfds writes. Opening a shard checks it is whole.

ArrayRecord carries its own index and checksums. A TFRecord file has no index: each record is its length (uint64), a
checksum of the length, the bytes and a checksum of the bytes, all little-endian; walking the lengths gives the offsets
(tensorflow/core/lib/io/record_writer.h states the format).
"""

import hashlib
import os
import pathlib
import struct
import tempfile

import numpy as np

from input_pipeline.source import UnreadableError


class ArrayRecordShard:
    """One ArrayRecord file of `expected` records.

    Raises:
      ValueError: where the file is missing, cut short, or has another number of records.
    """

    def __init__(self, path: pathlib.Path, expected: int):
        from array_record.python import array_record_module

        # No read-ahead: neighbours on disk are not read next.
        self._reader = array_record_module.ArrayRecordReader(str(path), options='readahead_buffer_size:0')
        found = self._reader.num_records()  # 0 also where the file is damaged or missing
        if found != expected:
            raise ValueError(f'shard {path}: {self._why(found)}, expected {expected} records')

    def _why(self, found: int) -> str:
        if found:
            return f'{found} records'
        try:
            self._reader.read([0])
        except Exception as error:
            return str(error).partition(';')[0]
        return 'no records'

    def read(self, i: int) -> bytes:
        """Record `i`. Raises UnreadableError where its checksum fails."""
        try:
            return self._reader.read([i])[0]
        except Exception as error:  # RuntimeError today; the module promises no type
            raise UnreadableError(f'corrupt record: {str(error).partition(";")[0]}') from error


class TFRecordShard:
    """One TFRecord file of `expected` records, by offsets found once and kept in the user's cache folder.

    Raises:
      ValueError: where the file is missing, cut short, or has another number of records.
    """

    def __init__(self, path: pathlib.Path, expected: int):
        self._path = path
        self._offsets = cached_offsets(path)
        if len(self._offsets) != expected:
            raise ValueError(f'shard {path}: {len(self._offsets)} records, expected {expected} records')

    def read(self, i: int) -> bytes:
        """Record `i`. Raises UnreadableError where the file has become unreadable."""
        start, length = self._offsets[i]
        try:
            # Opened for each record: a thousand shards would else hold a thousand open files.
            file = os.open(self._path, os.O_RDONLY)
            try:
                data = os.pread(file, int(length), int(start))
            finally:
                os.close(file)
        except OSError as error:
            raise UnreadableError(f'corrupt record: {error.strerror}') from error
        if len(data) != length:
            raise UnreadableError('corrupt record: the file has become shorter')
        return data


def cached_offsets(path: pathlib.Path) -> np.ndarray:
    """`scan_offsets`, kept under the user's cache folder as long as the file keeps its size and time."""
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f'shard {path}: {error.strerror}') from error
    key = hashlib.sha256(f'{path.resolve()}|{status.st_size}|{status.st_mtime_ns}'.encode()).hexdigest()[:32]
    root = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache')
    kept = root / 'cnn' / 'tfrecord_offsets' / f'{key}.npy'
    try:
        return np.load(kept, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        offsets = scan_offsets(path)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            np.save(file, offsets)
        os.replace(file.name, kept)
    except OSError:
        pass  # a read-only home costs the next start a scan, nothing else
    return offsets


def scan_offsets(path: pathlib.Path) -> np.ndarray:
    """int64 `[records, 2]` start and length in bytes of each record's data.

    Raises:
      ValueError: where a length fails its checksum or the last record is cut short.
    """
    size, at, offsets = path.stat().st_size, 0, []
    with open(path, 'rb', buffering=0) as file:
        while at < size:
            header = os.pread(file.fileno(), 12, at)
            if len(header) < 12:
                raise ValueError(f'shard {path} is cut short: it ends within the header of record {len(offsets)}')
            length, checksum = struct.unpack('<QI', header)
            if _masked_crc32c(header[:8]) != checksum:
                raise ValueError(f'shard {path}: the length of record {len(offsets)} (byte {at}) fails its checksum')
            if at + 16 + length > size:
                raise ValueError(f'shard {path} is cut short: it ends within record {len(offsets)}')
            offsets.append((at + 12, length))
            at += 16 + length
    return np.asarray(offsets, np.int64).reshape(-1, 2)


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    return table


_CRC32C = _crc32c_table()


def _masked_crc32c(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C (Castagnoli), rotated right by 15 bits, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

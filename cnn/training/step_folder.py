"""The folder of one saved step: `state/` (Orbax arrays) and `record/metadata` (step, metrics, checksums)."""

import json
import pathlib
import zlib
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from cnn.training import leaves


class Damaged(Exception):
    """This step cannot be trusted; the message says which file or leaf."""


FOREIGN = 'it holds no checkpoint of this program'


def path(folder: pathlib.Path) -> pathlib.Path:
    return folder / 'record' / 'metadata'


def seal(record: dict[str, Any]) -> dict[str, Any]:
    """The record as text beside a checksum of it: NaN and the exact digits of each number survive."""
    text = json.dumps(record, sort_keys=True)
    return {'record': text, 'crc32': zlib.crc32(text.encode())}


def read(folder: pathlib.Path) -> dict[str, Any]:
    file = path(folder)
    if not (folder / 'state').exists() and not file.exists():
        raise Damaged(FOREIGN)
    try:
        sealed = json.loads(file.read_text())
        intact = zlib.crc32(sealed['record'].encode()) == sealed['crc32']
        record = json.loads(sealed['record']) if intact else {}
    except FileNotFoundError:
        raise Damaged(f'{file} is missing') from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f'{file} is unreadable ({reason(error)})') from None
    if not intact:
        raise Damaged(f'{file} does not match its checksum')
    if record['step'] != int(folder.name):
        raise Damaged(f'{file} belongs to step {record["step"]}')
    return record


def handler() -> ocp.PyTreeCheckpointHandler:
    """Orbax's writer of `state/`, with the format that `read_state` reads: zarr arrays in one OCDBT database."""
    return ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=False)


def read_state(folder: pathlib.Path, record: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a step by name, each checked against its checksum.

    Read with TensorStore rather than through Orbax, which closes its event loop under the reads that are still
    going on when one of them fails, stray tracebacks included, and does not say which leaf it was.

    Raises:
      Damaged: names the first leaf that cannot be read or is not what was saved.
    """
    state = folder / 'state'
    described = record['leaves']
    opening, arrays = {}, {}
    for name, leaf in described.items():
        if 0 in leaf['shape']:
            arrays[name] = np.zeros(leaf['shape'], leaves.dtype(leaf['dtype']))
        else:
            opening[name] = ts.open(_array(state, name), open=True)
    reading = {name: _result(store, name, state).read() for name, store in opening.items()}
    for name, values in reading.items():
        arrays[name] = np.asarray(_result(values, name, state))
        if leaves.describe(arrays[name]) != described[name]:
            raise Damaged(f'leaf {name} of {state} does not match its checksum')
    return arrays


def _array(state: pathlib.Path, name: str) -> dict[str, Any]:
    kvstore = {'driver': 'ocdbt', 'base': {'driver': 'file', 'path': f'{state}/'}, 'path': f'{name}/'}
    return {'driver': 'zarr', 'kvstore': kvstore, 'fill_missing_data_reads': False, 'recheck_cached_data': 'open'}


def _result(future: ts.Future, name: str, state: pathlib.Path) -> Any:
    try:
        return future.result()
    except Exception as error:
        raise Damaged(f'leaf {name} of {state} is unreadable ({reason(error)})') from error


def reason(error: BaseException) -> str:
    """The cause in at most a line."""
    text = ' '.join(str(error).partition('[tensorstore_spec')[0].split())
    for sign, meaning in (
        ('No space left', 'no space left on the disk'),
        ('RESOURCE_EXHAUSTED', 'no space left on the disk'),
        ('Disk quota', 'the disk quota is used up'),
        ('File too large', 'a file is larger than the system allows'),
    ):
        if sign in text:
            return meaning
    return f'{type(error).__name__}: {text[:300]}'

"""The folder of one saved step: `state/` (Orbax arrays) and `record/metadata` (step, metrics, checksums)."""

import json
import pathlib
import zlib
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

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


def read_state(folder: pathlib.Path, record: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a step by name, each checked against its checksum."""
    described = record['leaves']
    empty = {name: leaf for name, leaf in described.items() if 0 in leaf['shape']}
    arrays = {name: np.zeros(leaf['shape'], leaves.dtype(leaf['dtype'])) for name, leaf in empty.items()}
    if len(arrays) < len(described):
        try:
            # The handler alone has no barriers, so that a process which fails here does not leave the others waiting.
            arrays.update(ocp.PyTreeCheckpointHandler().restore(folder / 'state'))
        except Exception as error:
            raise Damaged(f'{folder / "state"} is unreadable ({reason(error)})') from error
    if arrays.keys() != described.keys():
        names = sorted(arrays.keys() ^ described.keys())
        raise Damaged(f'{folder / "state"} lacks or adds leaves: {", ".join(names[:8])}')
    for name, leaf in described.items():
        if leaves.describe(np.asarray(arrays[name])) != leaf:
            raise Damaged(f'leaf {name} of {folder / "state"} does not match its checksum')
    return {name: np.asarray(array) for name, array in arrays.items()}


def reason(error: BaseException) -> str:
    """The cause in at most a line."""
    text = ' '.join(str(error).split())
    for sign, meaning in (
        ('No space left', 'no space left on the disk'),
        ('RESOURCE_EXHAUSTED', 'no space left on the disk'),
        ('Disk quota', 'the disk quota is used up'),
        ('File too large', 'a file is larger than the system allows'),
    ):
        if sign in text:
            return meaning
    return f'{type(error).__name__}: {text[:300]}'

"""What a run leaves to read: `metrics.jsonl`, its TensorBoard mirror, and JSON files written whole or not at all.

NaN and infinity are written as null, since JSON has no name for them.
"""

import io
import json
import logging
import math
import os
import pathlib
import time
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from cnn.training import processes


def to_json(value: Any) -> Any:
    """The value in JSON's types: arrays and tuples as lists, NumPy and JAX scalars as numbers, non-finite ones null."""
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((to_json(item) for item in value), key=str)
    if isinstance(value, np.generic | np.ndarray) or hasattr(value, 'addressable_shards'):
        return to_json(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes the file so that a reader, also after a crash, finds the old content or the new, never a part."""
    text = json.dumps(to_json(value), indent=2, allow_nan=False) + '\n'
    _replace(pathlib.Path(path), text.encode())


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file, whole or not at all."""
    _replace(pathlib.Path(path), text.encode())


def write_arrays(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Writes a compressed `.npz`, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    _replace(pathlib.Path(path), buffer.getvalue())


def _replace(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with open(temporary, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: pathlib.Path) -> None:
    """Makes a rename last: the name lives in the folder, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class MetricsWriter:
    """Appends to `workdir/metrics.jsonl` and mirrors to `workdir/tensorboard`. Process 0 writes, the others do nothing.

    A resumed run leaves the same file as one that never stopped, if for each checkpoint the caller writes the lines of
    its step, calls `flush`, and only then saves. For the same reason no wall times belong here: `scalars` takes them.

    Args:
      workdir: the run's folder.
      start_step: the step that was restored: later lines, and a torn last one, are taken out. 0: a new run, the record
        starts empty.
    """

    def __init__(self, workdir: str | os.PathLike, *, start_step: int = 0):
        self.path = pathlib.Path(workdir) / 'metrics.jsonl'
        self._file = self._board = None
        if not processes.is_first():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _rewind(self.path, start_step)
        self._file = open(self.path, 'ab')  # noqa: SIM115 (lives as long as the run)
        # TensorBoard's readers drop what an earlier writer of the folder recorded from this step on.
        purge = start_step + 1 if start_step else 0
        # tensorboardX names its file by the second, and would overwrite that of a run which ended in the same one.
        self._board = SummaryWriter(
            str(self.path.parent / 'tensorboard'),
            purge_step=purge,
            flush_secs=30,
            filename_suffix=f'.{time.time_ns():020}',
        )

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """One line `{"step": ..., "split": ..., name: value, ...}`; values are numbers or small arrays."""
        if self._file is None:
            return
        line = to_json({'step': int(step), 'split': split, **metrics})
        self._file.write(json.dumps(line, allow_nan=False).encode() + b'\n')
        self.scalars(step, {f'{split}/{name}': value for name, value in metrics.items()})

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Only to TensorBoard: images per second, the learning rate, what differs from run to run."""
        if self._board is None:
            return
        for name, value in values.items():
            value = np.asarray(value)
            if value.ndim == 0 and np.isfinite(value):
                self._board.add_scalar(name, float(value), int(step))

    def flush(self) -> None:
        """Returns when every line is on the disk: call it before the checkpoint of that step."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._board.flush()

    def close(self) -> None:
        """Flushes and closes; may be called twice."""
        if self._file is not None:
            self.flush()
            self._file.close()
            self._board.close()
            self._file = self._board = None

    def __enter__(self) -> 'MetricsWriter':
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _rewind(path: pathlib.Path, start_step: int) -> None:
    """Leaves the complete lines up to `start_step`, byte for byte."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    kept = []
    for line in content.splitlines(keepends=True) if start_step else []:
        try:
            step = json.loads(line)['step']
        except (ValueError, KeyError, TypeError):
            if line.endswith(b'\n'):
                logging.getLogger(__name__).warning('%s: a line that is no JSON object was taken out', path)
            continue
        if line.endswith(b'\n') and step <= start_step:
            kept.append(line)
    if (good := b''.join(kept)) != content:
        _replace(path, good)

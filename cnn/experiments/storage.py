"""Where the trials of a sweep are kept: a journal in the workdir, or a database that several machines reach.

What is added to Optuna 5's journal, because it was seen to lack it: a lock that ends with the process that holds it
(Optuna's own keeps the others waiting for 30 seconds), and the repair of a line that was not written to its end, which
otherwise makes the whole journal unreadable from the next line on.
"""

import contextlib
import fcntl
import itertools
import json
import logging
import os
import pathlib
import time
from typing import Any

import optuna
import sqlalchemy
from optuna.storages.journal import JournalFileBackend

from cnn.experiments.errors import RunFailed, UserError

_log = logging.getLogger(__name__)
JOURNAL = 'journal.log'
# A database that stopped answering, as Optuna raises it.
ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.DBAPIError)
# Two workers that start together both want to make a new database's tables; the slower one tries again.
_TRIES = 6


class FileLock(contextlib.AbstractContextManager):
    """Waits for its turn; the kernel lets go of it when the process ends, however it ends.

    On a file system without locks a warning is given and nobody waits.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._descriptor = -1

    def acquire(self) -> bool:
        """Returns when the lock is held, True as Optuna's locks do."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            _log.warning('%s cannot be locked (%s): let one worker start after the other', self.path, error)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Lets go of it."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def __enter__(self) -> 'FileLock':
        self.acquire()
        return self

    def __exit__(self, *_) -> None:
        self.release()


class JournalLock(FileLock):
    """The lock of a journal; whoever takes it to write finds the journal ending with a whole line."""

    def __init__(self, journal: pathlib.Path):
        super().__init__(journal.with_name(f'.{journal.name}.lock'))
        self._journal = journal

    def acquire(self) -> bool:
        """Returns when the lock is held and the last line is whole."""
        super().acquire()
        _cut_torn_line(self._journal)
        return True


def open_storage(url: str, workdir: pathlib.Path) -> Any:
    """The storage at a database's URL, or with '' the journal of the workdir, repaired.

    Raises:
      UserError: for what is no URL of a database, a missing driver, or a journal damaged other than at its end.
      RunFailed: where the database does not answer.
    """
    if not url:
        journal = workdir / JOURNAL
        with JournalLock(journal):
            repair(journal)
        return optuna.storages.JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalLock(journal)))
    shown = masked(url)
    options = {'connect_args': {'timeout': 60}} if url.startswith('sqlite') else {'pool_pre_ping': True}
    for attempt in range(_TRIES):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
        except ImportError as error:
            missing = getattr(error.__cause__, 'name', None) or error
            hint = "; pip install 'psycopg[binary]'" if 'psycopg' in str(missing) else ''
            raise UserError(f'--storage={shown} needs the package {missing}{hint}') from None
        except sqlalchemy.exc.DBAPIError as error:
            failure = error
        time.sleep(0.1 * 2**attempt)
    raise RunFailed(f'--storage={shown} cannot be used: {first_line(failure)}')


def first_line(error: Exception) -> str:
    """What the database said, without the statement that it was said to."""
    error = error.__cause__ or error
    return str(getattr(error, 'orig', None) or error).strip().splitlines()[0]


def masked(url: str) -> str:
    """The URL without its password.

    Raises:
      UserError: where it is none.
    """
    try:
        shown = sqlalchemy.engine.make_url(url)
        shown.get_dialect()
        return shown.render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError):
        name = url.partition('@')[2] or url
        raise UserError(f'--storage: no database at {name!r}; write for example postgresql://USER@HOST/NAME or '
                        'sqlite:///FILE') from None  # fmt: skip


def repair(journal: pathlib.Path) -> int:
    """Cuts off what a crash left at the end of a journal; returns how many bytes that was. The lock must be held.

    Raises:
      UserError: where lines within are unreadable, so that something else than a crash happened to it.
    """
    if not journal.exists():
        return 0
    content = journal.read_bytes()
    whole = list(itertools.takewhile(_is_record, content.splitlines(keepends=True)))
    good = sum(map(len, whole))
    lost = content[good:]
    if any(_is_record(line) for line in lost.splitlines(keepends=True)[1:]):
        raise UserError(
            f'{journal}: line {len(whole) + 1} cannot be read and others follow it; restore the file or move it away'
        )
    if lost:
        _truncate(journal, good)
    return len(lost)


def _is_record(line: bytes) -> bool:
    try:
        return line.endswith(b'\n') and 'op_code' in json.loads(line)
    except (ValueError, TypeError):
        return False


def _cut_torn_line(journal: pathlib.Path) -> None:
    """As `repair`, in the time of one read: only a line without its end is looked for."""
    try:
        with open(journal, 'rb') as file:
            end = file.seek(0, os.SEEK_END)
            if not end:
                return
            file.seek(end - 1)
            if file.read(1) == b'\n':
                return
            file.seek(0)
            good = file.read().rfind(b'\n') + 1
    except FileNotFoundError:
        return
    _truncate(journal, good)


def _truncate(journal: pathlib.Path, size: int) -> None:
    _log.warning('%s: its last line was not written to the end and is taken out', journal)
    with open(journal, 'r+b') as file:
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())

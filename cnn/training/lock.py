"""One run in a workdir: the second is refused at once, a dead one blocks nobody."""

import errno
import fcntl
import json
import logging
import os
import pathlib
import socket
import weakref

from cnn.training import processes

_log = logging.getLogger(__name__)
_held: 'weakref.WeakSet[WorkdirLock]' = weakref.WeakSet()


class WorkdirLock:
    """Context manager that holds `workdir/.lock`; the kernel lets go of it when the process ends, however it ends.

    Only process 0 of a run takes it. On a file system without locks a warning is given and the run goes on.

    Raises:
      ValueError: on entering, another run holds the workdir; one line with its process id and host.
    """

    def __init__(self, workdir: str | pathlib.Path):
        self.path = pathlib.Path(workdir) / '.lock'
        self._descriptor: int | None = None

    def __enter__(self) -> 'WorkdirLock':
        if not processes.is_first():
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 1000, 0)
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise ValueError(
                    f'{self.path.parent} is in use by {_name(holder)}: wait for it, stop it, or give another --workdir'
                ) from None
            _log.warning('%s cannot be locked (%s): nothing keeps a second run out', self.path, error)
            return self
        self._descriptor = descriptor
        _held.add(self)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({'pid': os.getpid(), 'host': socket.gethostname()}).encode(), 0)
        return self

    def __exit__(self, *_) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            self._forget()

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _name(holder: bytes) -> str:
    try:
        who = json.loads(holder)
        return f'process {who["pid"]} on {who["host"]}'
    except (ValueError, KeyError, TypeError):
        return 'another run'


def _let_go_in_child() -> None:
    # A lock lives as long as any copy of its descriptor: a worker that outlives its killed parent would keep it.
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_let_go_in_child)

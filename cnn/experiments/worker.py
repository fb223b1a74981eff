"""Which process does something, and whether it still lives: for work that several processes share and one may leave."""

import os
import pathlib
import socket
from collections.abc import Mapping
from typing import Any


def identity() -> dict[str, Any]:
    """This process: `host`, `machine` (that boot of it, and the process namespace), `pid`, `started`; JSON's types."""
    return {'host': socket.gethostname(), 'machine': _machine(), 'pid': os.getpid(), 'started': _started(os.getpid())}


def is_dead(other: Mapping[str, Any]) -> bool:
    """Whether the process is known to have ended. False where it lives, and where it cannot be seen from here."""
    if (other.get('host'), other.get('machine')) != (socket.gethostname(), _machine()):
        return False
    pid = int(other.get('pid', 0))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    # Numbers are given anew: a process of the same number that started at another time is another one.
    return _started(pid) != other.get('started')


def _machine() -> str:
    """Tells machines of one host name apart, as containers are, and the times before and after a reboot."""
    try:
        boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{boot} {os.readlink("/proc/self/ns/pid")}'
    except OSError:
        return ''


def _started(pid: int) -> str:
    """When it started, in the kernel's ticks since the boot; '' where there is no /proc, or for a dead one unburied."""
    try:
        # The name in brackets may hold anything; the 20th field after it is the start, the first the state.
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return ''
    return '' if fields[0] in 'ZX' else fields[19]

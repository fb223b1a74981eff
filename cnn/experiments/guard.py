"""A process of a run of several, watched by its parent: when another one dies, one line says so.

JAX ends the survivors from within, in C++, with a page of traces (`abort`); Python gets no say. So the run is a child
of the process that was started, which waits for it, passes SIGTERM on, and knows from what the child printed last whom
it lost. What C++ writes comes through the parent, which holds it back from the first sign of trouble on: after a lost
process it goes into a file, after anything else it is printed as it was.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from cnn.experiments.cluster import Cluster

# Lines of JAX's and Gloo's that come before such an end, and a traceback that follows from it.
_TROUBLE = re.compile(rb'^([EFW]\d{4} .*(coordination|preemption|client\.h|pair\.cc|gloo)|Traceback )')
# What an exception says where the connection to another process broke.
_LOST = re.compile(r'gloo|connection (closed|reset|refused)|broken pipe|socket closed|coordination service|nccl', re.I)


def watched(work: Callable[[], int], cluster: Cluster, workdir: pathlib.Path | None) -> int:
    """Does `work` in a child and returns its exit code; it returns in both, and the child's caller is to end.

    Call it before JAX is imported, and from the main thread. Where a process cannot be forked, `work` is done here.
    """
    if not hasattr(os, 'fork'):
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = os.pipe()
    parent = os.getpid()
    # Held back until the parent passes it on: it may come between the fork and that.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(ours)
        _become_the_run(theirs, parent)
        code = work()
        return code if not code else _leave(code, cluster)
    os.close(theirs)
    return _watch(child, ours, cluster, workdir)


def _become_the_run(pipe: int, parent: int) -> None:
    """In the child: descriptor 2, to which C++ writes, goes to the parent; Python's own stays where it was."""
    _child.watched = True
    own = os.dup(2)
    os.dup2(pipe, 2)
    os.close(pipe)
    sys.stderr = os.fdopen(own, 'w', buffering=1)
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        # Linux: whoever kills the parent means the run (PR_SET_PDEATHSIG).
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@dataclasses.dataclass
class _Child:
    """What the child knows of itself: whether it has a parent that watches, whether a lost connection ended it."""

    watched: bool = False
    lost: bool = False


_child = _Child()


def is_watched() -> bool:
    """Whether this process is the child."""
    return _child.watched


def is_lost(error: BaseException) -> bool:
    """Whether this is the child, and the error is that of a broken connection to another process."""
    return _child.watched and bool(_LOST.search(str(error)))


def report_crash(error: BaseException) -> None:
    """Prints the traceback, in a child where the parent can hold it back, and notes a lost connection."""
    import traceback

    if not _child.watched:
        traceback.print_exception(error)
        return
    _child.lost = is_lost(error)
    with open(os.dup(2), 'w') as stream:
        traceback.print_exception(error, file=stream)


def _leave(code: int, cluster: Cluster) -> Any:
    """Ends the child at once: at a usual end it would wait for the others, who wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if _child.lost:
        # JAX is about to find out who it was, and ends this process then.
        time.sleep(1.5 * cluster.heartbeat)
    os._exit(code)


def _watch(child: int, pipe: int, cluster: Cluster, workdir: pathlib.Path | None) -> int:
    held: list[bytes] = []
    reader = threading.Thread(target=_relay, args=(pipe, held), daemon=True)
    reader.start()
    # Ctrl-C reaches the child by itself: it comes to all processes of a terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _, status = os.waitpid(child, 0)
    reader.join(timeout=2.0)
    code = os.waitstatus_to_exitcode(status)
    text = b''.join(held)
    if code and (line := lost(text.decode(errors='replace'), cluster)):
        place = _kept(text, cluster, workdir)
        print(f'error: {line}' + (f' ({place} has what JAX said)' if place else ''), file=sys.stderr, flush=True)
        return 1
    os.write(2, text)
    if code < 0:
        name = signal.Signals(-code).name
        print(f'error: {cluster.name()} was ended by {name}; where memory ran out, a smaller batch_size helps',
              file=sys.stderr, flush=True)  # fmt: skip
        return 1
    return code


def _relay(pipe: int, held: list[bytes]) -> None:
    """Prints what comes until trouble is announced, and then keeps it."""
    with os.fdopen(pipe, 'rb') as stream:
        for line in stream:
            if held or _TROUBLE.match(line):
                held.append(line)
            else:
                os.write(2, line)


def lost(text: str, cluster: Cluster) -> str:
    """What became of the others, from the last words of a process; '' where it ended for another reason."""
    again = 'start all of them again, the run goes on from its last checkpoint'
    if 'RegisterTask' in text and 'DEADLINE' in text:
        where = f' at {cluster.coordinator}' if cluster.coordinator else ''
        return (f'{cluster.name()} waited {cluster.patience} seconds in vain for the others{where}; start all of them, '
                'and see that the address can be reached')  # fmt: skip
    gone = re.search(r'Task (\d+) heartbeat timeout', text) or re.search(r'stopped sending heartbeats\):\s+(\d+)', text)
    if gone:
        return (f'process {gone[1]} has gone: no sign of life for {cluster.heartbeat} seconds; {cluster.name()} ends '
                f'too; {again}')  # fmt: skip
    if 'Failed to send RPC to coordination service' in text or 'Stream removed' in text:
        return f'process 0, where the others meet, has gone; {cluster.name()} ends too; {again}'
    if 'JAX distributed service detected fatal errors' in text or _lost_connection(text):
        return f'another process has gone; {cluster.name()} ends too; {again}'
    return ''


def _lost_connection(text: str) -> bool:
    last = [line for line in text.splitlines() if re.match(r'[\w.]*(Error|Exception|Failed)\b', line)]
    return bool(last and _LOST.search(last[-1]))


def _kept(text: bytes, cluster: Cluster, workdir: pathlib.Path | None) -> str:
    """Writes the traces into the workdir; where, '' if that cannot be."""
    if workdir is None:
        return ''
    path = workdir / f'process_{cluster.index if cluster.index is not None else os.getpid()}.log'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    except OSError:
        return ''
    return str(path)

"""One process at a time: a lock that ends with whoever holds it."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def held(path: pathlib.Path, waits: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a file lock, waiting for it; the kernel lets go of it however this process ends.

    Args:
      waits: called before waiting, where another process holds it.
    """
    import fcntl

    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""One process at a time: a lock that ends with whoever holds it."""

import contextlib
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[None]:
    """Holds a file lock, waiting for it; the kernel lets go of it however this process ends."""
    import fcntl

    with open(path, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

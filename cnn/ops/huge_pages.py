"""Large memory pages for the process, by starting it once more. Imports neither JAX nor NumPy: it comes before them."""

import os
import sys

_TUNABLE = 'glibc.malloc.hugetlb'


def enable() -> bool:
    """Starts this Python program anew with large pages where they are to be had and not on yet; call it first.

    XLA's CPU backend takes the memory of a step from the system each time and gives it back after, and the system
    clears it again page by page of 4 KiB: a fifth of the time of a ResNet-20 step. In pages of 2 MiB that costs a
    third. glibc (from 2.35) asks for them where the environment's `GLIBC_TUNABLES` says so at the start of a process;
    hence the new start, which keeps process id, arguments and files. Where the variable speaks of it already, or the
    program cannot be started the same way again, nothing happens.

    Returns:
      Whether the process runs with them; where it starts anew it does not return.
    """
    tunables = os.environ.get('GLIBC_TUNABLES', '')
    if _TUNABLE in tunables:
        return f'{_TUNABLE}=0' not in tunables
    if not _supported() or not sys.orig_argv[1:] or not sys.executable:
        return False
    os.environ['GLIBC_TUNABLES'] = ':'.join(filter(None, (tunables, f'{_TUNABLE}=1')))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _supported() -> bool:
    try:
        name, version = os.confstr('CS_GNU_LIBC_VERSION').split()
        with open('/sys/kernel/mm/transparent_hugepage/enabled') as file:
            mode = file.read()
    except (AttributeError, OSError, ValueError):  # another system, or another C library
        return False
    return name == 'glibc' and tuple(map(int, version.split('.')[:2])) >= (2, 35) and '[never]' not in mode

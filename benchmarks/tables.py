"""What every benchmark prints and keeps: a table in Markdown, the machine and versions it was measured with."""

import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARIES = ('jax', 'jaxlib', 'flax', 'torch', 'torchvision', 'tensorflow', 'simplejpeg')


class Table:
    """Rows of cells, printed one by one as they are measured.

    Args:
      heads: of the columns.
    """

    def __init__(self, *heads: str):
        self.lines: list[str] = []
        self._add(heads)
        self._add(['---'] * len(heads))

    def row(self, *cells: Any) -> None:
        """Adds and prints a row."""
        self._add([str(cell) for cell in cells])

    def _add(self, cells: Sequence[str]) -> None:
        # A bar in a cell would begin another one.
        line = f'| {" | ".join(cell.replace("|", "/") for cell in cells)} |'
        self.lines.append(line)
        print(line, flush=True)

    def markdown(self) -> str:
        """The whole table."""
        return '\n'.join(self.lines)


def machine() -> dict[str, Any]:
    """Where and with what it is measured; what is not installed is not named."""
    found = {'cpu': _processor(), 'cores': len(os.sched_getaffinity(0)), 'python': platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def said(about: dict[str, Any]) -> str:
    """`2 cores of an AMD EPYC, Python 3.11.7, jax 0.10.2, ...`."""
    libraries = [f'{name} {about[name]}' for name in LIBRARIES if name in about]
    cores = f'{about["cores"]} core{"s" if about["cores"] > 1 else ""} of {about["cpu"]}'
    return ', '.join([cores, f'Python {about["python"]}', *libraries])


def keep(path: str, markdown: str, rows: Any) -> None:
    """Writes the file that `--json` names: the table, the numbers behind it, and how they came about.

    Does nothing for ''.
    """
    if not path:
        return
    content = {
        'command': shlex.join(['python', f'benchmarks/{pathlib.Path(sys.argv[0]).name}', *_arguments()]),
        'date': f'{datetime.date.today():%Y-%m-%d}',
        'machine': machine(),
        'commit': _commit(),
        'markdown': markdown,
        'rows': rows,
    }
    pathlib.Path(path).write_text(json.dumps(content, indent=1) + '\n')


def _arguments() -> list[str]:
    """Without the file that is written and the folders of this machine."""
    kept = [word for word in sys.argv[1:] if not word.startswith(('--json', '--workdir'))]
    return [re.sub(r'^(--images)=.*', r'\1=FOLDER', word) for word in kept]


def _processor() -> str:
    info = pathlib.Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    return next(named, platform.processor() or platform.machine())


def _commit() -> str:
    command = ['git', '-C', str(ROOT), 'rev-parse', '--short=9', 'HEAD']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or 'unknown'

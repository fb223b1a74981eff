"""`--mode=report`: one HTML page, `report.html`, of the run in a workdir or of several runs side by side."""

import glob
import os
import pathlib
from collections.abc import Sequence

from cnn.experiments.errors import UserError
from cnn.report import page
from cnn.report import workdir as workdirs
from cnn.training import log

FILE = 'report.html'


def run(_config, workdir: pathlib.Path | None, flags) -> pathlib.Path:
    """Writes the page: of `--runs` into the workdir, or where none is given the folder above them; returns its path.

    Raises:
      UserError: a folder that holds no run, or a pattern that matches none.
    """
    folders = _folders(flags.runs) if flags.runs else [workdir]
    names = _names(folders)
    runs = [workdirs.read(folder, name) for folder, name in zip(folders, names, strict=True)]
    for one in runs:
        for remark in one.remarks:
            print(f'{one.folder}: {remark}')
    place = (workdir or _above(folders)) / FILE
    log.write_text(place, page.render(runs))
    print(f'{place}: {len(runs)} run{"s" if len(runs) > 1 else ""}, {place.stat().st_size / 2**20:.1f} MB; '
          'it needs no other file')  # fmt: skip
    return place


def _folders(given: Sequence[str]) -> list[pathlib.Path]:
    """Folders by name, or all runs that a pattern matches."""
    found: list[pathlib.Path] = []
    for word in given:
        if not glob.has_magic(word):
            found.append(pathlib.Path(word))
            continue
        matched = [path for path in map(pathlib.Path, sorted(glob.glob(word))) if path.is_dir()]
        runs = [path for path in matched if workdirs.is_run(path)]
        if not runs:
            raise UserError(f'--runs={word}: {len(matched)} folders match, and none of them holds a run')
        found += runs
    return list(dict.fromkeys(found))


def _names(folders: Sequence[pathlib.Path]) -> list[str]:
    """As much of the end of each path as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(own[-count:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _above(folders: Sequence[pathlib.Path]) -> pathlib.Path:
    if len(folders) == 1:
        return folders[0]
    return pathlib.Path(os.path.commonpath([folder.resolve() for folder in folders]))

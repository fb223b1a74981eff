"""What lies in a run's folder, read without trusting it: what is missing, torn or no JSON is told, not fatal."""

import dataclasses
import json
import pathlib
from typing import Any

# What makes a folder a run, by the kind of run: the first that is there says what it is.
KINDS = {'study.json': 'study', 'sweep.json': 'sweep', 'folds.json': 'cross-validation', 'metrics.jsonl': 'training',
         'result.json': 'evaluation', 'localization.json': 'localization', 'summary.json': 'summary',
         'config.json': 'training'}  # fmt: skip
# Files of JSON that are read whole, and as what. A run's ledger is read by who checks it: it may be large.
DOCUMENTS = ('config', 'result', 'dataset', 'folds', 'sweep', 'study', 'localization', 'summary', 'export')
LISTS = ('bad_examples', 'faulty_examples', 'predictions')
# Pictures that the page draws itself, from the record.
REDRAWN = ('curves.png',)
# Of folders of pictures only so many.
FEW = 12
# Members of a cross-validation or sweep whose curves are drawn.
MEMBERS = 40


@dataclasses.dataclass
class Run:
    """A run as its folder tells it.

    Attributes:
      folder: where it lies.
      name: short, and told apart from the other runs of the page.
      kind: a value of KINDS.
      documents: by name (DOCUMENTS, LISTS) what its JSON files hold; only those that could be read.
      records: of `metrics.jsonl`, in order.
      members: records of each of its members, by name.
      trained: how many members there are.
      stages: of a training in stages, those before the last, in their order.
      pictures: files.
      ledger: its text, '' where there is none.
      remarks: what is missing or could not be read, a sentence each.
    """

    folder: pathlib.Path
    name: str
    kind: str
    documents: dict[str, Any] = dataclasses.field(default_factory=dict)
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    members: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    trained: int = 0
    stages: list['Run'] = dataclasses.field(default_factory=list)
    pictures: list[pathlib.Path] = dataclasses.field(default_factory=list)
    ledger: str = ''
    remarks: list[str] = dataclasses.field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        """The run's settings, of whichever file has them; {} where none does."""
        for name in ('result', 'sweep', 'study', 'export'):
            if isinstance(found := self.documents.get(name, {}).get('config'), dict):
                return found
        return self.documents.get('config', {})

    @property
    def result(self) -> dict[str, Any]:
        """`result.json`, of a study what it says of itself; {} where there is none."""
        return self.documents.get('result') or self.documents.get('study') or {}


def is_run(folder: pathlib.Path) -> bool:
    """Whether any file of a run lies there."""
    return any((folder / name).is_file() for name in KINDS)


def read(folder: pathlib.Path, name: str = '') -> Run:
    """Reads a run.

    Raises:
      ValueError: there is no such folder, or nothing of a run in it; one line.
    """
    if not folder.is_dir():
        raise ValueError(f'{folder}: no such folder; a report needs the workdir of a run')
    if not is_run(folder):
        raise ValueError(f'{folder} holds no run: there is none of {", ".join(KINDS)}')
    kind = next(kind for file, kind in KINDS.items() if (folder / file).is_file())
    run = Run(folder, name or folder.name, kind)
    for document in (*DOCUMENTS, *LISTS):
        _read_document(run, document)
    run.records = _records(run, folder / 'metrics.jsonl')
    run.members = _members(run)
    run.stages = [read(path, path.name) for path in _stages(folder) if is_run(path)]
    run.pictures = _pictures(folder)
    if (folder / 'ledger.json').is_file():
        run.ledger = (folder / 'ledger.json').read_text(errors='replace')
    _remark_on_the_end(run)
    return run


def _read_document(run: Run, name: str) -> None:
    path = run.folder / f'{name}.json'
    wanted = list if name in LISTS else dict
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, wanted):
            raise ValueError(f'a {type(content).__name__} where a {wanted.__name__} should be')
        run.documents[name] = content
    except (OSError, ValueError) as error:
        run.remarks.append(f'{path.name} cannot be read ({_line(error)}): what it holds is not on this page.')


def _records(run: Run, path: pathlib.Path) -> list[dict[str, Any]]:
    """The record's lines; what is no JSON is left out and counted, but for a last line that is being written."""
    if not path.is_file():
        return []
    found, odd = [], 0
    lines = path.read_bytes().split(b'\n')
    for line in lines[:-1]:
        try:
            record = json.loads(line)
            if not isinstance(record['step'], int) or not isinstance(record['split'], str):
                raise ValueError('no step and split')
            found.append(record)
        except (ValueError, KeyError, TypeError):
            odd += 1
    if odd:
        run.remarks.append(f'{path.name}: {odd} of {len(lines) - 1} lines cannot be read; the others are drawn.')
    return found


def _members(run: Run) -> dict[str, list[dict[str, Any]]]:
    folders = sorted(p for p in (run.folder / 'members').glob('*') if (p / 'metrics.jsonl').is_file())
    run.trained = len(folders)
    return {path.name: _records(run, path / 'metrics.jsonl') for path in folders[:MEMBERS]}


def _stages(folder: pathlib.Path) -> list[pathlib.Path]:
    """In the order in which they were begun."""
    return sorted((p for p in (folder / 'stages').glob('*') if p.is_dir()), key=lambda p: (_begun(p), p.name))


def _begun(folder: pathlib.Path) -> float:
    path = folder / 'config.json'
    return path.stat().st_mtime if path.is_file() else float('inf')


def _pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    own = [p for p in sorted(folder.glob('*.png')) if p.name not in REDRAWN]
    for part in ('predictions', 'localization'):
        own += sorted(p for p in (folder / part).glob('*.png') if not p.stem.endswith('_mask'))[:FEW]
    return own


def _remark_on_the_end(run: Run) -> None:
    if run.kind == 'training' and not run.result:
        at = max((record['step'] for record in run.records), default=0)
        run.remarks.append(f'There is no result yet: the run has not ended. Its record goes to step {at:,}.')
    if run.kind == 'cross-validation' and 'mean' not in run.documents.get('folds', {}):
        run.remarks.append('The folds are divided, and not scored yet: the run has not ended.')
    if run.kind == 'sweep' and not run.documents.get('result'):
        run.remarks.append('The sweep has not ended: the table holds what there is so far.')
    if not run.config:
        run.remarks.append('No file says with which settings it ran.')


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())

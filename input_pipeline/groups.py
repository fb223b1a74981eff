"""Which examples belong together (one patient, one animal, one day), said in a config as a string."""

import csv
import re

import numpy as np

from input_pipeline.datasets import nearest

FORMS = "'file_prefix:REGEX', 'id:REGEX' or a path to a CSV file with columns id,group"


def groups_of(source, spec: str) -> np.ndarray:
    """The group of each example of a source, or of a list of example ids.

    Args:
      source: anything with `__len__` and `example_id(i)`, or a sequence of ids.
      spec: one of
        `file_prefix:REGEX`: matched at the beginning of the file's name (what follows the last slash of the id);
        `id:REGEX`: searched in the whole id, so `id:^([^/]+)/` groups by folder;
        `PATH.csv`: a table with columns `id` and `group`; rows of other examples are passed over.
        Of a match, the first parenthesis is the group; the whole match where there is none.

    Returns:
      str `[N]`.

    Raises:
      ValueError: for another form, a broken expression, or examples that get no group; one line.
    """
    ids = list(source) if isinstance(source, list | tuple | np.ndarray) else None
    ids = [source.example_id(i) for i in range(len(source))] if ids is None else [str(i) for i in ids]
    if spec.lower().endswith('.csv'):
        return _from_table(ids, spec)
    form, separator, expression = spec.partition(':')
    if not separator or form not in ('file_prefix', 'id'):
        raise ValueError(f'folds.groups={spec!r}{nearest(form, ("file_prefix", "id"))}: write {FORMS}')
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ValueError(f'folds.groups={spec!r}: not a regular expression ({error})') from None
    search = (lambda i: pattern.match(i.rpartition('/')[2])) if form == 'file_prefix' else pattern.search
    found = [search(i) for i in ids]
    names = [None if m is None else m[1] if pattern.groups else m[0] for m in found]
    _check_all(ids, names, f'folds.groups={spec!r} finds nothing in')
    return np.array(names, dtype=str)


def _from_table(ids, path):
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'folds.groups={path!r}: the table cannot be read ({error})') from None
    if not rows or not {'id', 'group'} <= set(rows[0]):
        raise ValueError(f'folds.groups={path!r}: the first line must name the columns id and group, with rows below')
    table = {}
    for number, row in enumerate(rows, 2):
        if table.setdefault(row['id'], row['group']) != row['group']:
            raise ValueError(f'folds.groups={path!r}, line {number}: {row["id"]!r} has two groups')
    names = [table.get(i) or None for i in ids]
    _check_all(ids, names, f'folds.groups={path!r} has no group for')
    return np.array(names, dtype=str)


def _check_all(ids, names, complaint):
    without = [i for i, name in zip(ids, names, strict=True) if name is None or name == '']
    if without:
        raise ValueError(f'{complaint} {len(without)} of {len(ids)} examples, the first {without[0]!r}')

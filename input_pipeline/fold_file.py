"""A fold, and `folds.json`: the folds of a run by the names of their examples, so that a later run has the same."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Fold(NamedTuple):
    """One division of N examples.

    Attributes:
      name: unique among the folds of a run, letters that a folder's name may have.
      repeat: which repetition of the whole cross-validation, from 0.
      index: which fold of that repetition, from 0.
      train, test: int64, sorted, disjoint; in folds by time a gap may leave examples in neither.
    """

    name: str
    repeat: int
    index: int
    train: np.ndarray
    test: np.ndarray


def document(
    folds: Sequence[Fold],
    ids: Sequence[str],
    *,
    metrics: Sequence[Mapping[str, float]] = (),
    summary: Mapping[str, Any] | None = None,
    layout: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict:
    """What `folds.json` holds.

    Args:
      folds: from `folds.split`.
      ids: name of each example of the data set, all different.
      metrics: of each fold, once it is trained; empty before.
      summary: what `cnn.analysis.fold_statistics.summary` returned; its keys (`mean`, `interval`, ...) stand on top.
      layout: how the members ran.
      settings: how the folds were made (`kind`, `count`, `repeats`, `groups`, `seed`).

    Raises:
      ValueError: where two examples have one name, or metrics are of another number of folds.
    """
    ids = [str(i) for i in ids]
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(i for i in ids if i in seen or seen.add(i))
        raise ValueError(f'two examples have the name {twice!r}: folds could not be found again')
    if metrics and len(metrics) != len(folds):
        raise ValueError(f'{len(metrics)} sets of metrics for {len(folds)} folds')
    unused = np.ones(len(ids), bool)
    for fold in folds:
        unused[fold.train] = unused[fold.test] = False
    records = [
        {
            'name': fold.name,
            'repeat': int(fold.repeat),
            'index': int(fold.index),
            'metrics': dict(metrics[k]) if metrics else {},
            'train_ids': [ids[i] for i in fold.train],
            'test_ids': [ids[i] for i in fold.test],
        }
        for k, fold in enumerate(folds)
    ]
    return {
        'mean': {},
        'interval': {},
        **(summary or {}),
        'layout': layout,
        'settings': dict(settings or {}),
        'folds': records,
        'unused_ids': [ids[i] for i in np.flatnonzero(unused)],
    }


def save(path: str, folds: Sequence[Fold], ids: Sequence[str], **more) -> None:
    """Writes `document(folds, ids, **more)` to `path`, whole or not at all."""
    content = document(folds, ids, **more)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    partial = f'{path}.{os.getpid()}.part'
    try:
        with open(partial, 'w', encoding='utf-8') as file:
            json.dump(content, file, ensure_ascii=False, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def load(path: str, ids: Sequence[str]) -> list[Fold]:
    """The folds of an earlier run as indices into this run's examples, in whatever order these are now.

    Raises:
      ValueError: where the file is no `folds.json`, or its examples are not exactly those of the data set (named).
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        records, unused = content['folds'], content['unused_ids']
        parts = [(str(r['name']), int(r['repeat']), int(r['index']), r['train_ids'], r['test_ids']) for r in records]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f'{path}: not a folds.json ({type(error).__name__}: {error})') from None
    place = {str(name): i for i, name in enumerate(ids)}
    if len(place) != len(ids):
        raise ValueError(f'{path}: the data set has examples of the same name; folds cannot be found again')
    known = dict.fromkeys(name for part in parts for name in (*part[3], *part[4])) | dict.fromkeys(unused)
    for absent, text in (
        ([n for n in known if n not in place], 'of its examples are not in the data set'),
        ([n for n in place if n not in known], 'examples of the data set are not in it'),
    ):
        if absent:
            raise ValueError(f'{path}: {len(absent)} {text}: {", ".join(absent[:3])}{", ..." * (len(absent) > 3)}')
    folds = []
    for name, repeat, index, train, test in parts:
        train, test = (np.unique(np.array([place[n] for n in names], np.int64)) for names in (train, test))
        if np.intersect1d(train, test).size:
            both = ids[int(np.intersect1d(train, test)[0])]
            raise ValueError(f'{path}: {both!r} is in the training and in the test part of {name}')
        folds.append(Fold(name, repeat, index, train, test))
    return folds

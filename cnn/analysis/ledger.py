"""Which role every example played in every fold, and a check that no test example influenced what it then scored.

The ledger knows what it is told: whoever reads examples for a purpose records them under the role, at the place where
they are read. Records, check and statement are one class, longer than most files, because each reads the same three
tables.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

ROLES = ('fit', 'early_stopping', 'selection', 'statistics', 'test')
_WORDS = {
    'fit': 'fitted on',
    'early_stopping': 'stopped early by',
    'selection': 'selected by',
    'statistics': 'normalised by',
}


class LeakError(RuntimeError):
    """A test example influenced what it was to judge, or a record that would tell is missing; the message names it."""


class Ledger:
    """Roles by fold: `fit`, `early_stopping`, `selection`, `statistics` (of normalisation), `test`.

    An inner fold (of nested cross-validation, or of a trial of a sweep) stands `within` an outer one. All its examples,
    those of its test part as well, decide something about the outer one, so none may be in the outer test part.

    Args:
      ids: names of the examples that integers in `record` point to; others join as they are recorded by name.
    """

    def __init__(self, ids: Iterable[str] = ()):
        self._ids: list[str] = [str(i) for i in ids]
        self._place = {name: i for i, name in enumerate(self._ids)}
        if len(self._place) != len(self._ids):
            raise ValueError('two examples have one name: the ledger could not tell them apart')
        self._within: dict[str, str] = {}
        # (fold, role) -> sorted indices, in the order in which they last grew.
        self._records: dict[tuple[str, str], np.ndarray] = {}

    def record(self, fold: str, role: str, ids: Sequence | np.ndarray, *, within: str = '') -> None:
        """Adds examples to a fold's role. Recording the same again, as a resumed run does, changes nothing.

        Args:
          fold: the fold's or trial's name, unique in the run.
          role: one of `ROLES`.
          ids: names, or indices into the names the ledger was made with.
          within: the outer fold, for an inner one.

        Raises:
          ValueError: an unknown role, an index out of range, or a fold said to be within two.
        """
        if role not in ROLES:
            raise ValueError(f'unknown role {role!r}; there are {", ".join(ROLES)}')
        if within == fold or self._within.get(fold, within) != within:
            raise ValueError(f'fold {fold!r} cannot be within {within!r}, it is within {self._within.get(fold, "")!r}')
        indices = np.unique(self._indices(ids))
        self._within[fold] = within
        before = self._records.get((fold, role))
        if before is not None and np.isin(indices, before).all():
            return
        self._records.pop((fold, role), None)
        self._records[fold, role] = indices if before is None else np.union1d(before, indices)

    def verify(self, *, last: str = '') -> None:
        """Checks every fold that has a test part, outer and inner.

        Args:
          last: the name of the final fold, whose test part must be the last thing that was looked at.

        Raises:
          LeakError: a test example in another role of the same fold or of one within it, a fold that was tested and
            has no record of what it was fitted on, an outer fold that was never recorded, or a look after the last.
        """
        names = set(self._within)
        for fold, outer in self._within.items():
            if outer and outer not in names:
                raise LeakError(f'{fold} is within {outer}, of which nothing is recorded')
        for fold in self.tested():
            test = self._mask(self._records[fold, 'test'])
            members = self._inside(fold)
            if not any((f, 'fit') in self._records for f in (fold, *members)):
                raise LeakError(f'{fold} was tested, and what it was fitted on is not recorded')
            for name in (fold, *members):
                for role in ROLES:
                    if (name, role) == (fold, 'test') or (name, role) not in self._records:
                        continue
                    shared = self._records[name, role][test[self._records[name, role]]]
                    if len(shared):
                        raise LeakError(self._complaint(fold, name, role, shared))
        if last and (not self._records or next(reversed(self._records)) != (last, 'test')):
            found = ' as '.join(next(reversed(self._records))) if self._records else 'nothing'
            raise LeakError(f'the test part of {last} was to be looked at last, and {found} was')

    def statement(self, *, last: str = '') -> str:
        """Verifies, and says in one sentence what was checked, with the numbers."""
        self.verify(last=last)
        tested = self.tested()
        if not tested:
            return 'No fold was tested, so there was nothing to check.'
        outer = [fold for fold in tested if not self._within[fold]]
        count = len(np.unique(np.concatenate([self._records[f, 'test'] for f in outer or tested])))
        used = {role: [len(self._records[k]) for k in self._records if k[1] == role] for role in _WORDS}
        parts = [f'{_WORDS[role]} ({_span(sizes)} a fold)' for role, sizes in used.items() if sizes]
        inner = len(self._within) - sum(not w for w in self._within.values())
        text = f'Checked {_plural(len(outer or tested), "fold")}'
        text += f' and {_plural(inner, "fold")} within' if inner else ''
        text += f': none of {_plural(count, "test example")} is among those that its own fold was {_enumerate(parts)}'
        return text + (f', and the test part of {last} was looked at last.' if last else '.')

    def tested(self) -> list[str]:
        """Folds with a test part, in the order of their first record."""
        return [fold for fold in self._within if (fold, 'test') in self._records]

    def roles_of(self, example: str) -> dict[str, list[str]]:
        """Fold -> roles that this example played there; empty for an unknown example."""
        found: dict[str, list[str]] = {}
        for (fold, role), indices in self._records.items():
            if self._place.get(example, -1) in indices:
                found.setdefault(fold, []).append(role)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain lists and names: each name once, each set of examples once, records pointing to them in order."""
        sets: dict[bytes, int] = {}
        records = []
        for (fold, role), indices in self._records.items():
            number = sets.setdefault(indices.tobytes(), len(sets))
            records.append({'fold': fold, 'within': self._within[fold], 'role': role, 'set': number})
        return {'ids': self._ids, 'sets': [np.frombuffer(s, np.int64).tolist() for s in sets], 'records': records}

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | str) -> 'Ledger':
        """What `to_json` returned, or its text.

        Raises:
          ValueError: for anything else.
        """
        try:
            content = json.loads(content) if isinstance(content, str) else content
            ledger = cls(content['ids'])
            for r in content['records']:
                ledger.record(r['fold'], r['role'], np.array(content['sets'][r['set']], np.int64), within=r['within'])
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise ValueError(f'not a ledger ({type(error).__name__}: {error})') from None
        return ledger

    def _indices(self, ids) -> np.ndarray:
        array = np.asarray(ids)
        if not array.size:
            return np.zeros(0, np.int64)
        if np.issubdtype(array.dtype, np.integer):
            if array.min() < 0 or array.max() >= len(self._ids):
                raise ValueError(f'indices must lie in 0..{len(self._ids) - 1}, the names of this ledger')
            return array.astype(np.int64)
        for name in map(str, array):
            if name not in self._place:
                self._place[name] = len(self._ids)
                self._ids.append(name)
        return np.array([self._place[str(name)] for name in array], np.int64)

    def _mask(self, indices) -> np.ndarray:
        mask = np.zeros(len(self._ids), bool)
        mask[indices] = True
        return mask

    def _inside(self, fold: str) -> list[str]:
        """All folds within `fold`, at any depth."""
        direct = [name for name, outer in self._within.items() if outer == fold]
        return direct + [deeper for name in direct for deeper in self._inside(name)]

    def _complaint(self, fold, name, role, shared):
        where = f'of {name}, within it' if name != fold else 'of the same fold'
        verb = 'test' if role == 'test' else role.replace('_', ' ')
        some = f'{_plural(len(shared), "test example")} of {fold}'
        return f'{some} in the {verb} part {where}, the first {self._ids[int(shared[0])]}'


def _plural(count: int, noun: str) -> str:
    return f'{count:,} {noun}' + 's' * (count != 1)


def _span(sizes: Sequence[int]) -> str:
    return f'{min(sizes):,}' if min(sizes) == max(sizes) else f'{min(sizes):,} to {max(sizes):,}'


def _enumerate(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f'{", ".join(parts[:-1])} or {parts[-1]}'

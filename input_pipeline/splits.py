"""Split expressions: `train`, `train[:10%]`, `train[90%:]`, `validation[:500]`, as tfds writes them."""

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from input_pipeline.datasets import DatasetInfo, nearest

_EXPRESSION = re.compile(r'(?P<name>[\w-]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?$')


def parse(expression: str) -> tuple[str, str, str]:
    """`('train', '', '10%')` for `train[:10%]`: the split's name and the two bounds as written.

    Raises:
      ValueError: where the expression has another form.
    """
    match = _EXPRESSION.match(expression.replace(' ', ''))
    if not match:
        raise ValueError(f'split {expression!r} is not of the form train, train[:10%] or train[100:200]')
    return match['name'], match['start'] or '', match['stop'] or ''


def native_name(info: DatasetInfo, name: str) -> str:
    """The data set's own name of a split, given that or ours.

    Raises:
      ValueError: for a split that the data set does not have.
    """
    if name in info.splits:
        return info.splits[name]
    if name in info.splits.values():
        return name
    known = list(dict.fromkeys([*info.splits, *info.splits.values()]))
    raise ValueError(f'{info.name} has no split {name!r}{nearest(name, known)}; it has: {", ".join(known)}')


def bounds(expression: str, length: int) -> tuple[int, int]:
    """First and one past the last of `length` examples that an expression keeps.

    A percentage is rounded to the nearest example, as tfds does; a negative bound counts from the end.

    Raises:
      ValueError: where a bound is outside the split or nothing is left.
    """
    _, start, stop = parse(expression)
    first, last = _bound(start or '0', length, expression), _bound(stop or str(length), length, expression)
    if first >= last:
        raise ValueError(f'split {expression!r} is empty: it keeps nothing of {length} examples')
    return first, last


def _bound(text: str, length: int, expression: str) -> int:
    value = round(int(text[:-1]) * length / 100) if text.endswith('%') else int(text)
    value = value + length if text.startswith('-') else value
    if not 0 <= value <= length:
        raise ValueError(f'split {expression!r}: {text} is outside the {length} examples')
    return value


def sliced(expression: str, labels: np.ndarray, example_id: Callable[[int], str]) -> np.ndarray | None:
    """Sorted indices that an expression keeps of examples stored class by class, or None for all of them.

    The slice is taken of the order of a hash of the examples' names, so that `train[:10%]` is a tenth of the whole and
    not of the first class, disjoint slices are disjoint, and adding files moves none across by more than the growth.
    """
    first, last = bounds(expression, len(labels))
    if (first, last) == (0, len(labels)):
        return None
    return np.sort(hash_order([example_id(i) for i in range(len(labels))])[first:last])


def hash_order(names: Sequence[str]) -> np.ndarray:
    """Permutation that sorts names by their SHA-256: the same everywhere, unrelated to the alphabet."""
    keys = [hashlib.sha256(name.encode()).digest() for name in names]
    return np.asarray(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def hold_out(labels: np.ndarray, names: Sequence[str], fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices to train on and to hold out: of each class the last `fraction` in hash order, at least one of two.

    A class of a single example is trained on.
    """
    order = hash_order(names)
    train, held = [], []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        train.append(members[: len(members) - count])
        held.append(members[len(members) - count :])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held))

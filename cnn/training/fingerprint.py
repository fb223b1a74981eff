"""What determines a run (config fields, data set, batch size, seed), kept beside its checkpoints."""

import json
from collections.abc import Iterable
from typing import Any


def normalise(fields: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Flat, dotted, JSON-ready: nested dicts are joined with dots, tuples become lists, NumPy scalars Python ones."""
    flat = {}
    for key, value in fields.items():
        name = f'{prefix}{key}'
        if isinstance(value, dict):
            flat.update(normalise(value, f'{name}.'))
        else:
            flat[name] = json.loads(json.dumps(value, default=lambda v: v.tolist() if hasattr(v, 'tolist') else str(v)))
    return flat


def differences(old: dict[str, Any], new: dict[str, Any], free_keys: Iterable[str] = ()) -> list[str]:
    """One entry for each differing key outside `free_keys`; a free key also frees everything under it."""
    free = tuple(free_keys)
    changed = []
    for key in sorted(old.keys() | new.keys()):
        if any(key == name or key.startswith(f'{name}.') for name in free):
            continue
        before, after = (repr(side[key]) if key in side else 'absent' for side in (old, new))
        if before != after:
            changed.append(f'{key} was {before}, is {after}')
    return changed

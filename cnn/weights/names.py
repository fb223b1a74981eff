"""Which array of a state dict is which of ours, by the tables of `cnn.weights.tables`."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import flax.linen as nn
from flax.traverse_util import flatten_dict

from cnn.weights import layout, tables
from cnn.weights.errors import WeightsError

NATIVE = 'native'
Path = tuple[str, ...]


class Entry(NamedTuple):
    """One array of ours: its path from the collection down, its shape, and its key and form in the file.

    `is_kernel`: it lies there in PyTorch's axis order, a dense one over a map of `cells` = (H, W). `flip`: its input
    channels come there in the opposite order.
    """

    path: Path
    shape: tuple[int, ...]
    key: str
    cells: tuple[int, int] = (1, 1)
    form: str = ''
    is_kernel: bool = False
    flip: bool = False


def table_of(model: nn.Module) -> ModuleType | None:
    """The table named like the file of `cnn.models` that defines the network, or None."""
    name = type(model).__module__.rsplit('.', 1)[-1]
    known = {m.name for m in pkgutil.iter_modules(tables.__path__)}
    return importlib.import_module(f'{tables.__name__}.{name}') if name in known else None


def styles(model: nn.Module) -> tuple[str, ...]:
    """The naming schemes that this network can be written in; 'native' is our own names and axis orders."""
    table = table_of(model)
    return (*table.STYLES, NATIVE) if table else (NATIVE,)


def entries(model: nn.Module, template: Mapping[str, Any], style: str) -> list[Entry]:
    """Every array of `template` (arrays or shapes) with its key in a file of that style.

    Raises:
      WeightsError: a style that the network does not have, or a flattened map that is not square.
    """
    flat = flatten_dict(dict(template))
    if style == NATIVE:
        return [Entry(path, tuple(leaf.shape), '/'.join(path)) for path, leaf in flat.items()]
    if style not in styles(model):
        raise WeightsError(f'{type(model).__name__} has no style {style!r}; there are {", ".join(styles(model))}')
    return [_entry(table_of(model), model, style, path, tuple(leaf.shape)) for path, leaf in flat.items()]


def _entry(table: ModuleType, model: nn.Module, style: str, path: Path, shape: tuple[int, ...]) -> Entry:
    place = table.place(model, style, path[1:-1])
    key = f'{place.prefix}.{layout.LEAVES.get(path[-1], path[-1])}'
    cells = (1, 1)
    if place.channels and path[-1] == 'kernel' and len(shape) == 2:
        try:
            cells = layout.grid(shape[0], place.channels)
        except ValueError as error:
            raise WeightsError(f'{"/".join(path)}: {error}') from error
    kernel = path[-1] == 'kernel'
    return Entry(path, shape, key, cells, place.form, kernel and place.form != 'hwio', kernel and place.flip)


def detect(model: nn.Module, template: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The style whose keys the file has most of; the first of `styles` among equals."""
    present = set(keys)
    return max(styles(model), key=lambda style: sum(e.key in present for e in entries(model, template, style)))


def canonical(model: nn.Module, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The file's arrays under today's spelling of their keys."""
    rename = getattr(table_of(model), 'canonical', None)
    return {rename(key) if rename else key: array for key, array in arrays.items()}


def stem(model: nn.Module) -> Path:
    """The path of the first convolution of a network that has a table."""
    found = table_of(model).STEM
    return found(model) if callable(found) else found


def is_head(model: nn.Module, path: Path) -> bool:
    """Whether this array of ours belongs to a layer that the number of classes sizes."""
    return any(path[1 : 1 + len(head)] == head for head in getattr(table_of(model), 'HEADS', ()))


def is_ignorable(model: nn.Module, key: str) -> bool:
    """Whether the file may hold this key although this variant of the network has no use for it."""
    ignorable = getattr(table_of(model), 'ignorable', None)
    return bool(ignorable and ignorable(model, key))


def module_name(model: nn.Module, style: str, path: Path) -> str:
    """The name, in that style, of our module of this path: `('conv3_1', 'conv1')` -> `layer2.0.conv1`."""
    return '/'.join(path) if style == NATIVE else table_of(model).place(model, style, path).prefix

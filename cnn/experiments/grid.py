"""Settings to try: `optimizer.learning_rate=0.05,0.1;optimizer.weight_decay=1e-4,5e-4` as the configs of a grid."""

import itertools
from typing import Any

from cnn.experiments.errors import UserError, nearest
from cnn.experiments.settings import field

# What decides what the source holds, which all that are compared share: it is opened once.
OF_THE_SOURCE = ('dataset', 'data_dir', 'manual_dir', 'input.train_split', 'augmentation.box_crop',
                 'augmentation.box_margin', 'series')  # fmt: skip


def check_comparable(config, path: str) -> None:
    """Raises a UserError where settings that differ in this field could not be compared in one run."""
    past = config.task == 'forecasting' and path == 'image_size'
    if past or any(path == name or path.startswith(f'{name}.') for name in OF_THE_SOURCE):
        raise UserError(f'config.{path} decides what is read, which all that are compared in one run share')


def settings_of(config, text: str) -> list[dict[str, Any]]:
    """Every combination of the values, fields by path, in the order of the text; `[{}]` for none.

    Raises:
      UserError: a field that is not there or named twice, no values, or one that is not of the field's type.
    """
    axes = {}
    for item in filter(None, (part.strip() for part in text.split(';'))):
        path, _, values = item.partition('=')
        path = path.strip().removeprefix('config.')
        if path in axes:
            raise UserError(f'the grid names {path} twice')
        axes[path] = [_typed(config, path, value.strip()) for value in values.split(',')]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def compared(config, text: str) -> list[dict[str, Any]]:
    """`settings_of`, for settings that are tried on one source.

    Raises:
      UserError: as it, and for a field that they must share.
    """
    found = settings_of(config, text)
    for path in found[0]:
        check_comparable(config, path)
    return found


def _typed(config, path: str, text: str) -> Any:
    try:
        now = field(config, path)
    except (KeyError, AttributeError, TypeError):
        raise UserError(f'the grid names {path!r}, which the config lacks; {nearest(path, paths(config))}') from None
    if isinstance(now, bool):
        if text.lower() not in ('true', 'false'):
            raise UserError(f'the grid gives {path} the value {text!r}; it takes true or false')
        return text.lower() == 'true'
    try:
        return type(now)(text)
    except (TypeError, ValueError):
        raise UserError(f'the grid gives {path} the value {text!r}; it takes {type(now).__name__}') from None


def applied(config, values: dict[str, Any]) -> Any:
    """A copy of the config with these fields."""
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        for path, value in values.items():
            section, _, last = path.rpartition('.')
            (field(copy, section) if section else copy)[last] = value
    return copy


def name_of(values: dict[str, Any]) -> str:
    """`learning_rate=0.1,weight_decay=0.0005`, or '' for no settings."""
    return ','.join(f'{path.rpartition(".")[2]}={value}' for path, value in values.items())


def paths(config, prefix: str = '') -> list[str]:
    """Every field's path."""
    found = []
    for key, value in config.items():
        found += paths(value, f'{prefix}{key}.') if hasattr(value, 'items') else [prefix + key]
    return found

"""Config files: loading one, and writing a config down as one."""

import importlib.util
import pathlib
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

_TEMPLATE = '''"""{how}

  python main.py --config={path}
"""

from ml_collections import ConfigDict


def get_config(arg: str = ''):
    """See the file's docstring."""
    if arg:
        raise ValueError(f'this config takes no arguments, not {{arg!r}}; write --config.FIELD=VALUE')
    return ConfigDict({fields})
'''


def load(path: str) -> ModuleType:
    """The module of a config file."""
    spec = importlib.util.spec_from_file_location('_config_to_check', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(config: Any, how: str, path: pathlib.Path) -> str:
    """A config file in which every field stands as it is, tuples too.

    Args:
      how: the docstring's beginning.
      path: where it will be, for the command in its docstring.
    """
    fields = _literal(config.to_dict(), '    ')
    how, shown = (str(part).replace('\\', '/').replace('"""', "'''") for part in (how, path))
    return _TEMPLATE.format(how=how, path=shown, fields=fields)


def _literal(value: Any, indent: str) -> str:
    """The value as Python reads it, a field a line."""
    if not isinstance(value, dict):
        return repr(_plain(value))
    if not value:
        return '{}'
    inside = indent + '    '
    return '{\n' + ''.join(f'{inside}{k!r}: {_literal(v, inside)},\n' for k, v in value.items()) + indent + '}'


def _plain(value: Any) -> Any:
    """Python's own types: NumPy's scalars are shown with their type."""
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value.item() if hasattr(value, 'item') else value


def recorded(fields: dict[str, Any]) -> ConfigDict:
    """A config as a run wrote it down; JSON knows no tuples, and configs no lists."""
    found = ConfigDict()
    for name, value in fields.items():
        found[name] = recorded(value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
    return found

"""A pickle machine that cannot run anything: it follows the opcodes and only ever builds plain containers.

The standard unpickler imports whatever a pickle names and calls it. Here a name is looked up in a table that the caller
gives; what the table answers is our own code, and a name beyond it is refused. Opcodes are split by the standard
library's disassembler (`pickletools.genops`), which executes nothing. One file, so that the whole machine can be
audited in one reading.
"""

import dataclasses
import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from cnn.weights.errors import MalformedWeightsError, UnsafeWeightsError

MAX_DEPTH = 64
_MARK = object()
_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, MemoryError)


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that a pickle may mention: what stands for it, and what calling it does (None: it may not be called)."""

    value: Any = None
    call: Callable[..., Any] | None = None


class Deferred:
    """An object that becomes its value after the pickle has been followed to its end."""

    def build(self, state: Any) -> None:
        raise UnsafeWeightsError(f'the pickle sets the state of a {type(self).__name__}')

    def resolve(self) -> Any:
        raise NotImplementedError


class _Dict(dict):
    """An ordered dict of the file; the attributes that PyTorch hangs on it (`_metadata`) are dropped."""


def ordered_dict(pairs: Any = ()) -> dict:
    """Stands in for `collections.OrderedDict`."""
    return _Dict((_key(k), v) for k, v in pairs)


def read_pickle(
    stream: BinaryIO,
    names: Mapping[str, Global],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Reads one pickle from `stream` and leaves it behind the pickle's end.

    Args:
      names: what may be named, `'collections.OrderedDict'` for one.
      persistent: answers persistent ids (PyTorch's storages); without it they are refused.

    Returns:
      dicts, lists, tuples, numbers, strings and whatever `names` makes; `Deferred`s are left to `resolve`.

    Raises:
      UnsafeWeightsError: a name outside the table, or an opcode that plain data does not need.
      MalformedWeightsError: no valid pickle.
    """
    machine = _Machine(names, persistent)
    try:
        with warnings.catch_warnings():
            # The disassembler decodes the escapes of a protocol-0 string and would warn of unknown ones.
            warnings.simplefilter('ignore', DeprecationWarning)
            warnings.simplefilter('ignore', SyntaxWarning)
            for opcode, arg, _ in pickletools.genops(stream):
                machine.step(opcode.name, arg)
        return machine.result()
    except (MalformedWeightsError, UnsafeWeightsError):
        raise
    except _ERRORS as error:
        raise MalformedWeightsError(f'damaged pickle: {error}') from error


def resolve(tree: Any) -> Any:
    """Replaces every `Deferred` in dicts, lists and tuples by its value; shared objects are resolved once.

    Raises:
      MalformedWeightsError: nested deeper than 64, or a cycle.
    """
    done: dict[int, Any] = {}

    def walk(node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise MalformedWeightsError(f'containers nested more than {MAX_DEPTH} deep')
        if isinstance(node, Global):
            return node.value
        if not isinstance(node, (dict, list, tuple, Deferred)):
            return node
        if id(node) not in done:
            if isinstance(node, dict):
                value = {k: walk(v, depth + 1) for k, v in node.items()}
            elif isinstance(node, Deferred):
                value = node.resolve()
            else:
                value = [walk(v, depth + 1) for v in node]
                value = tuple(value) if isinstance(node, tuple) else value
            done[id(node)] = value
        return done[id(node)]

    return walk(tree, 0)


def _key(key: Any) -> Any:
    # Hashing nested tuples can take for ever; no state dict needs them.
    if not isinstance(key, (str, int, float, bytes, type(None))):
        raise MalformedWeightsError(f'a dict key of type {type(key).__name__}')
    return key


class _Machine:
    """The pickle's stack and memo."""

    def __init__(self, names: Mapping[str, Global], persistent: Callable[[Any], Any] | None):
        self.names = names
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.finished = False

    def result(self) -> Any:
        if not self.finished or len(self.stack) != 1:
            raise MalformedWeightsError('the pickle does not end in one object')
        return self.pop()

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise MalformedWeightsError('a mark where the pickle needs a value')
        return value

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def step(self, name: str, arg: Any) -> None:
        if name in _LITERALS:
            self.stack.append(arg)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(items[::-1]))
        elif name in _PUTS:
            self.memo[len(self.memo) if name == 'MEMOIZE' else arg] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memo[arg])
        elif (method := getattr(self, f'do_{name.lower()}', None)) is not None:
            method(arg)
        elif name not in ('PROTO', 'FRAME'):
            raise UnsafeWeightsError(f'the pickle uses {name}, which plain tensors do not need')

    def do_stop(self, _):
        self.finished = True

    def do_mark(self, _):
        self.stack.append(_MARK)

    def do_pop(self, _):
        self.stack.pop()

    def do_pop_mark(self, _):
        self.pop_to_mark()

    def do_dup(self, _):
        self.stack.append(self.stack[-1])

    def do_tuple(self, _):
        self.stack.append(tuple(self.pop_to_mark()))

    def do_list(self, _):
        self.stack.append(self.pop_to_mark())

    def do_dict(self, _):
        items = self.pop_to_mark()
        self.stack.append({_key(k): v for k, v in zip(items[::2], items[1::2], strict=True)})

    def do_append(self, _):
        value = self.pop()
        self.container(list).append(value)

    def do_appends(self, _):
        items = self.pop_to_mark()
        self.container(list).extend(items)

    def do_setitem(self, _):
        value, key = self.pop(), self.pop()
        self.container(dict)[_key(key)] = value

    def do_setitems(self, _):
        items = self.pop_to_mark()
        self.container(dict).update({_key(k): v for k, v in zip(items[::2], items[1::2], strict=True)})

    def container(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise MalformedWeightsError(f'items for a {kind.__name__} go to a {type(self.stack[-1]).__name__}')
        return self.stack[-1]

    def do_global(self, arg):
        # The disassembler joins module and name by a space.
        self.stack.append(self.look_up(*arg.split(' ', 1)))

    def do_stack_global(self, _):
        name, module = self.pop(), self.pop()
        self.stack.append(self.look_up(module, name))

    def look_up(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise MalformedWeightsError('the pickle names something by no string')
        full = f'{module}.{name}'
        if full not in self.names:
            raise UnsafeWeightsError(f'the pickle names {full!r}, which is not among the types of plain tensors')
        return self.names[full]

    def do_reduce(self, _):
        args, function = self.pop(), self.pop()
        if not isinstance(function, Global) or function.call is None or not isinstance(args, tuple):
            raise UnsafeWeightsError('the pickle calls something that may not be called')
        self.stack.append(function.call(*args))

    do_newobj = do_reduce

    def do_build(self, _):
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Deferred):
            target.build(state)
        elif not isinstance(target, _Dict):
            raise UnsafeWeightsError(f'the pickle sets the state of a {type(target).__name__}')

    def do_binpersid(self, _):
        if self.persistent is None:
            raise UnsafeWeightsError('the pickle refers to objects outside itself')
        self.stack.append(self.persistent(self.pop()))


# fmt: off
_LITERALS = frozenset([
    'INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT',
    'STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8',
    'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8',
])
# fmt: on
_CONSTANTS: dict[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_LIST': list,
    'EMPTY_DICT': dict,
    'EMPTY_TUPLE': tuple,
}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_PUTS = frozenset(['PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'])
_GETS = frozenset(['GET', 'BINGET', 'LONG_BINGET'])

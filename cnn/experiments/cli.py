"""From the command line to an experiment: reads and checks the arguments, picks the mode, turns errors into exit codes.

Exit codes: 0 done, 2 a user's mistake (one line on standard error), 1 anything else.
"""

import difflib
import importlib
import pathlib
import re
import sys
from collections.abc import Callable

from absl import flags

from cnn.experiments import cluster, config_file, guard
from cnn.experiments.errors import RunFailed, UserError, nearest
from cnn.ops import huge_pages

# Modes by name; each is a module of this folder with `run(config, workdir, flag_values)`, imported when asked for.
MODES = {
    'train': 'stages',
    'evaluate': 'evaluate',
    'predict': 'predict',
    'cross_validate': 'cross_validate',
    'sweep': 'sweep',
    'summarize': 'summarize',
    'prepare': 'prepare',
    'localize': 'localize',
    'study': 'study',
    'export': 'export',
    'report': 'report_page',
}


# Modes that take what training left; of one in stages, the last one's.
TRAINED = ('evaluate', 'predict', 'localize', 'summarize', 'export')
# Modes that read what is there, whatever the config says now; they need none.
READING = ('report',)


def main(values: flags.FlagValues, argv: list[str]) -> int:
    """Parses `argv`, runs the mode, returns the exit code."""

    def begin() -> int:
        config, workdir = parse(values, argv)
        several = cluster.of(values)
        if several is None:
            return _experiment(config, workdir, values)
        return guard.watched(lambda: _told(lambda: _join(several, config, workdir, values)), several, workdir)

    return _told(begin)


def _told(work: Callable[[], int]) -> int:
    """The exit code of `work`, whose errors are told in the way that fits them."""
    try:
        return work()
    # The rooms below raise ValueError with one line for a user's mistake; everything is checked before compilation.
    except ValueError as error:
        return _complain(error, 2) if _is_plain(error) else _crash(error)
    except RunFailed as error:
        # A checkpoint that could not be saved because another process is gone: which one is the better message.
        return _crash(error) if guard.is_lost(error) else _complain(error, 1)
    except OSError as error:
        # A full disk, no right to write, a workdir that is a file: one line, but no mistake in the arguments.
        return _complain(f'{error.strerror}: {error.filename}' if error.filename else error, 1)
    except KeyboardInterrupt:
        return _complain('interrupted', 1)
    except Exception as error:
        if not guard.is_watched():
            raise
        return _crash(error)


def _join(several: cluster.Cluster, config, workdir: pathlib.Path | None, values: flags.FlagValues) -> int:
    """The mode in one of several processes."""
    cluster.join(several)
    return _experiment(config, workdir, values)


def _experiment(config, workdir: pathlib.Path | None, values: flags.FlagValues) -> int:
    if values.mode not in READING:
        from cnn.experiments import settings, stages  # import JAX: not needed to refuse a misspelt flag

        settings.check(config)
        stages.check(config)
        if values.mode in TRAINED:
            config = stages.final(config, workdir)
    importlib.import_module(f'cnn.experiments.{MODES[values.mode]}').run(config, workdir, values)
    return 0


def prepare_process() -> None:
    """What must happen before anything is imported or started: see cnn/ops/huge_pages.py."""
    huge_pages.enable()


def parse(values: flags.FlagValues, argv: list[str]):
    """Reads the flags into (config, workdir); None for what a mode of `READING` was not given.

    Raises:
      UserError: for anything misspelt, mistyped, missing or left over.
    """
    path, argument = _config_argument(argv)
    if path:
        _check_overrides(_load(path, argument), argv)
    try:
        rest = values(argv)
    except flags.UnrecognizedFlagError as error:
        raise UserError(f'unknown flag --{error.flagname}; {nearest(error.flagname, _flag_names(values))}') from None
    except flags.Error as error:
        raise UserError(_mistyped(str(error))) from None
    if rest[1:]:
        hint = f'write --{rest[1]}' if re.match(r'[\w.]+=', rest[1]) else 'every option is written --name=value'
        raise UserError(f'stray argument {rest[1]!r}; {hint}')
    if values.mode in READING and not (path or values.workdir or values.runs):
        raise UserError(f'--mode={values.mode} needs --workdir=DIR, --runs=DIR,DIR or the --config of a run')
    workdir = values.workdir or (_default_workdir(path, argument) if path else '')
    return values.config, pathlib.Path(workdir) if workdir else None


def _config_argument(argv: list[str]) -> tuple[str, str]:
    """The path and the argument string behind `--config`."""
    given = ''
    for i, word in enumerate(argv[1:], 1):
        if re.fullmatch(r'--?config', word):
            given = argv[i + 1] if i + 1 < len(argv) else ''
        elif match := re.match(r'--?config=(.*)', word, re.DOTALL):
            given = match[1]
        elif re.fullmatch(r'--?(help|helpfull|helpshort)', word):
            return 'configs/resnet.py', ''
    if not given:
        if re.search(rf'(^| )--?mode[= ]({"|".join(READING)})( |$)', ' '.join(argv[1:])):
            return '', ''
        raise UserError(f'no --config given; write for example --config={_configs()[0]}')
    path, _, argument = given.partition(':')
    if not pathlib.Path(path).is_file():
        raise UserError(f'no config file {path}; {nearest(path, _configs())}')
    return path, argument


def _configs() -> list[str]:
    here = pathlib.Path(__file__).resolve().parents[2] / 'configs'
    found = [f'configs/{p.name}' for p in here.glob('*.py') if p.name not in ('__init__.py', 'common.py')]
    found += [f'configs/studies/{p.name}' for p in here.glob('studies/*.py') if p.stem not in ('__init__', 'section')]
    return sorted(found, key=lambda name: (name != 'configs/resnet.py', name))


def _load(path: str, argument: str):
    module = config_file.load(path)
    if not hasattr(module, 'get_config'):
        raise UserError(f'{path} defines no get_config(arg)')
    return module.get_config(argument)


def _check_overrides(config, argv: list[str]) -> None:
    """Each `--config.a.b=...` must name a field; the error names the nearest one."""
    for word in argv[1:]:
        match = re.match(r'--?(?:no)?config\.([\w.]+)', word)
        section = config
        for part in match[1].split('.') if match else ():
            if not hasattr(section, 'keys') or part not in section:
                raise UserError(f'unknown config field {match[1]!r}; {_nearest_field(match[1], _fields(config))}')
            section = section[part]


def _nearest_field(word: str, fields: list[str]) -> str:
    """The nearest full name, else the field whose last part is nearest or has these initials (lr: learning_rate)."""
    ends = {field.rpartition('.')[2]: field for field in reversed(fields)}
    initials = {''.join(part[0] for part in end.split('_')): end for end in ends if '_' in end}
    end = word.rpartition('.')[2]
    near = difflib.get_close_matches(end, initials, n=1, cutoff=0.8) or difflib.get_close_matches(end, ends, n=1)
    close = [ends[initials.get(n, n)] for n in near] or difflib.get_close_matches(word, fields, n=1, cutoff=0.7)
    tops = dict.fromkeys(field.partition('.')[0] for field in fields)
    return f'did you mean {close[0]!r}?' if close else f'there are {", ".join(tops)}'


def _fields(config, prefix: str = '') -> list[str]:
    names = []
    for key, value in config.items():
        names += _fields(value, f'{prefix}{key}.') if hasattr(value, 'keys') else [f'{prefix}{key}']
    return sorted(names)


def _flag_names(values: flags.FlagValues) -> list[str]:
    own = ('config', 'workdir', 'mode', 'images', 'formats', 'runs', 'trials', 'storage', 'coordinator',
           'process_count', 'process_id', 'heartbeat_seconds', 'join_seconds')  # fmt: skip
    return [name for name in own if name in values]


def _mistyped(message: str) -> str:
    """One line from absl's complaint about a value."""
    match = re.match(r'flag --(config\.[\w.]+)=(.*?): (.*)', message, re.DOTALL)
    if not match:
        return message.splitlines()[0]
    field, value, reason = match.groups()
    kinds = {'int()': 'a whole number', 'boolean': 'true or false', 'float': 'a number', 'ConfigDict': None}
    for sign, kind in kinds.items():
        if sign in reason and kind:
            return f'--{field}={value} is wrong: {field} takes {kind}'
        if sign in reason:
            return f'--{field}={value} is wrong: {field} is a section; set one of its fields, as in --{field}.name=...'
    return f'--{field}={value} is wrong: {reason.splitlines()[0]}'


def _default_workdir(path: str, argument: str) -> str:
    """runs/NAME, with the argument string where there is one: runs/resnet_dataset=cifar10,depth=20."""
    name = pathlib.Path(path).stem + (f'_{argument}' if argument else '')
    return f'runs/{re.sub(r"[^A-Za-z0-9=,._-]+", "-", name)[:120]}'


def _is_plain(error: ValueError) -> bool:
    """A mistake is told in one line and raised by this project; a ValueError from inside a library is a crash."""
    message = str(error)
    frames = []
    trace = error.__traceback__
    while trace:
        frames.append(trace.tb_frame.f_globals.get('__name__', ''))
        trace = trace.tb_next
    own = frames[-1].partition('.')[0] in ('cnn', 'input_pipeline', 'configs', '_config_to_check')
    return isinstance(error, UserError) or (own and '\n' not in message.strip())


def _complain(message, code: int) -> int:
    print(f'error: {" ".join(str(message).split())}', file=sys.stderr)
    return code


def _crash(error: Exception) -> int:
    guard.report_crash(error)
    return 1

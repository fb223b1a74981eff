"""Methods that are trained in stages: R-CNN, SPPNet, an FCN from coarse to fine, Faster R-CNN by turns.

The section `stages` of a config names them in `order`; each has a section of its own with what it changes of the
config's fields, and three things more:

- `begin`: whose variables it starts with: '' of the stage before, 'start' those that the run starts with
  (`config.init_from`), or another stage's name.
- `fit`: '' for training by the loop; else, as in 'svm,boxes', what the task's method `fit` solves for (fit.py).
- any text may hold `{NAME}`, the workdir of an earlier stage.

Every stage is a run like any other, with a record, checkpoints and a result: all but the last in WORKDIR/stages/NAME,
the last in WORKDIR itself. A killed run goes on in the stage where it stood.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ml_collections import ConfigDict

from cnn.experiments import build, fit, grid, group, settings, tasks, train
from cnn.experiments.errors import UserError, nearest
from cnn.experiments.members import Member
from cnn.training.log import to_json

# What a stage's section holds beside the fields it changes.
OWN = ('begin', 'fit')
START = 'start'


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of them: the config that it runs with, and what it solves for where it is not trained by the loop."""

    name: str
    config: Any
    fit: tuple[str, ...] = ()


def run(config, workdir: pathlib.Path, flags=None) -> dict[str, Any]:
    """`--mode=train`: one stage after another, or the one training of a config without; {} where it was stopped."""
    result = {}
    for stage in of(config, lambda name: place(config, workdir, name)):
        own = place(config, workdir, stage.name)
        if stage.name and (result := finished(stage, own)):
            continue
        if stage.name:
            print(f'stage {stage.name} in {own}: {_own(config, stage.name)}')
        result = fit.run(stage.config, own, stage.fit) if stage.fit else train.run(stage.config, own, flags)
        if not result:
            break
    return result


def run_parts(
    source: Any, parts: Sequence[group.Part], workdir: pathlib.Path, **options: Any
) -> tuple[list[group.Outcome], str]:
    """`group.run` for parts that may have stages: each stage with all of them before the next.

    Args:
      options: what `group.run` takes. Only the last stage's evaluations are told to `scored`.
    """
    order = names(parts[0].config)
    if any(names(part.config) != order for part in parts):
        raise UserError('config.stages.order cannot differ between the parts of one run')
    if not order:
        return group.run(source, parts, workdir, **options)
    left, outcomes, used = list(parts), [], ''
    for i, name in enumerate(order):
        where, last = place(parts[0].config, workdir, name), name == order[-1]
        turn = [_turn(part, workdir, i) for part in left]
        if turn and turn[0][1]:
            outcomes = [_solve(source, part, where, solved, options) for part, solved in turn]
        else:
            known = [_turn(part, workdir, i)[0] for part in options.get('known', ())]
            # What the next stage begins with.
            quiet = {} if last else {'pictures': False, 'scored': None, 'own_checkpoints': True}
            own = [part for part, _ in turn]
            outcomes, used = group.run(source, own, where, **{**options, 'known': known, **quiet})
        ended = {outcome.part.name for outcome in outcomes}
        left = [part for part in left if part.name in ended]
    return [dataclasses.replace(o, part=p) for o, p in zip(outcomes, left, strict=True)], used or 'sequential'


def _turn(part: group.Part, workdir: pathlib.Path, i: int) -> tuple[group.Part, tuple[str, ...]]:
    """A part as stage `i` has it, and what that stage solves for."""
    stage = of(part.config, lambda name: group.folder(place(part.config, workdir, name), part))[i]
    return dataclasses.replace(part, config=stage.config), stage.fit


def _solve(source, part: group.Part, workdir: pathlib.Path, solved, options) -> group.Outcome:
    if done := group.finished(part, workdir):
        return done
    own, test = source.select(part.train), source.select(part.test)
    test.split = group.HELD_OUT
    info = build.measured(part.config, own, None)
    member = Member(part.config, group.folder(workdir, part), own, test, info, part.name)
    shown = {name: options[name] for name in ('pictures', 'quiet') if name in options}
    result, scored = fit.solve(member, solved, **shown)
    predictions = scored.collector.table()
    predictions['index'] = part.test[predictions['index']]
    return group.keep(group.Outcome(part, result, predictions), workdir)


def of(config, place: Callable[[str], pathlib.Path]) -> list[Stage]:
    """The stages in their order, each with its config; for a config without stages the config itself, named ''.

    Args:
      place: a stage's workdir.

    Raises:
      UserError: a stage without a section or named twice, a field that the config lacks or of another type, a stage to
        begin from or to refer to that does not come before.
    """
    order = names(config)
    if not order:
        return [Stage('', config)]
    found = []
    for i, name in enumerate(order):
        if name not in config.stages or not hasattr(config.stages[name], 'items'):
            sections = [key for key, value in config.stages.items() if hasattr(value, 'items')]
            raise UserError(f'config.stages.order names {name!r}, which has no section; {nearest(name, sections)}')
        section, before = config.stages[name], order[:i]
        begin = section.get('begin', '') or (before[-1] if before else START)
        if begin not in (START, *before):
            raise UserError(f'config.stages.{name}.begin={begin!r}: {nearest(begin, [START, *before])}')
        values = {path: _value(config, name, path, section, before, place) for path in grid.paths(section)
                  if path not in OWN}  # fmt: skip
        if begin != START:
            # A stage may add layers to the network of the one before.
            values = {'init_from': str(place(begin)), 'replace_head': True} | values
        own = grid.applied(config, values | {'stages': ConfigDict({'order': ''})})
        solved = tuple(filter(None, section.get('fit', '').split(',')))
        found.append(Stage(name, own, solved))
    return found


def names(config) -> list[str]:
    """The stages by name, in their order; none for a config that trains at once."""
    order = [name.strip() for name in config.stages.order.split(',') if name.strip()]
    if len(set(order)) < len(order):
        raise UserError(f'config.stages.order={config.stages.order!r} names a stage twice')
    return order


def place(config, workdir: pathlib.Path, name: str) -> pathlib.Path:
    """The workdir of a stage: the run's own for the last one."""
    order = names(config)
    return workdir if not order or name == order[-1] else workdir / 'stages' / name


def final(config, workdir: pathlib.Path) -> Any:
    """The config of the last stage, which is the one that scores and predicts."""
    own = of(config, lambda name: place(config, workdir, name))[-1].config
    began = _record(workdir, 'config.json').get('init_from', '')
    if names(config) and pathlib.Path(began).parts[-2:] == pathlib.Path(own.init_from).parts[-2:]:
        # A workdir may have been moved since.
        own.init_from = began
    return own


def check(config) -> None:
    """Raises a UserError for the first stage that is not right, or whose settings are not (settings.check)."""
    for stage in of(config, lambda name: pathlib.Path(name)):
        tasks.kind(stage.config)
        settings.check(stage.config)


def check_varied(config, paths: Iterable[str]) -> None:
    """Raises a UserError for a field that every stage sets itself: to vary it would do nothing."""
    order = names(config)
    for path in sorted(paths):
        if order and all(path in grid.paths(config.stages[name]) for name in order):
            raise UserError(f'every stage sets {path} itself; vary stages.{order[-1]}.{path}')


def finished(stage: Stage, workdir: pathlib.Path) -> dict[str, Any]:
    """The result of a stage that has come to its end with the same settings; {} where it has not."""
    result = _record(workdir, 'result.json')
    return result if result.get('config') == to_json(stage.config.to_dict()) else {}


def _record(workdir: pathlib.Path, file: str) -> dict[str, Any]:
    """What a run wrote down; {} where it has not, or not to the end."""
    try:
        return json.loads((workdir / file).read_text())
    except (OSError, ValueError):
        return {}


def _own(config, name: str) -> str:
    """What a stage sets, whatever the command line says of these fields."""
    section = config.stages[name]
    return ', '.join(f'{path}={settings.field(section, path)}' for path in grid.paths(section)) or 'as the run'


def _value(config, name: str, path: str, section, before: list[str], place) -> Any:
    """What a stage sets the field at `path` to."""
    value = settings.field(section, path)
    try:
        now = settings.field(config, path)
    except (KeyError, AttributeError, TypeError):
        known = nearest(path, [*grid.paths(config), *OWN])
        raise UserError(f'config.stages.{name} sets {path!r}, which the config lacks; {known}') from None
    if isinstance(now, float) and isinstance(value, int):
        value = float(value)
    if type(value) is not type(now):
        raise UserError(f'config.stages.{name}.{path}={value!r} takes {type(now).__name__}')
    if not isinstance(value, str):
        return value
    for referred in re.findall(r'\{(\w+)\}', value):
        if referred not in before:
            raise UserError(f'config.stages.{name}.{path}={value!r}: {referred!r} is no stage before {name}')
    return re.sub(r'\{(\w+)\}', lambda match: str(place(match[1])), value)

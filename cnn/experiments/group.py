"""Trains many models of one experiment on parts of one source: folds, seeds, settings, or all three together.

Layouts: *stacked*, all at once in one compiled step on a device; *spread*, a share of them on each device; or
*sequential*, one after another with the same compiled step, each over all devices. The numbers are the same in each.
"""

import dataclasses
import functools
import json
import pathlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import input_pipeline
from cnn.experiments import build, layouts, train
from cnn.experiments.engine import STATISTICS, TRACED, Engine
from cnn.experiments.errors import RunFailed
from cnn.experiments.members import Member
from cnn.experiments.settings import field
from cnn.training import log
from cnn.training.log import to_json

# Members train for the same number of steps where their parts are as nearly of one size as this.
SAME_SIZE = 0.02
# Shapes of programs that a caller with a cache keeps compiled.
KEPT = 3
# What the examples that a part is tested on are called in its record.
HELD_OUT = 'held_out'


@dataclasses.dataclass(frozen=True)
class Part:
    """One model to train: its settings, and places in the source that it is trained and tested on.

    With `choosing`, the weights that score best on these places are the ones that are tested.
    """

    name: str
    config: Any
    train: np.ndarray
    test: np.ndarray
    choosing: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a part: `result` as in its `result.json`, `predictions` by column for its test examples."""

    part: Part
    result: dict[str, Any]
    predictions: dict[str, np.ndarray]


class Pipelines(NamedTuple):
    """Batches to train on, and to score on: the test parts, what the models were fitted on, what chooses weights."""

    train: Any
    test: Any
    fitted: Any
    choosing: Any


class Stopped(Exception):
    """The run was asked to stop; what is saved goes on from there."""


def run(
    source: Any,
    parts: Sequence[Part],
    workdir: pathlib.Path,
    *,
    layout: str,
    at_once: int = 0,
    tolerant: bool = False,
    pictures: bool = True,
    quiet: bool = False,
    train_scores: bool = False,
    own_checkpoints: bool = False,
    note: Callable[[str], None] = print,
    scored: Callable[[Sequence[Part], int, list[dict[str, float]]], bool] | None = None,
    failed: Callable[[Sequence[Part], Exception], None] | None = None,
    cache: dict[str, Any] | None = None,
    vary: Sequence[str] = (),
    known: Sequence[Part] = (),
) -> tuple[list[Outcome], str]:
    """Trains every part, each with its record in `workdir/members/NAME`; those already finished there are not repeated.

    Args:
      layout: `stacked`, `spread`, `sequential`, or `auto`, which tries them for a few steps and says what it found.
      at_once: the most members to train together; 0 for all.
      tolerant: a member whose loss diverges does not end the others.
      pictures: draw each member's, as a single run has them.
      quiet: print no line a member.
      train_scores: score each member on its training part too, `train_metrics` in its result.
      own_checkpoints: leave each member's last weights in its own workdir in every layout.
      note: is told what was measured.
      scored: is told of every evaluation of parts that train together, (parts, step, each one's metrics); where it
        returns False none of them is wanted any more, their training ends, and they have no outcome.
      failed: is told of parts whose training failed, which then have no outcome; without it the error is raised.
      cache: an empty dict to hand to each of several calls, which then share what is compiled.
      vary: of TRACED, what differs between the parts of those calls.
      known: parts of later calls with the same cache, whose examples are then decoded once with these.

    Returns:
      (the outcomes in the order of the parts, the layout that was used).

    Raises:
      Stopped: on SIGTERM; the same call goes on from there.
    """
    outcomes, used = {}, set()
    for alike in _alike(parts):
        done = {part.name: found for part in alike if (found := finished(part, workdir))}
        outcomes |= done
        if len(done) == len(alike):
            continue
        options = {'tolerant': tolerant, 'pictures': pictures, 'quiet': quiet, 'train_scores': train_scores,
                   'own_checkpoints': own_checkpoints}  # fmt: skip
        unit = _group(source, alike, workdir, note, options, {} if cache is None else cache, vary)
        unit.add([*alike, *known])
        chosen = layouts.choose(unit, alike, layout, at_once)
        used.add(chosen.name)
        # Chunks are of all parts, so that after a crash among their last files they still find their checkpoint.
        for chunk in chosen.chunks(alike):
            left = [part for part in chunk if part.name not in done]
            if not left:
                continue
            chunk = chunk if stack_folder(workdir, chunk).exists() else left
            try:
                trained = unit.train(chunk, chosen, scored)
            except (RunFailed, jax.errors.JaxRuntimeError) as error:
                if failed is None:
                    raise
                failed(chunk, error)
                continue
            outcomes |= {outcome.part.name: outcome for outcome in trained}
    return [outcomes[part.name] for part in parts if part.name in outcomes], ', '.join(sorted(used)) or layout


def _alike(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts whose settings differ in nothing that shapes a program, and that train for the same number of steps."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(_shape(part.config), []).append(part)
    found = []
    for group in groups.values():
        if group[0].config.steps:
            found.append(group)
            continue
        group = sorted(group, key=lambda part: len(part.train))
        start = 0
        for i in range(1, len(group) + 1):
            if i == len(group) or len(group[i].train) > len(group[start].train) * (1 + SAME_SIZE):
                found.append(sorted(group[start:i], key=parts.index))
                start = i
    return found


def _shape(config) -> str:
    """The settings that shape a program, as text."""
    fixed = config.copy_and_resolve_references()
    # Where the variables come from shapes nothing either.
    for name in ('seed', 'init_from', *TRACED):
        section, _, last = name.rpartition('.')
        place = field(fixed, section) if section else fixed
        place[last] = type(place[last])()
    return json.dumps(to_json(fixed.to_dict()), sort_keys=True)


def _group(source, parts: Sequence[Part], workdir, note, options, cache: dict[str, '_Group'], vary) -> '_Group':
    """A group for these parts: an earlier call's where it was compiled for such parts, else a new one."""
    differing = {name for name in TRACED if len({field(part.config, name) for part in parts}) > 1}
    traced = (*sorted(differing | set(vary)), *(STATISTICS if parts[0].config.input.statistics == 'computed' else ()))
    found = _Group(source, parts, workdir, note, options, traced)
    key = json.dumps([_shape(found.config), traced, found.plan.total, found.per_epoch])
    unit = cache.pop(key, found)
    cache[key] = unit
    for old in list(cache)[:-KEPT]:
        del cache[old]
    return unit


class _Group:
    """Parts of one shape, and what is compiled for them in each layout."""

    def __init__(self, source, parts: Sequence[Part], workdir: pathlib.Path, note, options, traced: tuple[str, ...]):
        self.source, self.workdir, self.note = source, workdir, note
        self._options = {name: value for name, value in options.items() if name != 'train_scores'}
        self._train_scores = options['train_scores']
        self.config, self.traced = parts[0].config, traced
        self.plan, self.per_epoch = train.plan_of(self.config, float(np.mean([len(part.train) for part in parts])))
        self._parts: dict[Any, Part] = {}
        self._pieces: dict[str, dict[Any, Any]] = {}
        self._engines: dict[layouts.Layout, Engine] = {}

    def add(self, parts: Sequence[Part]) -> None:
        """Makes these parts known, before their first pipeline."""
        self._parts |= {_data(part): part for part in parts}

    def pipelines(self, chunk: Sequence[Part], layout: 'layouts.Layout') -> tuple['Pipelines', list[Member]]:
        """The batches of these parts, and the members."""
        devices = layout.devices(self.config)
        pieces = self._pieces.setdefault(layout.name, {})
        if missing := {data: part for data, part in self._parts.items() if data not in pieces}:
            # Once for all parts, which share what is decoded.
            seeds = [part.config.seed for part in missing.values()]
            batches = build.train_parts(self.config, self.source, [p.train for p in missing.values()], seeds, devices)
            kinds = [[getattr(p, kind) for p in missing.values()] for kind in ('test', 'train', 'choosing')]
            places = [place if place is not None else np.zeros(1, np.int64) for kind in kinds for place in kind]
            scored, count = build.evaluation_parts(self.config, self.source, places, devices), len(missing)
            scored = [scored[i : i + count] for i in range(0, 3 * count, count)]
            pieces |= dict(zip(missing, zip(batches, *scored, strict=True), strict=True))
        found = [pieces[_data(part)] for part in chunk]
        members = [self._member(part, pipelines[0]) for part, pipelines in zip(chunk, found, strict=True)]
        if devices.members is None:
            return Pipelines(*found[0]), members
        return Pipelines(*(input_pipeline.SideBySide(kind) for kind in zip(*found, strict=True))), members

    def _member(self, part: Part, pipeline) -> Member:
        own, arrays = self.source.select(part.train), getattr(pipeline, 'arrays', {})
        info = build.measured(self.config, own, arrays['image'][part.train] if 'image' in arrays else None)
        place, test = folder(self.workdir, part), self.source.select(part.test)
        # Both are parts of one split; their lines of the record must be told apart.
        test.split = HELD_OUT
        return Member(part.config, place, own, test, info, part.name, self.source)

    def engine(self, layout: 'layouts.Layout', pipeline, info) -> Engine:
        """Compiled once for a layout."""
        if layout not in self._engines:
            self._engines[layout] = Engine(
                self.config,
                info,
                layout.devices(self.config),
                total_steps=self.plan.total,
                steps_per_epoch=self.per_epoch,
                arrays=getattr(pipeline, 'arrays', {}),
                traced=self.traced,
            )
        return self._engines[layout]

    def forget(self, but: 'layouts.Layout') -> None:
        """Frees what other layouts hold on the devices."""
        self._engines = {layout: engine for layout, engine in self._engines.items() if layout == but}

    def train(self, chunk: Sequence[Part], layout: 'layouts.Layout', scored=None) -> list[Outcome]:
        """Trains a chunk to its end and keeps what it predicted; nothing where `scored` gave it up."""
        layout = layout.of(len(chunk))
        batches, members = self.pipelines(chunk, layout)
        engine = self.engine(layout, batches.train, members[0].info)
        alone = engine.devices.members is None
        place = members[0].workdir if alone else stack_folder(self.workdir, chunk)
        watch = functools.partial(scored, chunk) if scored else None
        options = {**self._options, 'watch': watch, 'train_evaluation': batches.fitted if self._train_scores else None}
        options['choosing'] = None if chunk[0].choosing is None else batches.choosing
        training = train.Training(engine, members, place, batches.train, batches.test, self.plan, **options)
        try:
            results = training.run()
        except train.GivenUp:
            return []
        if not results:
            raise Stopped
        outcomes = []
        for part, result, scored in zip(chunk, results, training.scored, strict=True):
            predictions = scored.collector.table()
            outcomes.append(keep(Outcome(part, result, predictions), self.workdir))
        return outcomes


def keep(outcome: Outcome, workdir: pathlib.Path) -> Outcome:
    """Writes down what a part predicted beside its result, so that it is not trained again."""
    log.write_arrays(folder(workdir, outcome.part) / 'predictions.npz', outcome.predictions)
    return outcome


def folder(workdir: pathlib.Path, part: Part) -> pathlib.Path:
    """Where a part's record goes."""
    return workdir / 'members' / part.name


def stack_folder(workdir: pathlib.Path, chunk: Sequence[Part]) -> pathlib.Path:
    """Where parts that train together keep their checkpoints; others have another folder."""
    names = [part.name for part in chunk]
    return workdir / 'members' / f'{names[0]}_to_{names[-1]}_{zlib.crc32("/".join(names).encode()):08x}'


def _data(part: Part) -> Any:
    """What a part's pipelines depend on beside the group's config."""
    choosing = b'' if part.choosing is None else part.choosing.tobytes()
    return part.config.seed, part.train.tobytes(), part.test.tobytes(), choosing


def finished(part: Part, workdir: pathlib.Path) -> Outcome | None:
    """An earlier run's outcome of the same part, whole."""
    place = folder(workdir, part)
    try:
        result = json.loads((place / 'result.json').read_text())
        with np.load(place / 'predictions.npz') as arrays:
            predictions = dict(arrays)
    except (OSError, ValueError):
        return None
    return Outcome(part, result, predictions) if result['config'] == to_json(part.config.to_dict()) else None


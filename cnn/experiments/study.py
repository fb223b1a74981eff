"""`--mode=study`: the arms of a question, several seeds each, trained as members, and a verdict on what is claimed.

The section `study` of a config says what is compared (configs/studies/section.py); arms are trained on the training
split and scored on the evaluation split by group.py, which every other experiment with several models uses as well.
"""

import contextlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cnn.analysis.study_table import Row, Table
from cnn.experiments import activations, arms, build, cost, group, stages, study_report, train
from cnn.experiments.errors import UserError, nearest
from cnn.plots import curves
from cnn.plots import study as plots
from cnn.training import log, loop
from cnn.training.lock import WorkdirLock
from input_pipeline.joined import Joined, stratified_subset

# The names of a run's metrics begin with the key; the value is where they stand in its result.
_SCORES = {'': 'metrics', 'fit_': 'train_metrics'}


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Returns what `study.json` holds, {} where the run was stopped before its end."""
    if 'study' not in config:
        raise UserError('--mode=study needs a config with a section study, as configs/studies/degradation.py')
    _virtual_devices(config.study.devices)
    with WorkdirLock(workdir):
        try:
            return Study(config, workdir).run()
        except group.Stopped:
            print(f'{workdir}: stopped; the same command goes on from there')
            return {}


def _virtual_devices(count: int) -> None:
    """Gives the CPU that many devices, where it is not too late; on accelerators this changes nothing."""
    if not count:
        return
    # An error where JAX has looked at the devices already.
    with contextlib.suppress(RuntimeError):
        jax.config.update('jax_num_cpu_devices', count)
    if len(jax.local_devices()) < count:
        raise UserError(f'config.study.devices={count}: there are {len(jax.local_devices())}; take as many or fewer')


class Study:
    """One study in a workdir."""

    def __init__(self, config, workdir: pathlib.Path):
        self.config, self.workdir = config, workdir
        self.arms = arms.of(config)
        if config.study.seeds < 1:
            raise UserError(f'config.study.seeds={config.study.seeds} must be at least 1')
        if (kind := config.study.show.kind) not in plots.KINDS:
            raise UserError(f'config.study.show.kind={kind!r} is unknown; {nearest(kind, plots.KINDS)}')
        self.seeds = tuple(config.seed + k for k in range(config.study.seeds))
        if config.study.layer:
            networks = {str(arm.config.model): arm.config for arm in self.arms}
            for own in networks.values():
                activations.check(own, build.num_classes(own), config.study.layer)
        self.source = Joined([build.source(config, config.input.train_split),
                              build.source(config, build.evaluation_split(config))])  # fmt: skip

    def run(self) -> dict[str, Any]:
        self.workdir.mkdir(parents=True, exist_ok=True)
        parts = {(arm.name, seed): self._part(arm, seed) for arm in self.arms for seed in self.seeds}
        lost: dict[str, int] = {}

        def failed(chunk: Sequence[group.Part], error: Exception) -> None:
            if not isinstance(error.__cause__, loop.NonFiniteLoss):
                raise error
            for part in chunk:
                lost[part.name] = error.__cause__.step
                print(f'{part.name}: {error}')

        c = self.config
        outcomes, layout = stages.run_parts(
            self.source, list(parts.values()), self.workdir, layout=self._layout(), at_once=c.folds.at_once,
            tolerant=True, pictures=False, quiet=True, train_scores=True, scored=self._say, failed=failed,
        )  # fmt: skip
        found = {outcome.part.name: outcome for outcome in outcomes}
        runs = {key: self._record(part, found.get(part.name), lost.get(part.name)) for key, part in parts.items()}
        drifts = self._drifts(parts, found) if c.study.layer else {}
        for key, moved in drifts.items():
            runs[key]['drift'] = moved
            runs[key]['metrics']['drift'] = moved['drift']
        table = self._table(runs, self._timings())
        return study_report.write(c, self.workdir, table, runs, layout, len(self.source.places[1]))

    def _part(self, arm: arms.Arm, seed: int) -> group.Part:
        own = arm.config.copy_and_resolve_references()
        own.seed = seed
        train_places, test_places = self.source.places
        name = arm.name.replace(' ', '_')
        if arm.examples:
            labels = self.source.labels[train_places]
            train_places = train_places[stratified_subset(labels, arm.examples, seed)]
            # The number is none of the run's settings, so that its folder must tell it.
            name += '' if 'study.examples' in arm.values else f'_of_{arm.examples}'
        return group.Part(f'{name}_seed_{seed}', own, train_places, test_places)

    def _layout(self) -> str:
        """The config's; where checkpoints are read afterwards, each run keeps its own."""
        return 'sequential' if self.config.study.layer else self.config.folds.layout

    def _say(self, parts: Sequence[group.Part], step: int, metrics: list[dict[str, float]]) -> bool:
        """A line at the end of each run."""
        for part, values in zip(parts, metrics, strict=True):
            if step == train.plan_of(part.config, len(part.train))[0].total:
                print(f'{part.name}: step {step}: ' + '  '.join(f'{n} {v:.4f}' for n, v in values.items()), flush=True)
        return True

    def _record(self, part: group.Part, outcome: group.Outcome | None, lost: int | None) -> dict[str, Any]:
        """What one run came to: metrics, its curves, and where its loss was no longer finite (`lost`) the step."""
        lines = _lines(group.folder(self.workdir, part))
        result = outcome.result if outcome else {}
        metrics: dict[str, float] = {}
        for prefix, key in _SCORES.items():
            metrics |= {prefix + name: value for name, value in result.get(key, {}).items()}
        fields = {}
        if outcome is None or 'diverged_at' in result:
            fields = {'diverged_at': result.get('diverged_at', lost)}
            metrics = dict.fromkeys(metrics or ('loss', 'accuracy', 'fit_loss', 'fit_accuracy'), float('nan'))
            # It says nothing of any image, and is scored as a guess.
            guess = 1 / self.source.info.num_classes
            metrics |= {name: guess for name in metrics if name.endswith('accuracy') and 'top5' not in name}
        else:
            metrics |= _while_training(lines)
        return {'metrics': metrics, 'curves': _curves(lines), 'seed': part.config.seed, **fields}

    def _drifts(self, parts, found) -> dict[tuple[str, int], dict[str, Any]]:
        """Of every run that ended well, how a layer's values moved."""
        places = self.source.places[1]
        # Spread over the split, whose examples may stand by class.
        places = places[np.linspace(0, len(places) - 1, min(activations.IMAGES, len(places))).astype(int)]
        shown = build.shown(self.config, self.source)
        images = np.stack([shown.image(i) for i in places])
        drifts = {}
        for key, part in parts.items():
            if part.name in found and 'diverged_at' not in found[part.name].result:
                place = group.folder(self.workdir, part)
                drifts[key] = activations.of_run(part.config, self.source.info, place, self.config.study.layer, images)
        return drifts

    def _timings(self) -> dict[str, dict[str, list[float]]]:
        """Measured once for a workdir: a killed run need not measure again."""
        if not self.config.study.timing:
            return {}
        place = self.workdir / 'timings.json'
        names = [arm.name for arm in self.arms]
        try:
            known = json.loads(place.read_text())
        except (OSError, ValueError):
            known = {}
        if list(known) != names:
            train_split = self.source.select(self.source.places[0])
            known = cost.timed({a.name: a.config for a in self.arms}, train_split, self.config.study.timing, print)
            log.write_json(place, known)
        return known

    def _table(self, runs: Mapping[tuple[str, int], dict[str, Any]], timings: Mapping[str, Any]) -> Table:
        rows, outputs = [], build.outputs(self.config, self.source.info)
        for arm in self.arms:
            own = [runs[arm.name, seed] for seed in self.seeds]
            metrics = dict.fromkeys(name for found in own for name in found['metrics'])
            values = {name: [_number(found['metrics'].get(name)) for found in own] for name in metrics}
            diverged = {found['seed']: found['diverged_at'] for found in own if 'diverged_at' in found}
            facts = cost.counted(arm.config, outputs)
            rows.append(Row(arm.name, arm.section, arm.values, values, timings.get(arm.name, {}), facts, diverged))
        return Table(tuple(rows), self.seeds)


def _lines(folder: pathlib.Path) -> list[dict[str, Any]]:
    record = folder / 'metrics.jsonl'
    return curves.read(str(record)) if record.is_file() else []


def _curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """By split (`train`, `test`) the record's lines, without what is the same in all."""
    names = {'train': 'train', group.HELD_OUT: 'test'}
    found: dict[str, list[dict[str, float]]] = {'train': [], 'test': []}
    for line in lines:
        if line['split'] in names:
            found[names[line['split']]].append({k: v for k, v in line.items() if k not in ('split', 'learning_rate')})
    return found


def _while_training(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`train_loss` and `train_accuracy`: as the papers plot them, of the batches that were trained on, at the end.

    The mean over the last tenth of the record's windows, augmentation and batch statistics as they were.
    """
    windows = [line for line in lines if line['split'] == 'train']
    last = windows[-max(1, len(windows) // 10) :]
    return {f'train_{name}': float(np.mean([_number(line[name]) for line in last]))
            for name in ('loss', 'accuracy') if last and name in last[0]}  # fmt: skip


def _number(value: float | None) -> float:
    return float('nan') if value is None else float(value)


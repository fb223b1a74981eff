"""A batch of a sweep's trials: trained together, each told to the study as it ends."""

import contextlib
import math
import shutil
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from cnn.experiments import grid, group, settings, stages, storage, train
from cnn.experiments.engine import TRACED
from cnn.experiments.errors import UserError
from cnn.experiments.trials import Slot
from cnn.training.lock import WorkdirLock
from input_pipeline import folds as splitting


class Batch:
    """Trials that train together, from the first round to the last.

    A round is what is trained before a pruner may judge: everything, or with a pruner over folds one fold.
    """

    def __init__(self, sweep: Any, slots: Sequence[Slot], report: Any):
        self.sweep, self.slots, self.report = sweep, slots, report
        self.config, self.metric, self.trials = sweep.config, sweep.metric, sweep.trials
        self.prunes = self.config.sweep.pruner != 'none'
        self.cross = self.config.sweep.objective == 'cross_validate'
        self.started = time.perf_counter()
        self.metrics: dict[str, list[dict[str, float]]] = {slot.name: [] for slot in slots}
        self.made: dict[str, dict[str, Any]] = {}
        self.owner: dict[str, Slot] = {}
        self.lost = False

    def train(self) -> None:
        """Ends every trial of the batch, unless the run is stopped."""
        with contextlib.ExitStack() as stack:
            for slot in self._alive():
                try:
                    stack.enter_context(WorkdirLock(self.sweep.workdir / 'members' / slot.name))
                except ValueError as error:
                    # A worker that was taken for dead and is not.
                    self._ended(slot, self.trials.withdraw(slot, 'busy'), f'left: {error}')
            try:
                self._rounds()
            except ValueError as error:
                for slot in self._alive():
                    self._ended(slot, self.trials.withdraw(slot, str(error)), 'withdrawn')
                raise
            except Exception as error:
                if not isinstance(error, (group.Stopped, *storage.ERRORS)):
                    for slot in self._alive():
                        self._fail(slot, f'{type(error).__name__}: {error}')
                raise
            if not self.lost:
                self._tidy()

    def _alive(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.trial is not None]

    def _rounds(self) -> None:
        folds = self.sweep.folds
        rounds = [[fold] for fold in folds] if self.cross and self.prunes else [folds]
        for k, chosen in enumerate(rounds):
            # Those that ended before a restart train on where the program they stand in needs them.
            taking = [s for s in self.slots if s.trial or (self._layout() != 'sequential' and (k == 0 or s.rounds > k))]
            if not self._alive():
                return
            outcomes = self._run([(slot, fold) for slot in taking for fold in chosen])
            for slot in self._alive():
                self._take(slot, [outcomes.get(self._name(slot, fold)) for fold in chosen])
                if slot.trial and len(rounds) > 1:
                    self.trials.report(slot, self._value(slot), k)
                    if k + 1 < len(rounds):
                        self._judge(slot, f'after {k + 1} of {len(rounds)} folds')
        for slot in self._alive():
            self._complete(slot)

    def _run(self, pairs: list[tuple[Slot, splitting.Fold]]) -> dict[str, group.Outcome]:
        sweep = self.sweep
        sweep.vary |= {path for slot, _ in pairs for path in slot.values if path in TRACED}
        parts = [self._part(slot, fold) for slot, fold in pairs]
        self.owner = {part.name: slot for part, (slot, _) in zip(parts, pairs, strict=True)}
        outcomes, _ = stages.run_parts(
            sweep.source,
            parts,
            sweep.workdir,
            layout=self._layout(),
            at_once=self.config.folds.at_once,
            tolerant=True,
            pictures=False,
            quiet=True,
            scored=self._scored,
            failed=self._failed,
            cache=sweep.cache,
            vary=sorted(sweep.vary),
            known=[self._part(pairs[0][0], fold) for fold in sweep.folds],
        )
        return {outcome.part.name: outcome for outcome in outcomes}

    def _layout(self) -> str:
        """The config's; where that is auto, one that needs no trial, so that a restart finds the same again."""
        if self.config.folds.layout != 'auto':
            return self.config.folds.layout
        return 'sequential' if jax.default_backend() == 'cpu' and len(self.slots) == 1 else 'together'

    def _part(self, slot: Slot, fold: splitting.Fold) -> group.Part:
        own = grid.applied(self.config, slot.values)
        settings.check(own)
        if self.cross:
            # A fold's test part is looked at once, at the end.
            own.evaluation.every_epochs = max(own.epochs, own.evaluation.every_epochs)
        return group.Part(self._name(slot, fold), own, fold.train, fold.test)

    def _name(self, slot: Slot, fold: splitting.Fold) -> str:
        return f'{slot.name}_{fold.name}' if self.cross else slot.name

    def _scored(self, parts: Sequence[group.Part], step: int, metrics: list[dict[str, float]]) -> bool:
        """Looks at an evaluation of parts that train together; whether any of them is still wanted."""
        for part, values in zip(parts, metrics, strict=True):
            slot = self.owner[part.name]
            if slot.trial is None:
                continue
            value = self._metric(values)
            if not math.isfinite(value):
                self._fail(slot, f'{self.metric} is {value} at step {step}')
            elif not self.cross:
                plan, _ = train.plan_of(part.config, len(part.train))
                self.trials.report(slot, value, max(1, math.ceil(step / plan.evaluate_every - 1e-6)))
                if self.prunes and step < plan.total:
                    self._judge(slot, f'at step {step} of {plan.total}')
        return any(self.owner[part.name].trial for part in parts)

    def _failed(self, parts: Sequence[group.Part], error: Exception) -> None:
        for slot in {id(slot): slot for slot in (self.owner[part.name] for part in parts)}.values():
            if slot.trial:
                self._fail(slot, str(error).strip().splitlines()[0])

    def _metric(self, values: dict[str, float]) -> float:
        if self.metric not in values:
            raise UserError(f'config.checkpoint.best_metric={self.metric!r} is none of {", ".join(values)}')
        # What a finished run's file has as null was not finite.
        return math.nan if values[self.metric] is None else values[self.metric]

    def _take(self, slot: Slot, outcomes: Sequence[group.Outcome | None]) -> None:
        """Notes what a trial's models reached in this round."""
        for outcome in outcomes:
            if slot.trial is None:
                return
            if outcome is None:
                self._fail(slot, 'its training was given up')
            elif 'diverged_at' in outcome.result:
                self._fail(slot, f'the loss is not finite at step {outcome.result["diverged_at"]}')
            elif not math.isfinite(value := self._metric(outcome.result['metrics'])):
                self._fail(slot, f'{self.metric} is {value}')
            else:
                self.metrics[slot.name].append(outcome.result['metrics'])
                self.made[slot.name] = {name: outcome.result[name] for name in ('steps', 'images_per_second')}

    def _value(self, slot: Slot) -> float:
        """The mean over the folds so far; for wilcoxon the last fold's own."""
        values = [self._metric(m) for m in self.metrics[slot.name]]
        return values[-1] if self.config.sweep.pruner == 'wilcoxon' else float(np.mean(values))

    def _judge(self, slot: Slot, when: str) -> None:
        if slot.trial and self.trials.lags(slot):
            self._ended(slot, self.trials.prune(slot, seconds=self._seconds()), f'pruned {when}')

    def _complete(self, slot: Slot) -> None:
        found = self.metrics[slot.name]
        mean = {n: float(np.mean([m[n] for m in found])) for n in found[0] if all(m[n] is not None for m in found)}
        held = self.trials.complete(
            slot, mean[self.metric], metrics=mean, seconds=self._seconds(), **self.made[slot.name]
        )
        self._ended(slot, held, f'{self.metric} {mean[self.metric]:.4f}')

    def _fail(self, slot: Slot, error: str) -> None:
        self._ended(slot, self.trials.fail(slot, error, seconds=self._seconds()), f'failed: {error}')

    def _seconds(self) -> float:
        return (time.perf_counter() - self.started) / len(self.slots)

    def _ended(self, slot: Slot, held: bool, how: str) -> None:
        self.lost |= not held
        self.report.ended(slot, how if held else 'another worker has taken it over')

    def _tidy(self) -> None:
        """Checkpoints are for going on; the best settings are trained anew, on the whole split."""
        for slot in self.slots:
            for place in (self.sweep.workdir / 'members').glob(f'{slot.name}*'):
                shutil.rmtree(place / 'checkpoints', ignore_errors=True)
                with contextlib.suppress(OSError):
                    place.rmdir()

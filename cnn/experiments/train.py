"""`--mode=train`: trains, evaluates, keeps checkpoints, and goes on by itself where a checkpoint stands."""

import contextlib
import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cnn.experiments import build, report, sources
from cnn.experiments.early_stopping import BestWeights
from cnn.experiments.engine import STATISTICS, Engine
from cnn.experiments.errors import RunFailed, UserError
from cnn.experiments.evaluate import exact_statistics
from cnn.experiments.members import Member
from cnn.experiments.scoring import Scored, member
from cnn.metrics import base as metrics_base
from cnn.training import log, loop
from cnn.training.checkpoint import CheckpointError, Checkpoints
from cnn.training.interrupt import Interrupt
from cnn.training.lock import WorkdirLock
from cnn.training.profile import Profile
from cnn.training.progress import Progress

# Settings that a resumed run may have changed: none of them changes the numbers. All others must stay.
FREE = ('log_every_steps', 'checkpoint', 'data_dir', 'manual_dir', 'input.threads', 'input.resident_bytes',
        'input.steps_per_dispatch', 'devices', 'folds', 'sweep', 'profile')  # fmt: skip


class GivenUp(Exception):
    """None of the members is wanted any more; see `Training.watch`."""


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Trains on the config's data set in `workdir`; returns what `result.json` holds, {} where it was stopped."""
    devices = build.replicas(config)
    train_source = build.source(config, config.input.train_split)
    test_source = build.source(config, build.evaluation_split(config))
    _warn_of_shared(train_source, test_source)
    with WorkdirLock(workdir):
        pipeline = build.train_pipeline(config, train_source, devices)
        if Checkpoints(workdir / 'checkpoints').latest_step() is not None:
            pipeline.remember(report.known_bad_examples(workdir))
        evaluation = build.evaluation_pipeline(config, test_source, devices)
        arrays = getattr(pipeline, 'arrays', {})
        info = build.measured(config, train_source, arrays.get('image'))
        only = Member(config, workdir, train_source, test_source, info)
        plan, per_epoch = plan_of(config, len(train_source))
        engine = Engine(config, info, devices, total_steps=plan.total, steps_per_epoch=per_epoch, arrays=arrays)
        results = Training(engine, [only], workdir, pipeline, evaluation, plan).run()
    return results[0] if results else {}


def _warn_of_shared(trains, tests) -> None:
    """Says on standard error that examples which score are trained on too: learning by heart, or a mistake."""
    # Asking a million names takes seconds, and sets of that size come with splits of their own.
    if len(trains) <= 200_000 and (both := sources.shared(trains, tests)):
        said = f'{len(both)} of the {len(tests)} examples that score, of {tests.split}, are trained on as well'
        print(f'warning: {said}', file=sys.stderr, flush=True)


def plan_of(config, examples: float) -> tuple[loop.Plan, float]:
    """When things happen in a run on so many examples, and its steps per epoch."""
    if config.batch_size > examples * 8:
        raise UserError(
            f'config.batch_size={config.batch_size} is over eight epochs of {examples:g} examples; use a smaller one'
        )
    per_epoch = examples / config.batch_size
    if config.steps:
        # So many steps whatever the number of examples; epochs are then shares of the run.
        per_epoch = config.steps / config.epochs

    def steps(epochs):
        return max(epochs * per_epoch, 1.0)

    # Four lines of the record an epoch, unless the config says otherwise.
    every = config.log_every_steps or steps(0.25)
    total = config.steps or max(int(config.epochs * per_epoch), 1)
    evaluate, save = steps(config.evaluation.every_epochs), steps(config.checkpoint.every_epochs)
    return loop.Plan(total, every, evaluate, save), per_epoch


@dataclasses.dataclass
class Training:
    """One run of the loop in `workdir`: one model, or several members at once.

    Attributes:
      engine: what is compiled; trainings of the same shapes may share it.
      members: what is trained, as many as the engine's devices take.
      pipeline, evaluation: batches, which carry the members' axis where the devices do.
      plan: when things happen.
      tolerant: members whose loss stays finite go on when another's does not.
      pictures: whether to draw them at the end.
      quiet: no line a member on the screen.
      own_checkpoints: at the end each of several members is saved in its own workdir too, to begin another run with.
      train_evaluation: the training parts as evaluation batches, to be scored at the end as well: `train_metrics`.
      choosing: evaluation batches of examples that choose each member's best weights; `evaluation` is then looked at
        once, at the end, with these.
      watch: is told of every evaluation, (step, each member's metrics); False from it ends the run with GivenUp.
      scored: each member's final score, once the run is done.
    """

    engine: Engine
    members: list[Member]
    workdir: pathlib.Path
    pipeline: Any
    evaluation: Any
    plan: loop.Plan
    tolerant: bool = False
    pictures: bool = True
    quiet: bool = False
    own_checkpoints: bool = False
    train_evaluation: Any = None
    choosing: Any = None
    watch: Callable[[int, list[dict[str, float]]], bool] | None = None
    scored: list[Scored] = dataclasses.field(default_factory=list)
    _last_score: list[Scored] = dataclasses.field(default_factory=list)

    def run(self) -> list[dict[str, Any]]:
        """What each member's `result.json` holds; nothing where the run was stopped before its end."""
        try:
            return self._run()
        except CheckpointError as error:
            raise RunFailed(str(error)) from error

    def _run(self) -> list[dict[str, Any]]:
        config, devices, plan = self.engine.config, self.engine.devices, self.plan
        started = time.perf_counter()
        with self._checkpoints() as checkpoints:
            self._begin()
            state = self.engine.initial([m.config for m in self.members])
            statistics = {name: [getattr(m.info, name) for m in self.members] for name in STATISTICS}
            advance, self._given = self.engine.bind([m.config for m in self.members], statistics)
            self._scorer = self.engine.scorer(self.evaluation)
            found = checkpoints.restore(devices.to_host(state))
            state = state if found is None else devices.place(found[1])
            first = loop.current_step(state, devices.to_host)
            metric = config.checkpoint.best_metric
            if self.choosing is not None:
                better = metric not in metrics_base.LESS_IS_BETTER
                self._best = BestWeights(self.members, metric, better, devices, resumed=found is not None)
            progress = Progress(plan.total, start_step=first, steps_per_epoch=self.engine.steps_per_epoch)
            with contextlib.ExitStack() as stack:
                self._writers = [
                    stack.enter_context(log.MetricsWriter(m.workdir, start_step=first or None)) for m in self.members
                ]
                progress, interrupt = stack.enter_context(progress), stack.enter_context(Interrupt())
                profile = stack.enter_context(Profile(config.profile, self.workdir, progress.note))
                plan = dataclasses.replace(plan, boundaries=profile.boundaries)
                advance = profile.around(advance, first)
                state, last = self._fit(state, first, plan, advance, checkpoints, progress, interrupt)
                if last < plan.total:
                    progress.note(f'stopped at step {last} of {plan.total}; the same command goes on from there')
                    return []
                speed = progress.images_per_second()
            last = state.variables(averaged=True)
            variables = last if self.choosing is None else self._best.placed(last)
            self.scored = self._final_score(variables)
            more = self._more(state, variables)
            if self.own_checkpoints and devices.members is not None:
                self._save_each(plan.total, devices.to_host(state))
        return [
            report.finish(
                m.workdir,
                self.engine.task({}),
                score,
                build.shown(config, m.test_images),
                config=m.config,
                steps=plan.total,
                wall_seconds=time.perf_counter() - started,
                images_per_second=speed,
                bad_examples=[*self.pipeline.bad_examples, *self.evaluation.bad_examples],
                faulty_examples=report.faulty_examples(self.pipeline, self.evaluation),
                name=m.name,
                pictures=self.pictures,
                quiet=self.quiet,
                **fields,
            )
            for m, score, fields in zip(self.members, self.scored, more, strict=True)
        ]

    def _more(self, state, variables) -> list[dict[str, Any]]:
        """Each member's further fields of `result.json`."""
        bad_steps = np.atleast_1d(self.engine.devices.to_host(state.bad_step))
        fields = [{'diverged_at': int(bad)} if bad >= 0 else {} for bad in bad_steps]
        if self.train_evaluation is not None:
            scorer = self.engine.scorer(self.train_evaluation)
            scored = scorer(variables, self._given)
            fields = [own | {'train_metrics': score.values} for own, score in zip(fields, scored, strict=True)]
        if self.choosing is not None:
            fields = [own | {'chosen_step': at} for own, at in zip(fields, self._best.steps(), strict=True)]
        return fields

    def _checkpoints(self) -> Checkpoints:
        c = self.engine.config.checkpoint
        runs = [{**m.config.to_dict(), 'data': m.train.fingerprint()} for m in self.members]
        together = {m.name: run for m, run in zip(self.members, runs, strict=True)}
        alone = self.engine.devices.members is None
        return Checkpoints(
            self.workdir / 'checkpoints',
            keep=c.keep,
            best_metric=c.best_metric,
            best_mode='min' if c.best_metric in metrics_base.LESS_IS_BETTER else 'max',
            fingerprint=runs[0] if alone else together,
            free_keys=FREE if alone else [f'{name}.{key}' for name in together for key in FREE],
        )

    def _save_each(self, at: int, state) -> None:
        for e, m in enumerate(self.members):
            with Checkpoints(m.workdir / 'checkpoints', keep=1) as own:
                own.save(at, member(state, e, self.engine.devices), self.scored[e].values, force=True)

    def _begin(self) -> None:
        for m in self.members:
            m.workdir.mkdir(parents=True, exist_ok=True)
            if self.engine.devices.process_index == 0:
                log.write_json(m.workdir / 'config.json', m.config.to_dict())
                log.write_json(m.workdir / build.DATASET_FILE, dataclasses.asdict(m.info))

    def _final_score(self, variables) -> list[Scored]:
        """The last evaluation of the run; made anew where there was none or statistics are to be recomputed first."""
        devices = self.engine.devices
        if self.engine.config.evaluation.recompute_statistics:
            host = devices.to_host(variables)
            exact = [
                exact_statistics(m.config, m.train, m.info, member(host, e, devices))
                for e, m in enumerate(self.members)
            ]
            joined = exact[0] if devices.members is None else jax.tree.map(lambda *x: np.stack(x), *exact)
            return self._scorer(devices.place(joined), self._given)
        return self._last_score or self._scorer(variables, self._given)

    def _fit(self, state, first, plan, advance, checkpoints, progress, interrupt):
        to_host, shown = self.engine.devices.to_host, self.members[0]

        def on_log(at, window):
            for e, m in enumerate(self.members):
                values = metrics_base.compute(member(window, e, self.engine.devices))
                values |= {'learning_rate': self.engine.rate(at - 1, m.config)}
                self._writers[e].write(at, 'train', values)
                self._writers[e].scalars(at, {'images_per_second': progress.images_per_second()})
                if m is shown:
                    progress.update(at, 0, **values)

        def evaluate(now, at):
            variables, choosing = now.variables(averaged=True), self.choosing is not None
            with progress.paused():
                scored = (self._scorer.over(self.choosing) if choosing else self._scorer)(variables, self._given)
            values = [score.values for score in scored]
            if choosing:
                self._best.offer(at, values, variables)
            else:
                self._last_score = scored
            for m, found, writer in zip(self.members, values, self._writers, strict=True):
                split = 'early_stopping' if choosing else m.test.split
                writer.write(at, split, found)
                if not self.quiet:
                    progress.note(m.called(f'step {at}  {split}: {report.line(found)}'))
            # Of several members the mean; each member's own is in its record.
            if self.watch and not self.watch(at, values):
                raise GivenUp
            return {name: float(np.mean([v[name] for v in values])) for name in values[0]}

        def save(now, at, values):
            for writer in self._writers:
                writer.flush()
            report.note_bad_examples(self.workdir, self.pipeline.bad_examples)
            with progress.paused():
                checkpoints.save(at, now if self.engine.devices.members is None else to_host(now), values)

        before = first

        def on_progress(at):
            nonlocal before
            images = (at - before) * self.engine.config.batch_size * len(self.members)
            progress.update(at, images)
            before = at

        try:
            return loop.fit(
                state,
                plan,
                batches=iter(self.pipeline.batches(first)),
                advance=advance,
                per_dispatch=self.engine.per_dispatch,
                to_host=to_host,
                place=self.engine.devices.place,
                on_progress=on_progress,
                on_log=on_log,
                evaluate=evaluate,
                save=save,
                stopping=interrupt.reached,
                tolerant=self.tolerant,
            )
        except loop.NonFiniteLoss as error:
            raise RunFailed(self._non_finite(error, checkpoints)) from error

    def _non_finite(self, error: loop.NonFiniteLoss, checkpoints) -> str:
        at, e = error.step, error.members[0]
        failed = self.members[e]
        index = member(next(iter(self.pipeline.batches(at)))['index'], e, self.engine.devices)
        ids = [failed.train_images.example_id(int(i)) for i in index[:4]]
        checkpoints.wait()
        good = checkpoints.latest_step()
        kept = f'the checkpoint of step {good} is good' if good is not None else 'no checkpoint was saved before'
        return failed.called(
            f'the loss or gradient is not finite at step {at} (learning rate {self.engine.rate(at, failed.config):g}, '
            f'batch of {", ".join(ids)} ...); {kept}; lower optimizer.learning_rate, or set optimizer.clip_norm or '
            'schedule.warmup_epochs'
        )

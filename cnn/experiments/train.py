"""`--mode=train`: trains, evaluates, keeps checkpoints, and goes on by itself where a checkpoint stands."""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from cnn.experiments import build, initialise, report, settings
from cnn.experiments.errors import RunFailed, UserError
from cnn.experiments.evaluate import exact_statistics
from cnn.experiments.scoring import Scorer
from cnn.training import log, loop, optimizer, step
from cnn.training.checkpoint import CheckpointError, Checkpoints
from cnn.training.interrupt import Interrupt
from cnn.training.lock import WorkdirLock
from cnn.training.parallel import Replicas
from cnn.training.progress import Progress

# Settings that a resumed run may have changed: none of them changes the numbers. All others must stay.
FREE = ('log_every_steps', 'checkpoint', 'data_dir', 'manual_dir', 'input.threads', 'input.resident_bytes',
        'input.steps_per_dispatch', 'devices', 'folds')  # fmt: skip


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Trains on the config's data set in `workdir`; returns what `result.json` holds."""
    replicas = build.replicas(config)
    train_source = build.source(config, config.input.train_split)
    test_source = build.source(config, build.evaluation_split(config))
    with WorkdirLock(workdir):
        try:
            return Training(config, workdir, train_source, test_source, replicas).run()
        except CheckpointError as error:
            raise RunFailed(str(error)) from error


@dataclasses.dataclass
class Training:
    """One run: a config on two sources in a workdir. Cross-validation and sweeps make several."""

    config: Any
    workdir: pathlib.Path
    train_source: Any
    test_source: Any
    replicas: Replicas
    _last_score: Any = None

    def run(self) -> dict[str, Any]:
        config, replicas = self.config, self.replicas
        started = time.perf_counter()
        task = build.task(config, self.train_source.info, replicas)
        pipeline = build.train_pipeline(config, self.train_source, replicas)
        evaluation = build.evaluation_pipeline(config, self.test_source, replicas)
        plan = self._plan()
        fingerprint = {**config.to_dict(), 'data': self.train_source.fingerprint()}
        with Checkpoints(
            self.workdir / 'checkpoints',
            keep=config.checkpoint.keep,
            best_metric=config.checkpoint.best_metric,
            best_mode='min' if config.checkpoint.best_metric in ('loss', 'mae') else 'max',
            fingerprint=fingerprint,
            free_keys=FREE,
        ) as checkpoints:
            self._begin(plan)
            rate = self._rate(plan.total)
            state, advance = self._compile(task, pipeline, rate)
            scorer = Scorer(task, evaluation, replicas)
            state = self._resume(checkpoints, state)
            first = int(replicas.to_host(state.step))
            with (
                log.MetricsWriter(self.workdir, start_step=first or None) as writer,
                Progress(plan.total, start_step=first, steps_per_epoch=self._steps_per_epoch()) as progress,
                Interrupt() as interrupt,
            ):
                state, last = self._fit(
                    state, plan, rate, pipeline, advance, scorer, checkpoints, writer, progress, interrupt
                )
                if last < plan.total:
                    progress.note(f'stopped at step {last} of {plan.total}; the same command goes on from there')
                    return {}
                speed = progress.images_per_second()
            scored = self._final_score(scorer, state)
        return report.finish(
            self.workdir,
            task,
            scored,
            build.Resized(self.test_source, build.evaluation_transform(config)),
            config=config,
            steps=plan.total,
            wall_seconds=time.perf_counter() - started,
            images_per_second=speed,
            bad_examples=[*pipeline.bad_examples, *evaluation.bad_examples],
        )

    def _final_score(self, scorer: Scorer, state):
        """The last evaluation of the run; made anew where there was none or statistics are to be recomputed first."""
        variables = state.variables(averaged=True)
        if self.config.evaluation.recompute_statistics:
            exact = exact_statistics(self.config, self.train_source, self.replicas.to_host(variables))
            return scorer(self.replicas.replicate(exact))
        return self._last_score or scorer(variables)

    def _steps_per_epoch(self) -> float:
        return len(self.train_source) / self.config.batch_size

    def _plan(self) -> loop.Plan:
        c, per_epoch = self.config, self._steps_per_epoch()
        total = max(int(c.epochs * per_epoch), 1)

        def steps(epochs):
            return max(epochs * per_epoch, 1.0)

        # Four lines of the record an epoch, unless the config says otherwise.
        every = c.log_every_steps or steps(0.25)
        return loop.Plan(total, every, steps(c.evaluation.every_epochs), steps(c.checkpoint.every_epochs))

    def _begin(self, plan: loop.Plan) -> None:
        self.workdir.mkdir(parents=True, exist_ok=True)
        if self.replicas.process_index == 0:
            log.write_json(self.workdir / 'config.json', self.config.to_dict())
            log.write_json(self.workdir / build.DATASET_FILE, dataclasses.asdict(self.train_source.info))
        if self.config.batch_size > len(self.train_source) * 8:
            size, examples = self.config.batch_size, len(self.train_source)
            raise UserError(f'config.batch_size={size} is over eight epochs of {examples} examples; use a smaller one')

    def _rate(self, total: int):
        section = self.config.schedule
        rate = optimizer.schedule(section, self.config.optimizer.learning_rate, total, self._steps_per_epoch())
        return jax.jit(rate)

    def _compile(self, task, pipeline, rate):
        """The initial state on the devices, and the function that advances it by a list of batches."""
        c, replicas = self.config, self.replicas
        variables = initialise.variables(c, task, build.model(c, self.train_source.info.num_classes))
        frozen, frozen_state = frozen_leaves(c.optimizer.freeze, variables)
        transform = optimizer.create(c.optimizer, rate)
        key = jax.random.key(c.seed)
        batch = initialise.dummy_batch(c.image_size)
        # Shapes are found outside the mapped axis that synchronised batch norm needs.
        alone = build.task(c, self.train_source.info, None)
        metrics = step.zero_metrics(alone, variables, batch, key)
        state = step.create_state(variables, transform, frozen, c.optimizer.ema_decay > 0, metrics)
        one = step.train_step(
            task,
            transform,
            frozen=frozen,
            frozen_state=frozen_state,
            axis_name=replicas.axis_name,
            accumulate=c.optimizer.accumulate_steps,
            ema_decay=c.optimizer.ema_decay,
            unroll=jax.default_backend() == 'cpu',
        )
        arrays = getattr(pipeline, 'arrays', {})
        resident = replicas.replicate(arrays)
        key_data = replicas.replicate(jax.random.key_data(jax.random.fold_in(key, 1)))
        self.per_dispatch = settings.steps_per_dispatch(c) if arrays else 1
        return replicas.replicate(state), advancer(one, replicas, resident, key_data, self.per_dispatch)

    def _resume(self, checkpoints: Checkpoints, state):
        found = checkpoints.restore(self.replicas.to_host(state))
        return state if found is None else self.replicas.replicate(found[1])

    def _fit(self, state, plan, rate, pipeline, advance, scorer, checkpoints, writer, progress, interrupt):
        def on_log(at, values):
            writer.write(at, 'train', {**values, 'learning_rate': float(rate(at - 1))})
            writer.scalars(at, {'images_per_second': progress.images_per_second()})
            progress.update(at, 0, **values)

        def evaluate(now, at):
            with progress.paused():
                self._last_score = scorer(now.variables(averaged=True))
            values = self._last_score[0]
            writer.write(at, self.test_source.split, values)
            progress.note(f'step {at}  {self.test_source.split}: ' + report.line(values))
            return values

        def save(now, at, values):
            writer.flush()
            with progress.paused():
                checkpoints.save(at, now, values)

        first = before = int(self.replicas.to_host(state.step))

        def on_progress(at):
            nonlocal before
            progress.update(at, (at - before) * self.config.batch_size)
            before = at

        try:
            return loop.fit(
                state,
                plan,
                batches=iter(pipeline.batches(first)),
                advance=advance,
                per_dispatch=self.per_dispatch,
                to_host=self.replicas.to_host,
                place=self.replicas.replicate,
                on_progress=on_progress,
                on_log=on_log,
                evaluate=evaluate,
                save=save,
                stopping=interrupt.reached,
            )
        except loop.NonFiniteLoss as error:
            raise RunFailed(self._non_finite(error.step, rate, pipeline, checkpoints)) from error

    def _non_finite(self, at, rate, pipeline, checkpoints) -> str:
        ids = [self.train_source.example_id(int(i)) for i in next(iter(pipeline.batches(at)))['index'][:4]]
        checkpoints.wait()
        good = checkpoints.latest_step()
        kept = f'the checkpoint of step {good} is good' if good is not None else 'no checkpoint was saved before'
        return (
            f'the loss or gradient is not finite at step {at} (learning rate {float(rate(at)):g}, batch of '
            f'{", ".join(ids)} ...); {kept}; lower optimizer.learning_rate, or set optimizer.clip_norm or '
            'schedule.warmup_epochs'
        )


def frozen_leaves(pattern: str, variables: dict[str, Any]) -> tuple[Any, Any]:
    """Booleans over params and over the other collections: what `optimizer.freeze` finds stays as it is."""
    rest = {name: tree for name, tree in variables.items() if name != 'params'}
    if not pattern:
        return jax.tree.map(lambda _: False, variables['params']), jax.tree.map(lambda _: False, rest)
    frozen = optimizer.matching(pattern, variables['params'], 'config.optimizer.freeze')
    if all(jax.tree.leaves(frozen)):
        raise UserError(f'config.optimizer.freeze={pattern!r} freezes every parameter; nothing is left to train')
    # Statistics live under their layer's path (norm1/mean), so that a frozen layer keeps its statistics too.
    return frozen, {name: optimizer.matching(pattern, tree, name, required=False) for name, tree in rest.items()}


def advancer(one, replicas: Replicas, resident, key_data, per_dispatch: int):
    """A function (state, list of host batches) -> state that runs one compiled step, or several in one dispatch."""

    def train_step(state, resident, batch, data):
        return one(state, resident, batch, jax.random.wrap_key_data(data))

    def train_steps(state, resident, batches, data, count):
        return step.many_steps(one)(state, resident, batches, jax.random.wrap_key_data(data), count)

    if per_dispatch == 1:
        compiled = replicas.compile(train_step, batched=(2,), arguments=4, donate=(0,))
        return lambda state, batches: compiled(state, resident, replicas.shard(batches[0]), key_data)
    compiled = replicas.compile(train_steps, batched=(2,), arguments=5, donate=(0,))

    def advance(state, batches):
        count = len(batches)
        padded = batches + [batches[-1]] * (per_dispatch - count)
        stacked = jax.tree.map(lambda *x: np.stack(x), *padded)
        return compiled(state, resident, replicas.shard_steps(stacked), key_data, np.int32(count))

    return advance

"""A stage that is solved for, not trained, as support vector machines and ridge regressions are: the task's `fit`.

`fit(parts, variables, batches, *, seed, note) -> variables`: `parts` says what to solve for, `batches()` goes once
through the training examples, not augmented, in the same order each time.
"""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from cnn.experiments import build, report
from cnn.experiments.engine import Engine
from cnn.experiments.errors import UserError
from cnn.experiments.members import Member
from cnn.experiments.scoring import Scored
from cnn.experiments.train import FREE
from cnn.training import log
from cnn.training.checkpoint import Checkpoints
from cnn.training.lock import WorkdirLock
from cnn.training.processes import is_first


def run(config, workdir: pathlib.Path, parts: tuple[str, ...]) -> dict[str, Any]:
    """Solves for `parts` on the config's training split in `workdir`; returns what `result.json` holds."""
    train, test = build.train_source(config), build.source(config, build.evaluation_split(config))
    with WorkdirLock(workdir):
        member = Member(config, workdir, train, test, build.measured(config, train, None))
        return solve(member, parts)[0]


def solve(member: Member, parts: tuple[str, ...], **shown: Any) -> tuple[dict[str, Any], Scored]:
    """Solves for `parts` on the member's training examples and scores it on its test examples.

    Args:
      shown: what `report.finish` takes, `pictures` and `quiet`.

    Returns:
      What `result.json` holds, and the score.

    Raises:
      UserError: the task has nothing to solve for.
    """
    config, started = member.config, time.perf_counter()
    devices = build.replicas(config)
    task = build.task(config, member.info, None)
    if not hasattr(task, 'fit'):
        raise UserError(f'config.stages: {config.model.name} has nothing to fit; leave `fit` empty')
    member.workdir.mkdir(parents=True, exist_ok=True)
    if is_first():
        log.write_json(member.workdir / 'config.json', config.to_dict())
        log.write_json(member.workdir / build.DATASET_FILE, dataclasses.asdict(member.info))
    engine = Engine(config, member.info, devices, total_steps=1, steps_per_epoch=1.0, arrays={})
    state = devices.to_host(engine.initial([config]))
    pipeline = build.whole_set(config, member.train)
    variables = jax.tree.map(np.asarray, dict(task.fit(
        parts, state.variables(averaged=True), lambda: pipeline, seed=config.seed, note=_note(member)
    )))  # fmt: skip
    evaluation = build.evaluation_pipeline(config, member.test, devices)
    (scored,) = engine.scorer(evaluation)(devices.replicate(variables), {})
    rest = {name: tree for name, tree in variables.items() if name != 'params'}
    # What is averaged over steps is what was solved for, from here on.
    ema = variables if state.ema else state.ema
    state = state.replace(step=np.int32(1), params=variables['params'], model_state=rest, ema=ema)
    record = {**config.to_dict(), 'data': member.train.fingerprint()}
    with Checkpoints(member.workdir / 'checkpoints', keep=1, fingerprint=record, free_keys=FREE) as checkpoints:
        checkpoints.save(1, state, scored.values, force=True)
    with log.MetricsWriter(member.workdir) as writer:
        writer.write(1, member.test.split, scored.values)
    seconds = time.perf_counter() - started
    result = report.finish(
        member.workdir,
        task,
        scored,
        build.shown(config, member.test_images),
        config=config,
        steps=1,
        wall_seconds=seconds,
        images_per_second=len(member.train) / seconds,
        bad_examples=[*pipeline.bad_examples, *evaluation.bad_examples],
        faulty_examples=report.faulty_examples(pipeline, evaluation),
        name=member.name,
        **shown,
    )
    return result, scored


def _note(member: Member):
    return lambda text: print(member.called(text), flush=True)

"""`--mode=evaluate`: scores a checkpoint of the workdir, or the weights of `config.init_from`, on a split."""

import pathlib
import time
from typing import Any

import numpy as np

from cnn.experiments import build, detectors, initialise, recipe, report
from cnn.experiments.scoring import Scorer
from cnn.training import statistics


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Scores on `config.evaluation.split`; returns what `result.json` holds, `steps` those of the checkpoint scored."""
    started = time.perf_counter()
    replicas = build.replicas(config)
    source = build.source(config, build.evaluation_split(config))
    info = build.scored_info(config, workdir, source)
    task = build.task(config, info, replicas)
    pipeline = build.evaluation_pipeline(config, source, replicas)
    module = build.model(config, build.outputs(config, source.info))
    variables, steps = initialise.trained(config, workdir, task, module)
    if config.evaluation.recompute_statistics:
        train_source = build.source(config, config.input.train_split)
        variables = exact_statistics(config, train_source, info, variables)
    if config.task == 'detection':
        own, variables = detectors.truncated(config, variables)
        task = build.task(own, info, replicas)
    scorer = Scorer(lambda _: task, pipeline, replicas)
    (scored,) = scorer(replicas.replicate(variables))
    seconds = time.perf_counter() - started
    workdir.mkdir(parents=True, exist_ok=True)
    return report.finish(
        workdir,
        task,
        scored,
        build.shown(config, source),
        config=config,
        steps=steps,
        wall_seconds=seconds,
        images_per_second=len(source) / seconds,
        bad_examples=pipeline.bad_examples,
        faulty_examples=report.faulty_examples(pipeline),
    )


def exact_statistics(config, train_source, info, variables: dict[str, Any]) -> dict[str, Any]:
    """`variables` with normalisation statistics computed over the whole training set (training/statistics.py)."""
    plain = recipe.without_augmentation(config)
    plain.evaluation.views = 'center'
    task = build.task(plain, info, None)
    # Mixed, as in training: a batch of one class, as many sources are sorted, has other statistics than the whole.
    mixed = train_source.select(np.random.default_rng(config.seed).permutation(len(train_source)))
    return statistics.recompute(task, variables, build.plain_batches(plain, mixed))

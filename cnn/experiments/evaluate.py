"""`--mode=evaluate`: scores a checkpoint of the workdir, or the weights of `config.init_from`, on a split."""

import pathlib
import time
from typing import Any

from cnn.experiments import build, initialise, report
from cnn.experiments.scoring import Scorer
from cnn.training.parallel import Replicas


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Scores on `config.evaluation.split`; returns what `result.json` holds.

    The workdir of a finished training keeps its own `result.json`: weights are scored into the workdir of this call.
    """
    started = time.perf_counter()
    replicas = Replicas(config.devices)
    split = config.evaluation.split
    if split == 'auto':
        split = build.evaluation_split(config, build.source(config, config.input.train_split))
    source = build.source(config, split)
    task = build.task(config, source.info, replicas)
    pipeline = build.evaluation_pipeline(config, source, replicas)
    variables = initialise.trained(config, workdir, task, build.model(config, source.info.num_classes))
    scorer = Scorer(task, pipeline, replicas)
    metrics, states, collector = scorer(replicas.replicate(variables))
    seconds = time.perf_counter() - started
    workdir.mkdir(parents=True, exist_ok=True)
    pictures = task.draw(str(workdir), states, collector, build.Resized(source, build.evaluation_transform(config)))
    return report.finish(
        workdir,
        config=config,
        metrics=metrics,
        steps=0,
        wall_seconds=seconds,
        images_per_second=len(source) / seconds,
        bad_examples=pipeline.bad_examples,
        pictures=pictures,
    )

"""What arms of a study cost: parameters and multiplications, counted, and the time of a step, measured in turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from cnn.analysis import summary
from cnn.experiments import build
from cnn.experiments.engine import Engine
from cnn.experiments.scoring import Scorer

# Dispatches of each arm in one round, whose mean is the round's time.
_CALLS = 3


def counted(config, outputs: int) -> dict[str, int]:
    """`parameters` and `macs` (of one image) of the config's network."""
    found = summary.summarize(build.model(config, outputs), (1, config.image_size, config.image_size, 3), check=False)
    return {'parameters': found.parameters, 'macs': found.macs}


def timed(
    configs: Mapping[str, Any], source: Any, rounds: int, note: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """Seconds of a training step and of scoring a batch, for each config by name, `rounds` of each.

    Every round goes through all configs, so that what else the machine does meets them alike and the ratios of one
    round hold. The first step, which compiles, is in none of them.

    Returns:
      Name -> `step_seconds`, `forward_seconds`: a value a round.
    """
    once = {}
    for name, config in configs.items():
        note(f'compiling {name} to time it')
        once[name] = _prepare(config, source)
    times = {name: {'step_seconds': [], 'forward_seconds': []} for name in configs}
    for _ in range(rounds):
        for name, (step, forward) in once.items():
            times[name]['step_seconds'].append(_seconds(*step))
            times[name]['forward_seconds'].append(_seconds(*forward))
    return times


def _prepare(config, source) -> Sequence[tuple[Callable[[], Any], int]]:
    """What dispatches training, and what scores a batch, both compiled, and how many steps each call of them is."""
    devices = build.replicas(config)
    pipeline = build.train_pipeline(config, source, devices)
    engine = Engine(config, source.info, devices, total_steps=1000, steps_per_epoch=100.0,
                    arrays=getattr(pipeline, 'arrays', {}))  # fmt: skip
    held = {'state': engine.initial([config])}
    advance, given = engine.bind([config])
    batches = pipeline.batches(0)
    batch = [next(batches) for _ in range(engine.per_dispatch)]

    def step():
        held['state'] = jax.block_until_ready(advance(held['state'], batch))

    size = config.evaluation.batch_size or config.batch_size
    evaluation = build.evaluation_pipeline(config, source.select(range(min(size, len(source)))), devices)
    scorer = Scorer(engine.task, evaluation, devices)

    def forward():
        scorer(held['state'].variables(averaged=True), given)

    step()
    forward()
    return (step, engine.per_dispatch), (forward, 1)


def _seconds(run: Callable[[], Any], steps: int) -> float:
    started = time.perf_counter()
    for _ in range(_CALLS):
        run()
    return (time.perf_counter() - started) / (_CALLS * steps)

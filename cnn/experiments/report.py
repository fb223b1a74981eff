"""What a run leaves behind when it is done: `result.json` and the pictures."""

import collections
import json
import pathlib
from typing import Any

from cnn.plots import curves
from cnn.tasks.base import Collector, Task
from cnn.training import log, processes, provenance
from input_pipeline.loader import BadExample


def finish(
    workdir: pathlib.Path,
    task: Task,
    scored: tuple[dict[str, float], dict[str, Any], Collector],
    source: Any,
    *,
    config: Any,
    steps: int,
    wall_seconds: float,
    images_per_second: float,
    bad_examples: list[Any],
    faulty_examples: list[Any] | None = None,
    name: str = '',
    pictures: bool = True,
    quiet: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Writes `result.json`, draws the pictures and prints the result's line; returns the result.

    Args:
      scored: what the scorer returned for the final variables.
      source: gives the pictures their images, `image(i)`.
      faulty_examples: those with boxes that were left out, clipped, or beyond the padding (input_pipeline/targets.py);
        how many boxes have which fault goes into the result, the list into `faulty_examples.json`.
      name: of the member, where several are trained; its line begins with it.
      pictures: whether to draw them.
      quiet: print no line.
      more: further fields of the result.

    With several processes the first one writes; the others return the same result.
    """
    metrics, states, collector = scored
    if faulty_examples:
        counts = (collections.Counter(faulty.faults) for faulty in faulty_examples)
        more['faulty_boxes'] = dict(sum(counts, collections.Counter()))
    result = provenance.result(
        config=config.to_dict(),
        seed=config.seed,
        metrics=metrics,
        steps=steps,
        wall_seconds=wall_seconds,
        images_per_second=images_per_second,
        bad_examples=len(bad_examples),
        **more,
    )
    if not processes.is_first():
        return result
    drawn = task.draw(str(workdir), states, collector, source) if pictures else []
    note_bad_examples(workdir, bad_examples)
    if faulty_examples:
        log.write_json(workdir / 'faulty_examples.json', [faulty._asdict() for faulty in faulty_examples])
    if pictures and (workdir / 'metrics.jsonl').is_file():
        curves.draw(curves.read(workdir / 'metrics.jsonl'), str(workdir / 'curves.png'))
        drawn = ['curves.png', *drawn]
    log.write_json(workdir / 'result.json', result)
    if quiet:
        return result
    print(f'{name}: {line(metrics)}' if name else f'{line(metrics)}\n{workdir}: {", ".join(["result.json", *drawn])}')
    return result


def note_bad_examples(workdir: pathlib.Path, bad_examples: list[Any]) -> None:
    """Writes down what could not be read so far, for a run that goes on from here; of several processes the first."""
    if bad_examples and processes.is_first():
        log.write_json(workdir / 'bad_examples.json', [bad._asdict() for bad in bad_examples])


def faulty_examples(*pipelines: Any) -> list[Any]:
    """The examples, each once, that pipelines met so far whose objects have faults; without boxes there are none."""
    found = {f.id: f for pipeline in pipelines for f in getattr(pipeline, 'faulty_examples', ())}
    return list(found.values())


def known_bad_examples(workdir: pathlib.Path) -> list[BadExample]:
    """What the run of this workdir could not read so far; nothing where the file is absent or another's."""
    try:
        return [BadExample(**row) for row in json.loads((workdir / 'bad_examples.json').read_text())]
    except (OSError, ValueError, TypeError):
        return []


def line(metrics: dict[str, float]) -> str:
    """`loss 0.0412  accuracy 0.9880`."""
    return '  '.join(f'{name} {value:.4f}' for name, value in metrics.items())


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """A finished run's result."""
    return json.loads((workdir / 'result.json').read_text())

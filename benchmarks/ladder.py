"""What each step bought: R-CNN, SPPNet, Fast R-CNN, Faster R-CNN and YOLO on the same images, in one command.

  python benchmarks/ladder.py                                         each config's default on digit_scenes
  python benchmarks/ladder.py --arguments=dataset=voc:photos          your own boxes, with the recipes for photographs
  python benchmarks/ladder.py --arguments=preset=tiny                 to see that it runs
  python benchmarks/ladder.py --untrained --arguments=dataset=voc:photos,variant=L --rungs=rcnn,sppnet,fast_rcnn \
      --rounds=1 --set=input.train_split=all --set=evaluation.split=all  the papers' VGG-16 at their size: times alone

Trains each by `main.py --config=configs/NAME.py` in `--workdir`, where a run that stands goes on and a finished one is
not repeated, and then scores them in one process, taking turns: mAP at 0.5, the share of the objects that are proposed,
convolutional passes (counted in the traced program), milliseconds for one image, with the proposals that it needs, and
parameters. Writes `ladder.json`, `ladder.md` and `ladder.png`, beside the papers' own figures. Untrained, each network
has the weights that it would begin with: they say nothing of accuracy, and take the same time.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import tables

ROOT = tables.ROOT
# By config: the name; mAP on VOC 2007's test images and milliseconds for an image, as published for VGG-16 trained on
# VOC 2007 (Girshick 2015, tables 1 and 4, times on a K40 without the proposals' 2 s; Ren et al. 2015, tables 3 and 5,
# with proposals), and for YOLO's own network trained on 2007 and 2012 (Redmon et al. 2016, table 1).
RUNGS = {
    'rcnn': ('R-CNN', 66.0, 47000),
    'sppnet': ('SPPNet', 63.1, 2300),
    'fast_rcnn': ('Fast R-CNN', 66.9, 320),
    'faster_rcnn': ('Faster R-CNN', 69.9, 198),
    'yolo': ('YOLO', 63.4, 22),
}
# Images that are timed one by one.
TIMED = 24


def train(name: str, options) -> pathlib.Path:
    """Trains one rung in a process of its own, if it has not come to its end; returns its workdir."""
    workdir = options.workdir / name
    if (workdir / 'result.json').is_file():
        return workdir
    command = [sys.executable, str(ROOT / 'main.py'), f'--config={ROOT}/configs/{name}.py:{options.arguments}',
               f'--workdir={workdir}', *(f'--config.{setting}' for setting in options.set)]  # fmt: skip
    print(f'training {RUNGS[name][0]} in {workdir}', flush=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f'{name}: {done.stderr[-2000:]}')
    return workdir


def config_of(name: str, options, workdir: pathlib.Path | None):
    """The config that a rung was trained with, a field that has been added since at its default; or is to be built."""
    from cnn.experiments import config_file, grid
    from cnn.experiments.errors import UserError

    config = config_file.load(f'{ROOT}/configs/{name}.py').get_config(options.arguments)
    if workdir is None:
        try:
            found = grid.settings_of(config, ';'.join(options.set))
        except UserError as error:
            raise SystemExit(f'{name}: {error}') from None
        if len(found) > 1:
            raise SystemExit(f'{name}: --set takes one value for each field: {options.set}')
        return grid.applied(config, found[0])
    with config.unlocked():
        config.update(config_file.recorded(json.loads((workdir / 'result.json').read_text())['config']))
    return config


class Rung:
    """One detector, compiled for single images: that of `workdir`, or without one as it begins."""

    def __init__(self, name: str, config, workdir: pathlib.Path | None):
        import jax

        from cnn.analysis.passes import convolutional_passes
        from cnn.experiments import build, initialise

        self.result = json.loads((workdir / 'result.json').read_text()) if workdir else None
        self.train_seconds = _train_seconds(workdir) if workdir else None
        config.evaluation.batch_size = 1
        self.source = build.source(config, build.evaluation_split(config))
        info = build.scored_info(config, workdir, self.source) if workdir else self.source.info
        self.task, network = build.task(config, info, None), build.model(config, info.num_classes)
        if workdir:
            self.variables, _ = initialise.trained(config, workdir, self.task, network)
        else:
            self.variables = initialise.variables(config, self.task, network)
        self.batches = list(itertools.islice(build.whole_set(config, self.source), TIMED))
        self.step = jax.jit(self.task.predict)
        self.passes = round(convolutional_passes(self.task, self.variables, self.batches[0]))
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(self.variables['params']))
        self.search = build.finder(config)
        self.times, self.proposal_times = [], []
        self.detect(0)

    def detect(self, i: int) -> None:
        import jax

        jax.block_until_ready(self.step(self.variables, self.batches[i % len(self.batches)]))

    def measure(self, i: int) -> None:
        """Times one image, and the proposals that come to it from outside the network."""
        started = time.perf_counter()
        self.detect(i)
        self.times.append(time.perf_counter() - started)
        if self.search is not None:
            image = self.source.read(i % len(self.source))['image']
            started = time.perf_counter()
            next(iter(self.search.find([image])))
            self.proposal_times.append(time.perf_counter() - started)

    def row(self, name: str) -> dict:
        label, paper_map, paper_ms = RUNGS[name]
        metrics = self.result['metrics'] if self.result else {}
        return {
            'name': label,
            'map_50': metrics.get('map_50'),
            'proposal_recall': metrics.get('proposal_recall'),
            'passes': self.passes,
            'network_ms': 1000 * statistics.median(self.times),
            'proposal_ms': 1000 * statistics.median(self.proposal_times) if self.proposal_times else 0.0,
            'parameters': self.parameters,
            'train_seconds': self.train_seconds,
            'paper_map': paper_map,
            'paper_ms': paper_ms,
        }


def _train_seconds(workdir: pathlib.Path) -> float:
    """Of all stages, scoring included; not of the search for proposals."""
    results = [workdir / 'result.json', *workdir.glob('stages/*/result.json')]
    return sum(json.loads(path.read_text())['wall_seconds'] for path in results)


def table(rows: list[dict]) -> tables.Table:
    """The rows, printed."""
    found = tables.Table('detector', 'mAP, %', 'objects proposed, %', 'passes an image', 'ms an image',
                         'of them proposals', 'parameters', 'minutes of training', 'the paper: mAP, ms')  # fmt: skip
    for row in rows:
        trained = row['train_seconds']
        found.row(
            row['name'], *(_percent(row[key]) for key in ('map_50', 'proposal_recall')), f'{row["passes"]:,}',
            f'{row["network_ms"] + row["proposal_ms"]:,.1f}', f'{row["proposal_ms"]:,.1f}', f'{row["parameters"]:,}',
            '–' if trained is None else f'{trained / 60:.1f}', f'{row["paper_map"]}, {row["paper_ms"]:,}',
        )  # fmt: skip
    return found


def _percent(value: float | None) -> str:
    return '–' if value is None else f'{100 * value:.1f}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rungs', type=lambda s: s.split(','), default=list(RUNGS))
    parser.add_argument('--arguments', default='', help="of every config: dataset=...,preset=tiny")
    parser.add_argument('--set', action='append', default=[], help='a setting of all: seed=1')
    parser.add_argument('--rounds', type=int, default=48, help='timed images')
    parser.add_argument('--untrained', action='store_true', help='times alone, by weights as they begin')
    parser.add_argument('--json', default='', help='file to write the numbers to')
    parser.add_argument('--workdir', type=pathlib.Path, default=pathlib.Path('runs/ladder'))
    options = parser.parse_args()
    if unknown := set(options.rungs) - set(RUNGS):
        raise SystemExit(f'there is no rung {", ".join(unknown)}; there are {", ".join(RUNGS)}')
    workdirs = {name: None if options.untrained else train(name, options) for name in options.rungs}
    from cnn.plots import ladder

    rungs = {name: Rung(name, config_of(name, options, place), place) for name, place in workdirs.items()}
    for i in range(options.rounds):
        for rung in rungs.values():
            rung.measure(i)
    rows = [rung.row(name) for name, rung in rungs.items()]
    found = table(rows)
    tables.keep(options.json, found.markdown(), rows)
    options.workdir.mkdir(parents=True, exist_ok=True)
    (options.workdir / 'ladder.json').write_text(json.dumps(rows, indent=2))
    (options.workdir / 'ladder.md').write_text(found.markdown() + '\n')
    images = len(next(iter(rungs.values())).source)
    if not options.untrained:
        ladder.draw(rows, str(options.workdir / 'ladder.png'), title=f'{images} images')


if __name__ == '__main__':
    main()

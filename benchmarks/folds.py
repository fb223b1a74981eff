"""Five folds of ResNet-20 at once, one after another, and as PyTorch would train them: a step of all five, in turns.

    python benchmarks/folds.py [--folds=5] [--batch=128] [--rounds=5] [--contestants=...] [--json=FILE]

What is timed is one training step of every fold on resident images of 32 x 32 x 3 (the time of the whole
cross-validation is that times its steps): through the project's own engine, each fold with its own rows of the shared
data; `sequential` runs the one compiled step for fold after fold, `unrolled` and `vmap` all folds in one program, and
`one` a single fold. `torch` is a loop over five models as one would write it around scikit-learn's splitter.
Contestants are processes of their own that take turns. On an accelerator 32 steps go to a dispatch, as in the program.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import tables, train_step  # noqa: E402

CONTESTANTS = ('one', 'sequential', 'unrolled', 'vmap', 'torch', 'torch-channels_last')
EXAMPLES = 10_000


def jax_step(kind: str, folds: int, batch: int):
    """Seconds a call: a step of every fold."""
    import jax
    import numpy as np

    from cnn.experiments import settings
    from cnn.experiments.engine import Engine
    from cnn.ops import backend
    from cnn.training.members import Members
    from cnn.training.parallel import Replicas
    from configs import resnet
    from input_pipeline import datasets

    config = resnet.get_config('dataset=cifar10,depth=20')
    config.batch_size = batch
    options = backend.compiler_options()
    stacked = kind in ('unrolled', 'vmap')
    devices = Members(folds, form=kind, compiler_options=options) if stacked else Replicas(1, options)
    rng = np.random.default_rng(0)
    arrays = {
        'image': rng.integers(0, 256, (EXAMPLES, 32, 32, 3), np.uint8),
        'label': rng.integers(0, 10, EXAMPLES, np.int32),
    }
    info = datasets.info('cifar10')
    engine = Engine(config, info, devices, total_steps=1000, steps_per_epoch=100.0, arrays=arrays)
    configs = [config] * folds
    groups = [configs] if stacked else [[config]] * (1 if kind == 'one' else folds)
    bound = [[engine.initial(group), engine.bind(group)[0]] for group in groups]

    def batches():
        shape = (folds, batch) if stacked else (batch,)
        rows = {'index': rng.integers(0, EXAMPLES, shape).astype(np.int32)}
        rows |= {'row': np.broadcast_to(np.arange(batch, dtype=np.int32), shape).copy(), 'mask': np.ones(shape, 'f4')}
        return [rows] * settings.steps_per_dispatch(config)

    def run() -> float:
        started = time.perf_counter()
        for pair in bound:
            pair[0] = pair[1](pair[0], batches())
        jax.block_until_ready([pair[0] for pair in bound])
        return (time.perf_counter() - started) / settings.steps_per_dispatch(config)

    return run


def torch_step(folds: int, batch: int, layout: str):
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    images = torch.randint(0, 256, (EXAMPLES, 3, 32, 32), dtype=torch.uint8, device=device)
    labels = torch.randint(10, (EXAMPLES,), device=device)
    models = [train_step.cifar_resnet(torch.nn, 10).to(device) for _ in range(folds)]
    if layout:
        models = [model.to(memory_format=torch.channels_last) for model in models]
    optimizers = [torch.optim.SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=1e-4) for m in models]

    def run() -> float:
        started = time.perf_counter()
        for model, optimizer in zip(models, optimizers, strict=True):
            rows = torch.randint(EXAMPLES, (batch,), device=device)
            inputs = images[rows].float().div_(255).sub_(0.5).div_(0.25)
            if layout:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), labels[rows]).backward()
            optimizer.step()
        if device == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return run


def work(name: str, folds: int, batch: int) -> None:
    """A contestant's process: for each number on the standard input, the seconds of so many steps."""
    if name.startswith('torch'):
        run = torch_step(folds, batch, name.partition('-')[2])
    else:
        from cnn.ops import huge_pages

        huge_pages.enable()
        run = jax_step(name, folds, batch)
    for line in sys.stdin:
        count = int(line.split()[1])
        print(json.dumps([run() for _ in range(count)]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folds', type=int, default=5)
    parser.add_argument('--batch', type=int, default=128)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--contestants', default='one,sequential,unrolled,torch,torch-channels_last')
    parser.add_argument('--json', default='', help='file for the table and the machine')
    parser.add_argument('--work', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work, arguments.folds, arguments.batch)
    names = train_step.choices(arguments.contestants, CONTESTANTS, 'contestants')
    print(f'{tables.said(tables.machine())}\n')
    more = (f'--folds={arguments.folds}', f'--batch={arguments.batch}')
    contestants = {name: train_step.Contestant(name, more, __file__) for name in names}
    first = {name: contestant.run('train', 2)[0] for name, contestant in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _, (name, contestant) in itertools.product(range(arguments.rounds), contestants.items()):
        times[name] += contestant.run('train', 3)
    for contestant in contestants.values():
        contestant.close()
    base = times.get('sequential') or times[names[0]]
    over = 'sequential' if 'sequential' in times else names[0]
    table = tables.Table(f'{arguments.folds} folds', 'ms a step of all', f'over {over} (minima)', 'first call, s')
    rows = []
    for name, values in times.items():
        ratios = statistics.median(values) / statistics.median(base), min(values) / min(base)
        rows.append({'contestant': name, 'median_ms': statistics.median(values) * 1e3, 'ratio': ratios[0],
                     'ratio_of_minima': ratios[1], 'first_call_seconds': first[name]})  # fmt: skip
        text = f'{rows[-1]["median_ms"]:.0f}', f'{ratios[0]:.2f} ({ratios[1]:.2f})', f'{first[name]:.1f}'
        table.row(name, *text)
    tables.keep(arguments.json, table.markdown(), rows)
    return None


if __name__ == '__main__':
    main()

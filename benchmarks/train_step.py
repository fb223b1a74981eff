"""Training and evaluation steps beside PyTorch's, network by network, on one machine in one run.

    python benchmarks/train_step.py [--networks=resnet20,resnet50] [--rounds=7] [--contestants=...] [--json=FILE]

A training step is forward, backward and an SGD update with momentum; here it is the project's own (its task, with
metrics and a check for finite numbers), fed raw uint8 images, while PyTorch is fed normalised ones. Each contestant is
a process of its own, as a user would start it: in one process PyTorch's threads spin after their work and hold the
cores. They take turns, round after round; shown are medians of a step's milliseconds, the ratio to PyTorch
channels_last (of the minima in brackets: on a busy machine the more honest number) and the seconds of the first call.
`jax-plain` is this project with XLA's own operations, which is what plain Flax runs; `torch-compile` takes minutes to
start. Needs benchmarks/requirements.txt.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import tables  # noqa: E402

CONTESTANTS = ('jax', 'jax-plain', 'torch', 'torch-channels_last', 'torch-compile')
BASE = 'torch-channels_last'

# Name: (batch, side, classes), what `cnn.models.create` takes, torchvision's name (or None: written below).
NETWORKS = {
    'resnet20': ((128, 32, 10), ('resnet', {'depth': 20, 'stem': 'cifar'}), None),
    'resnet18': ((8, 224, 1000), ('resnet', {'depth': 18}), 'resnet18'),
    'resnet50': ((8, 224, 1000), ('resnet', {'depth': 50}), 'resnet50'),
    'vgg16': ((8, 224, 1000), ('vgg', {'variant': '16'}), 'vgg16'),
    'alexnet': ((32, 224, 1000), ('alexnet', {'variant': 'torchvision'}), 'alexnet'),
    'alexnet-grouped': ((32, 227, 1000), ('alexnet', {'towers': 2}), None),
    'googlenet': ((8, 224, 1000), ('googlenet', {'variant': 'torchvision', 'auxiliary': True}), 'googlenet'),
    'densenet121': ((8, 224, 1000), ('densenet', {'depth': 121}), 'densenet121'),
}


def jax_steps(network: str):
    """`{'train': step, 'eval': step}`; a step blocks until its results are there."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from cnn import models
    from cnn.ops import backend
    from cnn.tasks.classification import Classification
    from cnn.training import step as steps

    (batch, side, classes), (name, sizes), _ = NETWORKS[network]
    module = models.create(name, num_classes=classes, **sizes)
    task = Classification(module, num_classes=classes, mean=(0.5,) * 3, std=(0.25,) * 3)
    rng = np.random.default_rng(0)
    arrays = {
        'image': rng.integers(0, 256, (batch, side, side, 3), np.uint8),
        'label': rng.integers(0, classes, batch, np.int32),
        'mask': np.ones(batch, np.float32),
        'row': np.arange(batch, dtype=np.int32),
        'index': np.arange(batch, dtype=np.int32),
    }
    key, optimizer = jax.random.key(0), optax.sgd(0.01, momentum=0.9)
    variables = jax.jit(task.init)(key, arrays)
    metrics = steps.zero_metrics(task, variables, arrays, key)
    none = jax.tree.map(lambda _: False, variables)
    frozen, frozen_state = none['params'], {k: v for k, v in none.items() if k != 'params'}
    state = steps.create_state(variables, optimizer, frozen, False, metrics)
    step = steps.train_step(task, optimizer, frozen=frozen, frozen_state=frozen_state)
    options = {} if backend.form() == 'plain' else backend.compiler_options()
    train = jax.jit(step, donate_argnums=0, compiler_options=options)
    evaluate = jax.jit(steps.evaluation_step(task), compiler_options=options)
    arrays = jax.tree.map(jnp.asarray, arrays)

    def train_once():
        nonlocal state
        state = jax.block_until_ready(train(state, {}, arrays, key))

    def evaluate_once():
        jax.block_until_ready(evaluate(state.variables(), {}, arrays)[:2])

    return {'train': train_once, 'eval': evaluate_once}


def torch_steps(network: str, layout: str):
    """The same for PyTorch; `layout` is '', 'channels_last' or 'compile' (channels last too)."""
    import torch
    import torchvision

    torch.manual_seed(0)
    (batch, side, classes), _, name = NETWORKS[network]
    if name:
        extra = {'init_weights': False, 'aux_logits': True} if name == 'googlenet' else {}
        model = getattr(torchvision.models, name)(num_classes=classes, **extra)
    else:
        model = {'resnet20': cifar_resnet, 'alexnet-grouped': grouped_alexnet}[network](torch.nn, classes)
    images, labels = torch.randn(batch, 3, side, side), torch.randint(classes, (batch,))
    if layout:
        model, images = (x.to(memory_format=torch.channels_last) for x in (model, images))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    run = torch.compile(model) if layout == 'compile' else model
    entropy = torch.nn.functional.cross_entropy

    def train_once():
        model.train()
        optimizer.zero_grad()
        out = run(images)
        loss = entropy(out[0] if isinstance(out, tuple) else out, labels)
        if isinstance(out, tuple):  # GoogLeNet's auxiliary heads
            loss = loss + 0.3 * (entropy(out[1], labels) + entropy(out[2], labels))
        loss.backward()
        optimizer.step()

    def evaluate_once():
        model.eval()
        with torch.inference_mode():
            run(images).argmax(1)

    return {'train': train_once, 'eval': evaluate_once}


def cifar_resnet(nn, classes: int):
    """ResNet-20 of He et al. 2015 for images of 32 pixels, projections where the size changes."""

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            self.shortcut = nn.Identity() if stride == 1 else nn.Sequential(*shortcut)

        def forward(self, x):
            y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
            return (y + self.shortcut(x)).relu()

    sizes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
    stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes)
    return nn.Sequential(*stem, *(Block(*s) for s in sizes), *head)


def grouped_alexnet(nn, classes: int):
    """AlexNet as published: two groups at conv2, 4 and 5, response normalisation, overlapping pooling."""

    def conv(inputs, outputs, size, stride=1, padding=0, groups=1):
        return nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups), nn.ReLU()

    def norm_and_pool():
        return nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0), nn.MaxPool2d(3, 2)

    features = (
        *conv(3, 96, 11, 4), *norm_and_pool(), *conv(96, 256, 5, 1, 2, 2), *norm_and_pool(),
        *conv(256, 384, 3, 1, 1), *conv(384, 384, 3, 1, 1, 2), *conv(384, 256, 3, 1, 1, 2), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    dense = [layer for i, o in ((9216, 4096), (4096, 4096)) for layer in (nn.Dropout(), nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*features, nn.Flatten(), *dense, nn.Linear(4096, classes))


def work(contestant: str, network: str) -> None:
    """A contestant's process."""
    if contestant.startswith('torch'):
        serve(torch_steps(network, contestant.partition('-')[2]))
    else:
        serve(jax_steps(network))


def serve(steps: dict) -> None:
    """For each line `kind count` on the standard input, the seconds of so many steps on the output."""
    for line in sys.stdin:
        kind, count = line.split()
        seconds = []
        for _ in range(int(count)):
            start = time.perf_counter()
            steps[kind]()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


class Contestant:
    """A process that does steps when asked."""

    def __init__(self, name: str, more: tuple[str, ...], script: str = __file__):
        command = [sys.executable, script, f'--work={name}', *more]
        environment = os.environ | ({'CNN_LOWERING': 'plain'} if name == 'jax-plain' else {})
        if name == 'jax-plain' or name.startswith('torch'):
            environment.pop('GLIBC_TUNABLES', None)
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def run(self, kind: str, count: int) -> list[float]:
        self.process.stdin.write(f'{kind} {count}\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f'a contestant ended with {self.process.wait()}: {self.process.args}')
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(network: str, names: list[str], kinds: list[str], rounds: int, script: str = __file__) -> list[dict]:
    """One row a contestant and kind: median and least milliseconds, first call, ratios to the base."""
    contestants = {name: Contestant(name, (f'--networks={network}',), script) for name in names}
    # The first step compiles; the second settles allocators and caches.
    first = {(n, k): c.run(k, 2)[0] for (n, c), k in itertools.product(contestants.items(), kinds)}
    times: dict = {key: [] for key in first}
    for _ in range(rounds):
        for (name, contestant), kind in itertools.product(contestants.items(), kinds):
            times[name, kind] += contestant.run(kind, 3)
    for contestant in contestants.values():
        contestant.close()
    rows = []
    for (name, kind), values in times.items():
        row = {'network': network, 'kind': kind, 'contestant': name, 'first_call_seconds': first[name, kind]}
        row |= {'median_ms': statistics.median(values) * 1e3, 'min_ms': min(values) * 1e3}
        if base := times.get((BASE, kind)):
            row['ratio'] = statistics.median(values) / statistics.median(base)
            row['ratio_of_minima'] = min(values) / min(base)
        rows.append(row)
    return rows


def choices(text: str, known, flag: str) -> list[str]:
    chosen = [word for word in text.split(',') if word]
    for word in chosen:
        if word not in known:
            sys.exit(f'--{flag}: no {word!r}; there are {", ".join(known)}')
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', default=','.join(NETWORKS))
    parser.add_argument('--contestants', default='jax,torch,torch-channels_last')
    parser.add_argument('--kinds', default='train,eval')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--json', default='', help='file for the table and the machine')
    parser.add_argument('--work', choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        if arguments.work == 'jax':
            from cnn.ops import huge_pages

            huge_pages.enable()
        return work(arguments.work, arguments.networks)
    names = choices(arguments.contestants, CONTESTANTS, 'contestants')
    kinds = choices(arguments.kinds, ('train', 'eval'), 'kinds')
    print(f'{tables.said(tables.machine())}\n')
    table = tables.Table('network', 'step', 'contestant', 'median ms', f'over {BASE} (minima)', 'first call, s')
    rows = []
    for network in choices(arguments.networks, NETWORKS, 'networks'):
        for row in compare(network, names, kinds, arguments.rounds):
            rows.append(row)
            ratio = f'{row["ratio"]:.2f} ({row["ratio_of_minima"]:.2f})' if 'ratio' in row else ''
            cells = (row['network'], row['kind'], row['contestant'], f'{row["median_ms"]:.0f}', ratio)
            table.row(*cells, f'{row["first_call_seconds"]:.1f}')
    tables.keep(arguments.json, table.markdown(), rows)
    return None


if __name__ == '__main__':
    main()

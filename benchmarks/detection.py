"""Suppression and region pooling beside torchvision's C++ operators, on one machine in one run.

    python benchmarks/detection.py [--works=nms-6000-0.7,align-128] [--rounds=7] [--json=FILE]

Works: `nms-N-T` suppresses N boxes, as proposals lie (twenty around each object), at an overlap of T, all of them kept
that can be; `nms300-N-T` stops at 300, as a proposal layer does (torchvision has no such stop: it cuts afterwards).
`align-R` and `pool-R` describe R regions of a map of 38 x 50 x 512 by 7 x 7 bins (VGG-16 on an image of 600 x 800),
align with two samples a side; `train` is the operator with the gradient of the map. Contestants are processes that take
turns, as in train_step.py; torchvision gets maps in its own layout and channels last, and the faster one counts. Both
sides' results are compared before they are timed. Needs benchmarks/requirements.txt.
"""

import argparse
import subprocess
import sys

import tables
import train_step

WORKS = (
    'nms-1000-0.7', 'nms-2000-0.7', 'nms-6000-0.7', 'nms-6000-0.3', 'nms300-6000-0.7',
    'align-128', 'align-512', 'pool-128', 'pool-512',
)  # fmt: skip
CONTESTANTS = ('jax', 'torch', 'torch-channels_last')
HEIGHT, WIDTH, CHANNELS, STRIDE = 38, 50, 512, 16


def proposals(count: int):
    """`count` boxes in clusters of twenty, and their scores, float32."""
    import numpy as np

    rng = np.random.default_rng(0)
    objects = rng.uniform(0, 1000, (max(count // 20, 1), 2))
    centre = objects[rng.integers(0, len(objects), count)] + rng.normal(0, 10, (count, 2))
    half = np.exp(rng.normal(4.5, 0.4, (count, 2))) / 2
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32), rng.random(count).astype(np.float32)


def regions(count: int):
    """A map `[1, H, W, C]` and `count` boxes of 32 to 500 pixels a side in its image, float32."""
    import numpy as np

    rng = np.random.default_rng(0)
    size = np.array([WIDTH, HEIGHT]) * STRIDE
    centre, half = rng.uniform(0, size, (count, 2)), np.exp(rng.uniform(np.log(32), np.log(500), (count, 2))) / 2
    boxes = np.concatenate([np.clip(centre - half, 0, size), np.clip(centre + half, 0, size)], 1)
    return rng.normal(size=(1, HEIGHT, WIDTH, CHANNELS)).astype(np.float32), boxes.astype(np.float32)


def parse(work: str) -> tuple[str, int, float]:
    name, count, *rest = work.split('-')
    return name, int(count), float(rest[0]) if rest else 0.0


def jax_operators(work: str) -> dict:
    """`forward` and, for pooling, `train`: functions without arguments that block and return NumPy's result."""
    import jax
    import jax.numpy as jnp

    from cnn.ops import backend, nms, roi

    options = {} if backend.form() == 'plain' else backend.compiler_options()
    name, count, threshold = parse(work)
    if name.startswith('nms'):
        boxes, scores = map(jnp.asarray, proposals(count))
        most = 300 if name == 'nms300' else count
        keep = jax.jit(lambda b, s: nms.nms(b, s, iou_threshold=threshold, count=most), compiler_options=options)
        return {'forward': lambda: jax.block_until_ready(keep(boxes, scores))}
    features, boxes = map(jnp.asarray, regions(count))
    boxes = boxes[None]
    operator = {'align': roi.roi_align, 'pool': roi.roi_pool}[name]
    forward = jax.jit(lambda x, b: operator(x, b, scale=1 / STRIDE), compiler_options=options)

    def loss(x, b):
        y = operator(x, b, scale=1 / STRIDE)
        return y.sum(), y

    train = jax.jit(jax.grad(loss, has_aux=True), compiler_options=options)
    return {
        'forward': lambda: jax.block_until_ready(forward(features, boxes)),
        'train': lambda: jax.block_until_ready(train(features, boxes)),
    }


def torch_operators(work: str, layout: str) -> dict:
    """The same of torchvision."""
    import torch
    import torchvision

    name, count, threshold = parse(work)
    if name.startswith('nms'):
        boxes, scores = map(torch.tensor, proposals(count))
        most = 300 if name == 'nms300' else count
        return {'forward': lambda: torchvision.ops.nms(boxes, scores, threshold)[:most]}
    features, boxes = regions(count)
    x = torch.tensor(features).permute(0, 3, 1, 2).contiguous()
    x = (x.to(memory_format=torch.channels_last) if layout else x).requires_grad_()
    rois = torch.cat([torch.zeros(count, 1), torch.tensor(boxes)], 1)

    def operator():
        if name == 'pool':
            return torchvision.ops.roi_pool(x, rois, 7, 1 / STRIDE)
        return torchvision.ops.roi_align(x, rois, 7, 1 / STRIDE, 2, aligned=True)

    def forward():
        with torch.inference_mode():
            return operator()

    def train():
        x.grad = None
        y = operator()
        y.sum().backward()
        return y

    return {'forward': forward, 'train': train}


def difference(work: str) -> float:
    """How far the two sides' results are apart: the most in a value, or the number of boxes chosen differently."""
    import numpy as np

    ours, theirs = jax_operators(work)['forward'](), torch_operators(work, '')['forward']().numpy()
    if work.startswith('nms'):
        index = np.asarray(ours.index)[np.asarray(ours.valid)]
        return float(len(set(index.tolist()) ^ set(theirs.tolist())))
    return float(np.abs(np.asarray(ours)[0] - theirs.transpose(0, 2, 3, 1)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--works', default=','.join(WORKS))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--json', default='', help='file for the table and the machine')
    parser.add_argument('--work', choices=(*CONTESTANTS, 'difference'), help=argparse.SUPPRESS)
    parser.add_argument('--networks', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work == 'difference':
        return print(difference(arguments.networks))
    if arguments.work:
        torch = arguments.work.startswith('torch')
        work, layout = arguments.networks, arguments.work.partition('-')[2]
        return train_step.serve(torch_operators(work, layout) if torch else jax_operators(work))
    print(f'{tables.said(tables.machine())}\n')
    table = tables.Table('work', 'results differ by', 'step', 'this code, ms', 'torchvision, ms', 'ratio (minima)',
                         'first call, s')  # fmt: skip
    rows = []
    for work in train_step.choices(arguments.works, WORKS, 'works'):
        is_nms = work.startswith('nms')
        command = [sys.executable, __file__, '--work=difference', f'--networks={work}']
        apart = float(subprocess.run(command, cwd=train_step.ROOT, check=True, capture_output=True, text=True).stdout)
        names = ['jax', 'torch'] if is_nms else list(CONTESTANTS)
        found = train_step.compare(
            work, names, ['forward'] if is_nms else ['forward', 'train'], arguments.rounds, script=__file__
        )
        rows += found
        for kind in dict.fromkeys(row['kind'] for row in found):
            ours, *theirs = (row for row in found if row['kind'] == kind)
            best = min(theirs, key=lambda row: row['median_ms'])
            ratio, least = (ours[k] / min(row[k] for row in theirs) for k in ('median_ms', 'min_ms'))
            times = f'{ours["median_ms"]:.2f}', f'{best["median_ms"]:.2f}', f'{ratio:.2f} ({least:.2f})'
            table.row(work, f'{apart:.2g}', kind, *times, f'{ours["first_call_seconds"]:.1f}')
    tables.keep(arguments.json, table.markdown(), rows)
    return None


if __name__ == '__main__':
    main()

"""Every kind of convolution: parameters, MACs, and measured time beside PyTorch's, forward and with its gradients.

    python benchmarks/convolutions.py [--kinds=standard,depthwise] [--rounds=7] [--shape=8,56,56,128] [--json=FILE]

Each kind maps 128 to 64 channels by 3x3 on a batch of 8 maps of 56 x 56. Contestants are processes that take turns, as
in train_step.py; PyTorch runs channels last. `forward` is one layer, `train` the layer and the gradients of all its
inputs and weights. Deformable layers include the convolution that predicts their offsets, on either side. Needs
benchmarks/requirements.txt.
"""

import argparse
import sys

import tables
import train_step

FEATURES, KERNEL, GROUPS = 64, 3, 4
SHAPE = (8, 56, 56, 128)


def jax_steps(kind: str, shape) -> dict:
    """`forward` and `train` of the project's layer."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from cnn.models import layers
    from cnn.ops import backend

    features = shape[-1] if kind == 'depthwise' else FEATURES
    module = layers.make_conv(kind, use_bias=False)(features, KERNEL)
    images = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    variables = module.init(jax.random.key(0), images)
    options = {} if backend.form() == 'plain' else backend.compiler_options()
    forward = jax.jit(module.apply, compiler_options=options)
    gradient = jax.jit(
        jax.grad(lambda v, x: jnp.square(module.apply(v, x)).sum(), argnums=(0, 1)), compiler_options=options
    )
    return {
        'forward': lambda: jax.block_until_ready(forward(variables, images)),
        'train': lambda: jax.block_until_ready(gradient(variables, images)),
    }


def torch_steps(kind: str, shape) -> dict:
    """The same of PyTorch's layer, channels last."""
    import torch

    torch.manual_seed(0)
    batch, height, width, inputs = shape
    module = torch_layer(torch, kind, inputs).to(memory_format=torch.channels_last)
    images = torch.randn(batch, inputs, height, width).to(memory_format=torch.channels_last).requires_grad_()

    def forward():
        with torch.inference_mode():
            module(images)

    def train():
        module.zero_grad()
        images.grad = None
        module(images).square().sum().backward()

    return {'forward': forward, 'train': train}


def torch_layer(torch, kind: str, inputs: int):
    """PyTorch's counterpart of a kind of `cnn.models.layers.CONVOLUTIONS`."""
    nn = torch.nn

    def conv(i, o, size=KERNEL, **options):
        padding = options.pop('padding', 'same')
        return nn.Conv2d(i, o, size, padding=padding, bias=False, **options)

    if kind.endswith('deformable'):
        return deformable(torch, inputs, modulated=kind.startswith('modulated'))
    return {
        'standard': lambda: conv(inputs, FEATURES),
        'dilated': lambda: conv(inputs, FEATURES, dilation=2),
        'transposed': lambda: nn.ConvTranspose2d(inputs, FEATURES, KERNEL, padding=KERNEL // 2, bias=False),
        'spatially_separable': lambda: nn.Sequential(
            conv(inputs, FEATURES, (KERNEL, 1)), conv(FEATURES, FEATURES, (1, KERNEL))
        ),
        'grouped': lambda: conv(inputs, FEATURES, groups=GROUPS),
        'pointwise': lambda: conv(inputs, FEATURES, 1),
        'depthwise': lambda: conv(inputs, inputs, groups=inputs),
        'depthwise_separable': lambda: nn.Sequential(conv(inputs, inputs, groups=inputs), conv(inputs, FEATURES, 1)),
    }[kind]()


def deformable(torch, inputs: int, modulated: bool):
    """torchvision's operator behind a convolution that predicts offsets and, if `modulated`, the taps' weights."""
    from torchvision.ops import deform_conv2d

    class Deformable(torch.nn.Module):
        def __init__(self):
            super().__init__()
            taps = KERNEL * KERNEL
            self.predict = torch.nn.Conv2d(inputs, (3 if modulated else 2) * taps, KERNEL, padding='same')
            self.weight = torch.nn.Parameter(torch.randn(FEATURES, inputs, KERNEL, KERNEL) * 0.02)
            self.offsets = 2 * taps

        def forward(self, x):
            predicted = self.predict(x)
            mask = 2 * predicted[:, self.offsets :].sigmoid() if modulated else None
            return deform_conv2d(x, predicted[:, : self.offsets], self.weight, padding=KERNEL // 2, mask=mask)

    return Deformable()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kinds', default='')
    parser.add_argument('--shape', default=','.join(map(str, SHAPE)))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--json', default='', help='file for the table and the machine')
    parser.add_argument('--work', choices=train_step.CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument('--networks', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        kind, shape = arguments.networks.split(':')
        make = torch_steps if arguments.work.startswith('torch') else jax_steps
        return train_step.serve(make(kind, tuple(int(n) for n in shape.split(','))))

    from cnn.analysis import arithmetic
    from cnn.models import layers

    kinds = train_step.choices(arguments.kinds or ','.join(layers.CONVOLUTIONS), layers.CONVOLUTIONS, 'kinds')
    _, height, width, inputs = (int(n) for n in arguments.shape.split(','))
    print(f'{tables.said(tables.machine())}\n')
    table = tables.Table(
        'kind', 'weights', 'MMACs an image', 'step', 'JAX ms', 'PyTorch ms', 'JAX / PyTorch (minima)'
    )
    rows = []
    for kind in kinds:
        groups = {'groups': GROUPS} if kind == 'grouped' else {}
        outputs = inputs if kind == 'depthwise' else FEATURES
        cost = arithmetic.cost(kind, KERNEL, inputs, outputs, bias=False, **groups)
        names = ['jax', train_step.BASE]
        work = f'{kind}:{arguments.shape}'
        found = train_step.compare(work, names, ['forward', 'train'], arguments.rounds, script=__file__)
        by_step = {(row['contestant'], row['kind']): row for row in found}
        for step in ('forward', 'train'):
            ours, theirs = by_step['jax', step], by_step[train_step.BASE, step]
            macs = cost.macs(height * width) / 1e6
            row = {'kind': kind, 'step': step, 'weights': cost.weights, 'mmacs': macs}
            rows.append({**row, 'jax': ours, 'torch': theirs})
            ratio = f'{ours["ratio"]:.2f} ({ours["ratio_of_minima"]:.2f})'
            times_ms = (f'{ours["median_ms"]:.1f}', f'{theirs["median_ms"]:.1f}')
            table.row(kind, f'{cost.weights:,}', f'{macs:,.1f}', step, *times_ms, ratio)
    tables.keep(arguments.json, table.markdown(), rows)
    return None


if __name__ == '__main__':
    sys.exit(main())

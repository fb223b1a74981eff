"""Makes `golden/deform_conv2d.npz` with torchvision; run by hand where it is installed: `python make_deform_golden.py`.

Inputs follow a rule (`filled`), so that the file holds outputs and gradients only. Made with torch 2.14.1, torchvision
0.29.1, CPU.
"""

import pathlib

import numpy as np
import torch
from torchvision.ops import deform_conv2d


def filled(*shape, seed):
    """Values that any language can repeat: sin of an arithmetic progression."""
    return np.sin(seed + 1.7 * np.arange(np.prod(shape))).reshape(shape)


def main() -> None:
    x, weight = filled(2, 4, 6, 5, seed=0), filled(3, 4, 3, 3, seed=1)
    offset, mask = 3 * filled(2, 36, 3, 5, seed=2), filled(2, 18, 3, 5, seed=3)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, offset, weight, mask)]
    arguments = {'stride': (2, 1), 'padding': (1, 2), 'dilation': (1, 2)}
    v2 = deform_conv2d(*tensors[:3], mask=tensors[3], **arguments)
    v1 = deform_conv2d(*tensors[:3], **arguments)
    v2.square().sum().backward()
    arrays = {'v1': v1.detach().numpy(), 'v2': v2.detach().numpy()}
    arrays |= {f'grad_{n}': t.grad.numpy() for n, t in zip(('x', 'offset', 'weight', 'mask'), tensors, strict=True)}
    path = pathlib.Path(__file__).parent / 'golden' / 'deform_conv2d.npz'
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **{name: a.astype(np.float32) for name, a in arrays.items()})


if __name__ == '__main__':
    main()

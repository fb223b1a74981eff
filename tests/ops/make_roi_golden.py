"""Makes `golden/roi.npz` with torchvision; run by hand where it is installed: `python make_roi_golden.py`.

Inputs follow rules (`filled`, `BOXES`), so that the file holds outputs and gradients only. Made with torch 2.14.1,
torchvision 0.29.1, CPU.
"""

import pathlib

import numpy as np

SCALE, SIZE = 0.25, (3, 2)
# Inside, over every border, all outside, without area, inverted, whole image, far larger than the image.
BOXES = np.float32([
    [[3, 2, 30, 21], [-9, -7, 13, 9], [20.3, 11.1, 60, 44], [0, 0, 36, 28], [60, 50, 80, 90], [5, 5, 5, 5]],
    [[17.9, 3.3, 19.1, 25.7], [30, 20, 10, 4], [-60, -50, -20, -30], [-300, -200, 250, 300], [2, 14, 34, 16],
     [6, 6, 14, 10]],
])  # fmt: skip
ALIGN = {'aligned': (2, True), 'first_release': (2, False), 'adaptive': (0, True), 'adaptive_first': (0, False)}


def filled(*shape, seed):
    """Values that any language can repeat: sin of an arithmetic progression."""
    return np.sin(seed + 1.7 * np.arange(np.prod(shape))).reshape(shape).astype(np.float32)


def main() -> None:
    import torch
    from torchvision.ops import roi_align, roi_pool

    features = filled(2, 7, 9, 4, seed=0)
    number = np.repeat(np.arange(2.0), BOXES.shape[1])[:, None]
    rois = torch.tensor(np.concatenate([number, BOXES.reshape(-1, 4)], 1).astype(np.float32))
    operators = {'pool': lambda x: roi_pool(x, rois, SIZE, SCALE)}
    for name, (ratio, aligned) in ALIGN.items():
        operators[name] = lambda x, r=ratio, a=aligned: roi_align(x, rois, SIZE, SCALE, r, a)
    arrays = {}
    for name, operator in operators.items():
        x = torch.tensor(features.transpose(0, 3, 1, 2).copy(), requires_grad=True)
        y = operator(x)
        # A gradient that differs from bin to bin.
        weights = filled(*BOXES.shape[:2], *SIZE, 4, seed=5).reshape(-1, *SIZE, 4).transpose(0, 3, 1, 2)
        (y * torch.tensor(weights.copy())).sum().backward()
        arrays[name] = y.detach().numpy().transpose(0, 2, 3, 1).reshape(*BOXES.shape[:2], *SIZE, 4)
        arrays[f'{name}_gradient'] = x.grad.numpy().transpose(0, 2, 3, 1)
    path = pathlib.Path(__file__).parent / 'golden' / 'roi.npz'
    np.savez_compressed(path, **{name: a.astype(np.float32) for name, a in arrays.items()})


if __name__ == '__main__':
    main()

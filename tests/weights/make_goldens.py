"""Makes the files of `golden/`; run by hand where PyTorch and torchvision are installed: `python make_goldens.py`."""

import collections
import pathlib

import torch

FOLDER = pathlib.Path(__file__).parent / 'golden'


def make_torch_files() -> None:
    """Two small files of `torch.save`, one of each container."""
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    state = collections.OrderedDict(
        base=base,
        transposed=base.permute(2, 0, 1),
        slice=base[1, ::2, 1:],
        half=torch.tensor([0.5, -2], dtype=torch.float16),
        bfloat16=torch.tensor([1.5, -3], dtype=torch.bfloat16),
        steps=torch.tensor(7),
        mask=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.tensor([1.0, 2.0])),
    )
    for name, zipped in (('zip', True), ('legacy', False)):
        checkpoint = {'epoch': 3, 'arch': 'net', 'state_dict': state}
        torch.save(checkpoint, FOLDER / f'torch_{name}.pth', _use_new_zipfile_serialization=zipped)


if __name__ == '__main__':
    make_torch_files()

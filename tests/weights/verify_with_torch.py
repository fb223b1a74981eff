"""Run by hand where PyTorch is installed, after a change of the reader or writer of `.pth`.

Both directions, both containers: what `torch.save` writes is read here, what is written here `torch.load` reads with
`weights_only=True`. The tests themselves never import torch.
"""

import pathlib
import sys
import tempfile

import jax
import ml_dtypes
import numpy as np
import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from cnn import models, weights
from cnn.weights.pth import read_pth
from cnn.weights.pth_writer import write_pth

TORCH_TYPES = ['float32', 'float64', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool']


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def check_reader(folder: pathlib.Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    state = {f'of_{name}': torch.ones(2, 3).to(getattr(torch, name)) for name in TORCH_TYPES}
    state |= {
        'transposed': base.permute(2, 0, 1),
        'slice': base[1, ::2, 1:],
        'scalar': torch.tensor(7),
        'empty': torch.zeros(0, 3),
        'parameter': torch.nn.Parameter(torch.randn(3)),
        'uint16': torch.ones(3, dtype=torch.uint16),
    }
    shared = {'epoch': 3, 'best': 0.5, 'arch': 'net', 'size': torch.Size([1, 2]), 'state_dict': state}
    network = torchvision.models.resnet18(weights=None)
    for value in (shared, network.state_dict(), {'optimizer': torch.optim.SGD(network.parameters(), 0.1).state_dict()}):
        for zipped in (True, False):
            path = folder / 'reader.pth'
            torch.save(value, path, _use_new_zipfile_serialization=zipped)
            read = read_pth(path)
            tensors = value.get('state_dict', value)
            got = read.get('state_dict', read)
            assert list(got) == list(tensors)
            for name, tensor in tensors.items():
                if isinstance(tensor, torch.Tensor):
                    np.testing.assert_array_equal(got[name], to_numpy(tensor))
                    assert got[name].dtype == to_numpy(tensor).dtype, name
    print('reader: zip and legacy, equal to torch')


def check_writer(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: (rng.standard_normal((2, 3, 4)) * 3).astype(name) for name in TORCH_TYPES if name != 'bfloat16'}
    arrays |= {'bf16': np.ones((2, 2), ml_dtypes.bfloat16), 'scalar': np.int64(3), 'empty': np.zeros((0, 2))}
    arrays['strided'] = np.arange(12, dtype=np.float32).reshape(3, 4).T
    path = folder / 'writer.pth'
    write_pth(path, arrays)
    for options in ({}, {'mmap': True}):
        loaded = torch.load(path, weights_only=True, **options)
        assert list(loaded) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(to_numpy(loaded[name]), np.asarray(array))
    network = torchvision.models.resnet18(weights=None)
    write_pth(path, {name: to_numpy(tensor) for name, tensor in network.state_dict().items()})
    print('writer:', network.load_state_dict(torch.load(path, weights_only=True)))


@torch.no_grad()
def check_networks(folder: pathlib.Path) -> None:
    """Weights of our own initialisation, saved, loaded by torchvision with every name required: equal logits."""
    for name, network, sizes in (
        ('resnet50', 'resnet', {'depth': 50}),
        ('vgg11_bn', 'vgg', {'variant': '11', 'batch_norm': True}),
        ('vgg11', 'vgg', {'variant': '11', 'classifier': 'conv'}),
        ('alexnet', 'alexnet', {'variant': 'torchvision'}),
        ('googlenet', 'googlenet', {'variant': 'torchvision', 'auxiliary': True}),
        ('densenet121', 'densenet', {'depth': 121}),
    ):
        model = models.create(network, num_classes=1000, **sizes)
        images = jax.random.normal(jax.random.key(1), (2, 224, 224, 3))
        keys = {'params': jax.random.key(0), 'dropout': jax.random.key(2)}
        variables = jax.jit(lambda keys, images, model=model: model.init(keys, images, train=True))(keys, images)
        options = {'init_weights': False, 'aux_logits': True} if name == 'googlenet' else {}
        theirs = getattr(torchvision.models, name)(weights=None, **options).eval()
        weights.save(folder / 'network.pth', model, variables)
        theirs.load_state_dict(torch.load(folder / 'network.pth', weights_only=True), strict=True)
        expected = theirs(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)).numpy()
        logits = jax.jit(model.apply)(variables, images)[0]
        error = float(np.abs(logits - expected).max() / np.abs(expected).max())
        print(f'{name}: saved here, loaded by torchvision, logits differ by {error:.1e}')
        assert error < 1e-4


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as name:
        check_reader(pathlib.Path(name))
        check_writer(pathlib.Path(name))
        check_networks(pathlib.Path(name))

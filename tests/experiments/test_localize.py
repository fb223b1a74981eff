"""A classifier of colours finds the patch of its colour in a photograph, in pixels of the photograph."""

import types

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from cnn.analysis import localize as analysis
from cnn.experiments import localize
from cnn.models import layers


class Colours(nn.Module):
    """Class c is how much there is of colour c: means over 4 x 4 pixels, then over the image."""

    num_classes: int
    stem: str = 'cifar'

    @nn.compact
    def __call__(self, images, train=False):
        x = layers.avg_pool(layers.Conv(3, 1, name='conv1')(images), 4, 4)
        if not self.num_classes:
            return x, {'map': x}
        return layers.Dense(self.num_classes, name='fc')(x.mean((1, 2))), {}


VARIABLES = {'params': {'conv1': {'kernel': np.eye(3, dtype=np.float32)[None, None], 'bias': np.zeros(3, np.float32)},
                        'fc': {'kernel': np.eye(3, dtype=np.float32), 'bias': np.zeros(3, np.float32)}}}  # fmt: skip


def finder():
    config = ConfigDict({'image_size': 64, 'dataset': 'stanford_dogs', 'input': {'statistics': 'half'}})
    task = types.SimpleNamespace(mean=(0.5,) * 3, std=(0.5,) * 3, dtype=jnp.float32)
    return localize.Finder(config, task, Colours(3), VARIABLES)


def test_the_patch_is_found_in_the_photographs_own_pixels():
    image = np.full((96, 192, 3), 60, np.uint8)
    image[20:60, 120:180, 1] = 250
    find = finder()
    assert find.stride == 4
    maps, place = find.maps(image)
    # 192 pixels across a canvas of 96: half as large, so that a cell is eight pixels of the photograph.
    assert maps.shape == (48, 96, 3)
    found = localize.to_source(analysis.find(maps[..., 1]), place)
    np.testing.assert_allclose(found.box, (120, 20, 180, 60), atol=8)
    assert analysis.points_at(found.peak, [[120, 20, 180, 60]], tolerance=0)
    assert localize.to_source(analysis.find(maps[..., 2] - 10), place) == analysis.Found(None, None)
    np.testing.assert_allclose(maps.sum(-1), 0, atol=1e-5)


def test_it_is_for_classifiers():
    config = ConfigDict({'task': 'segmentation'})
    with pytest.raises(ValueError, match='--mode=localize is for classification, not for segmentation'):
        localize.run(config, None)

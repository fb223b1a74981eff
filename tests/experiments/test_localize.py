"""A classifier of colours finds the patch of its colour in a photograph, in pixels of the photograph."""

import io
import types

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

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


class Photographs:
    """Three images with boxes, of which the second is no image and the third has a box turned around."""

    def __init__(self, bad):
        image = np.full((48, 96, 3), 60, np.uint8)
        image[10:30, 60:90, 1] = 250
        file = io.BytesIO()
        Image.fromarray(image).save(file, 'png')
        encoded = file.getvalue()
        box = [60 / 96, 10 / 48, 90 / 96, 30 / 48]
        self.examples = [{'image': encoded, 'label': 1, 'boxes': np.array([box])},
                         {'image': bad, 'label': 1, 'boxes': np.array([box])},
                         {'image': encoded, 'label': 1, 'boxes': np.array([box, box[2:] + box[:2]])}]  # fmt: skip
        self.info = types.SimpleNamespace(name='photographs', class_names=('red', 'green', 'blue'),
                                          require=lambda what: None)  # fmt: skip

    def __len__(self):
        return len(self.examples)

    def read(self, index):
        return self.examples[index]

    def example_id(self, index):
        return f'photograph_{index}.png'


def scored(tmp_path, monkeypatch, bad, allowed):
    config = ConfigDict({'task': 'classification', 'image_size': 64, 'dataset': 'stanford_dogs',
                         'input': {'statistics': 'half', 'max_bad_fraction': allowed}})  # fmt: skip
    source = Photographs(bad)
    task = types.SimpleNamespace(mean=(0.5,) * 3, std=(0.5,) * 3, dtype=jnp.float32)
    for name, value in {'source': source, 'evaluation_split': 'test', 'scored_info': source.info, 'task': task,
                        'model': Colours(3), 'outputs': 3}.items():  # fmt: skip
        monkeypatch.setattr(localize.build, name, lambda *_, value=value: value)
    monkeypatch.setattr(localize.initialise, 'trained', lambda *_: (VARIABLES, 7))
    return localize.run(config, tmp_path)


def test_an_image_that_cannot_be_read_is_counted_and_boxes_that_cannot_be_right_are_not_scored(
    tmp_path, monkeypatch, capsys
):
    result = scored(tmp_path, monkeypatch, b'no image', 0.5)
    assert (result['images'], result['bad_examples'], result['steps']) == (2, 1, 7)
    assert result['true_corloc'] == 1
    assert '1 images could not be read and are not scored: photograph_1.png (' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r'1 of the first 2 images cannot be read.*photograph_1.png'):
        scored(tmp_path, monkeypatch, b'no image', 0.1)

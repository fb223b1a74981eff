"""Where the evidence is said to lie: in pixels of the image as a viewer shows it, whatever its size and orientation."""

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from cnn.experiments.predict_classes import Classes
from cnn.models import layers
from cnn.tasks.classification import Classification
from configs import resnet
from input_pipeline import datasets

SIDE, STRIDE = 96, 4


class Red(nn.Module):
    """Class 1 for red: two strided convolutions that keep the middle of their window."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu(layers.Conv(1, 3, 2, 1, name='conv1')(images))
        x = nn.relu(layers.Conv(1, 3, 2, 1, name='conv2')(x))
        return layers.Dense(2, name='fc')(layers.global_avg_pool(x)), {'conv2': x}


def variables():
    first, second = np.zeros((3, 3, 3, 1), np.float32), np.zeros((3, 3, 1, 1), np.float32)
    first[1, 1, :, 0], second[1, 1] = (1, -0.5, -0.5), 1
    zero = np.zeros(1, np.float32)
    return {'params': {
        'conv1': {'kernel': first, 'bias': zero}, 'conv2': {'kernel': second, 'bias': zero},
        'fc': {'kernel': np.float32([[0, 1000]]), 'bias': np.float32([0, 0])},
    }}  # fmt: skip


@pytest.fixture(scope='module', params=['center', 'ten_crop'])
def predict(request):
    config = resnet.get_config(f'dataset=folder:x,depth=18,image_size={SIDE}')
    config.evaluation.views = request.param
    info = datasets.DatasetInfo('folder:x', 2, {}, 'test', '', class_names=('grey', 'red'))
    crop = SIDE if request.param == 'ten_crop' else 0
    task = Classification(Red(), num_classes=2, mean=(0, 0, 0), std=(1, 1, 1), ten_crop=crop)
    return Classes(config, info, task, Red(), variables())


def grey_with_red(height, width, y, x, radius):
    image = np.full((height, width, 3), 120, np.uint8)
    image[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = (255, 0, 0)
    return image


@pytest.mark.parametrize(
    ('height', 'width', 'y', 'x'), [(110, 110, 30, 70), (300, 200, 190, 40), (220, 800, 100, 330), (55, 60, 20, 40)]
)
def test_the_peak_is_where_the_evidence_was_planted(predict, tmp_path, height, width, y, x):
    # Pixels of the image to a cell of the map.
    cell = STRIDE * min(height, width) / 110
    image = grey_with_red(height, width, y, x, round(cell))
    row, line = predict(image, str(tmp_path / 'a.png'), title='')
    found = row['heat_map']
    assert row['top'][0]['class'] == found['class'] == 'red'
    assert line.startswith('red ')
    assert found['endpoint'] == 'conv2'
    np.testing.assert_allclose(found['peak'], (x + 0.5, y + 0.5), atol=1.6 * cell)
    # The central square of 96 / 110 of the shorter side.
    side = min(height, width) * SIDE / 110
    expected = [(width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2]
    np.testing.assert_allclose(found['seen'], expected, atol=side / SIDE)
    assert (tmp_path / 'a.png').exists()


def test_a_photograph_on_its_side_is_read_as_a_viewer_shows_it(predict, tmp_path):
    upright = grey_with_red(200, 140, 60, 90, 8)
    exif = Image.Exif()
    exif[0x0112] = 6
    # Orientation 6: to be turned a quarter clockwise, so stored turned the other way.
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / 'a.jpg', exif=exif, quality=95)
    ((_, image),) = input_pipeline.read_images(str(tmp_path / 'a.jpg'))
    assert image.shape == upright.shape
    row, _ = predict(image, str(tmp_path / 'a.png'), title='')
    np.testing.assert_allclose(row['heat_map']['peak'], (90.5, 60.5), atol=8)


@pytest.mark.parametrize('shape', [(1, 1), (1, 300), (300, 1)])
def test_without_evidence_there_is_no_peak(predict, tmp_path, shape):
    row, _ = predict(np.full((*shape, 3), 120, np.uint8), str(tmp_path / 'a.png'), title='')
    assert row['heat_map']['peak'] is None
    x0, y0, x1, y1 = row['heat_map']['seen']
    assert 0 <= x0 < x1 <= shape[1]
    assert 0 <= y0 < y1 <= shape[0]

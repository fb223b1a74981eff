"""A user's picture and its bars: order, words, proportions, real photographs."""

import cv2
import numpy as np
import pytest
from PIL import Image

from cnn.plots import predictions

NAMES = [f'class {i}' for i in range(8)]
PROBABILITIES = np.array([0.01, 0.5, 0.02, 0.3, 0.1, 0.03, 0.04, 0.0])


def test_bars_show_the_five_largest_in_order(tmp_path, figures, words):
    seen = figures(predictions)
    predictions.draw(np.zeros((10, 10, 3), np.uint8), PROBABILITIES, NAMES, str(tmp_path / 'a.png'), title='me.png')
    shown = words(seen[0])
    expected = [('class 1', '50.0 %'), ('class 3', '30.0 %'), ('class 4', '10.0 %'), ('class 6', '4.0 %')]
    places = [shown.index(name) for name, _ in expected]
    assert places == sorted(places)
    for place, (_, percent) in zip(places, expected, strict=True):
        assert shown[place + 1] == percent
    assert 'class 5' in shown
    assert 'class 2' not in shown
    assert 'me.png' in shown
    widths = [bar.get_width() for bar in seen[0].axes[1].patches[5:]]
    np.testing.assert_allclose(widths, [0.5, 0.3, 0.1, 0.04, 0.03])


def test_equal_probabilities_come_by_class_number(tmp_path, figures, words):
    seen = figures(predictions)
    predictions.draw(np.zeros((4, 4, 1), np.uint8), np.full(8, 0.125), NAMES, str(tmp_path / 'a.png'))
    assert [w for w in words(seen[0]) if w.startswith('class')] == NAMES[:5]


@pytest.mark.parametrize('classes', [1, 2, 5])
def test_few_classes(tmp_path, classes):
    values = np.full(classes, 1 / classes)
    predictions.draw(np.zeros((4, 4, 3), np.uint8), values, NAMES[:classes], str(tmp_path / 'a.png'))
    assert (tmp_path / 'a.png').exists()


@pytest.mark.parametrize('shape', [(1, 1), (600, 20), (20, 600), (1, 4000), (4000, 1), (28, 28)])
def test_any_aspect_ratio_keeps_its_proportions(tmp_path, figures, shape):
    seen = figures(predictions)
    path = str(tmp_path / 'a.png')
    predictions.draw(np.zeros((*shape, 3), np.uint8), PROBABILITIES, NAMES, path, title='x' * 300)
    assert seen[0].axes[0].get_aspect() == 1.0
    with Image.open(path) as image:
        assert image.size[0] <= 1300
        assert image.size[1] <= 500


def test_a_real_photograph_is_in_the_picture(tmp_path, shared_data):
    photograph = cv2.imread(str(shared_data / 'imagenet100' / 'n02007558_flamingo.JPEG'))[..., ::-1]
    path = tmp_path / 'a.png'
    predictions.draw(photograph, PROBABILITIES, NAMES, str(path), title='n02007558_flamingo.JPEG')
    drawn = np.asarray(Image.open(path).convert('RGB')).astype(float)
    # The left part of the picture is the photograph: its mean colour is there, white paper aside.
    inked = drawn[:, : drawn.shape[1] // 3].reshape(-1, 3)
    inked = inked[(inked < 250).any(1)]
    left = photograph[:, : photograph.shape[1] // 2].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(inked.mean(0), left, atol=25)

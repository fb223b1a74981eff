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


@pytest.mark.parametrize('explained', [False, True])
@pytest.mark.parametrize('shape', [(1, 1), (600, 20), (20, 600), (1, 4000), (4000, 1), (28, 28)])
def test_any_aspect_ratio_keeps_its_proportions(tmp_path, figures, shape, explained):
    seen = figures(predictions)
    path = str(tmp_path / 'a.png')
    # The central square, as a network sees it.
    height, width = shape
    side = min(shape)
    corner = ((width - side) / 2, (height - side) / 2)
    box = (*corner, corner[0] + side, corner[1] + side)
    evidence = predictions.Evidence(np.ones((5, 5)), box, box[:2]) if explained else None
    image = np.zeros((*shape, 3), np.uint8)
    predictions.draw(image, PROBABILITIES, NAMES, path, title='x' * 300, evidence=evidence)
    assert [axes.get_aspect() for axes in seen[0].axes[:-1]] == [1.0] * (1 + explained)
    with Image.open(path) as image:
        assert image.size[0] <= (1600 if explained else 1300)
        assert image.size[1] <= 500


def test_the_heat_lies_over_the_part_that_was_seen(tmp_path, figures, words):
    seen = figures(predictions)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[2, 5] = 3
    evidence = predictions.Evidence(heat, (15, 5, 45, 35), (35.6, 14.4))
    predictions.draw(image, PROBABILITIES, NAMES, str(tmp_path / 'a.png'), evidence=evidence)
    photograph, explained, _ = seen[0].axes
    # A frame in pixels whose centres are whole numbers.
    frame = photograph.patches[-1]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (14.5, 4.5, 30, 30)
    below, layer = explained.images
    assert tuple(below.get_extent()) == (15, 45, 35, 5)
    assert below.get_array().shape == (30, 30, 3)
    # Grey in the order of the photograph's brightness.
    grey, bright = below.get_array()[..., 0], image[5:35, 15:45].mean(-1)
    assert np.corrcoef(grey.ravel(), bright.ravel())[0, 1] > 0.99
    assert tuple(layer.get_extent()) == (15, 45, 35, 5)
    alpha = layer.get_array()[..., 3]
    assert np.argwhere(alpha > 0).tolist() == [[2, 5]]
    assert explained.lines[0].get_xydata().tolist() == [[35.6, 14.4]]
    assert 'what spoke for class 1' in words(explained)


def test_no_evidence_is_said(tmp_path, figures, words):
    seen = figures(predictions)
    evidence = predictions.Evidence(np.zeros((3, 3)), (0, 0, 9, 9), None)
    predictions.draw(np.zeros((9, 9, 1), np.uint8), PROBABILITIES, NAMES, str(tmp_path / 'a.png'), evidence=evidence)
    explained = seen[0].axes[1]
    assert 'nothing in it spoke for class 1' in words(explained)
    assert len(explained.images) == 1
    assert not explained.lines


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

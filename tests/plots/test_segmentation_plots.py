"""Masks over images: colours that differ, pixels painted by class, legends that say what is seen."""

import numpy as np
import pytest
from PIL import Image

from cnn.plots import class_iou, palette, segmentation
from cnn.tasks.segmentation_record import Scored

NAMES = ('background', 'cat', 'dog')


def test_colours_differ_however_many_classes_there_are():
    colours = palette.of(['background', *map(str, range(60))]).astype(int)
    apart = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(61, dtype=int)
    assert apart.min() > 12
    assert colours.shape == (61, 3)
    assert tuple(colours[0]) == palette.BACKGROUND


def test_pixels_are_tinted_by_their_class_and_the_background_is_not():
    image = np.full((2, 2, 3), 100, np.uint8)
    painted = palette.paint(image, np.array([[0, 1], [2, 255]], np.uint8), NAMES, strength=0.5)
    cat, dog = palette.of(NAMES)[1:].astype(int)
    np.testing.assert_array_equal(painted[0, 0], [100] * 3)
    np.testing.assert_allclose(painted[0, 1], (cat + 100) / 2, atol=0.5)
    np.testing.assert_allclose(painted[1, 0], (dog + 100) / 2, atol=0.5)
    np.testing.assert_allclose(painted[1, 1], [0.2 * 100 + 0.8 * 255] * 3, atol=0.5)


def scored(index, truth, predicted):
    return Scored(index, np.array(truth, np.uint8), np.array(predicted, np.uint8), 0.5, 0.25)


def test_truth_and_prediction_stand_beside_the_image_with_a_legend(tmp_path, figures, words):
    seen = figures(segmentation)
    rows = [scored(7, [[0, 1]], [[0, 0]]), scored(3, [[0, 255]], [[2, 2]])]
    image = np.full((1, 2, 3), 90, np.uint8)
    segmentation.draw_pairs(rows, lambda i: image, NAMES, str(tmp_path / 'a.png'), title='The worst')
    said = words(seen[0])
    assert {'no. 7, mean IU 25.0 %', 'no. 3, mean IU 25.0 %', 'background', 'cat', 'dog', 'not labelled'} <= set(said)
    assert 'The worst: image, truth, prediction' in said
    assert len(seen[0].axes) == 6
    truth, predicted = (seen[0].axes[i].images[0].get_array() for i in (1, 2))
    assert (truth[0, 0] == 90).all()
    assert not (truth[0, 1] == 90).all()
    assert (predicted == 90).all()


def test_no_rows_are_said(tmp_path, figures, words):
    seen = figures(segmentation)
    segmentation.draw_pairs([], None, NAMES, str(tmp_path / 'a.png'), title='The worst')
    assert words(seen[0]) == ['The worst: none has a labelled pixel']


def test_a_photograph_says_how_much_each_class_takes(tmp_path, figures, words):
    seen = figures(segmentation)
    mask = np.zeros((10, 30), np.uint8)
    mask[:, 20:] = 2
    segmentation.draw(np.zeros((10, 30, 3), np.uint8), mask, NAMES, str(tmp_path / 'a.png'), title='photo.jpg')
    said = words(seen[0])
    assert said.index('background') + 1 == said.index('66.7 %')
    assert said.index('dog') + 1 == said.index('33.3 %')
    assert 'cat' not in said
    assert 'photo.jpg' in said


def test_an_index_mask_holds_the_classes_themselves(tmp_path):
    mask = np.array([[0, 1, 2], [255, 2, 1]], np.uint8)
    segmentation.index_png(mask, NAMES, str(tmp_path / 'mask.png'))
    read = Image.open(tmp_path / 'mask.png')
    assert read.mode == 'P'
    np.testing.assert_array_equal(np.asarray(read), mask)
    np.testing.assert_array_equal(np.asarray(read.convert('RGB'))[0, 1], palette.of(NAMES)[1])


def test_bars_are_sorted_and_absent_classes_have_none(tmp_path, figures, words):
    seen = figures(class_iou)
    iou = np.array([0.9, np.nan, 0.3])
    class_iou.draw(iou, np.array([90, 0, 10]), NAMES, str(tmp_path / 'a.png'))
    axes = seen[0].axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ['background', 'dog']
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.9, 0.3])
    assert 'dashed: mean IU 60.0 %' in words(seen[0])
    class_iou.draw(np.full(3, np.nan), np.zeros(3, int), NAMES, str(tmp_path / 'b.png'))
    assert 'No labelled pixels' in words(seen[1])
    class_iou.draw(np.linspace(0, 1, 50), np.ones(50, int), [str(i) for i in range(50)], str(tmp_path / 'c.png'))
    assert 'IU of the 40 worst of 50 classes' in words(seen[2])
    assert len(seen[2].axes[0].patches) == 40

"""Boxes where they belong, solid or dashed, with the right words; anchors, proposals, curves and kinds of errors."""

import types

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from cnn.plots import anchors, detection, error_split, precision_recall

NAMES = ('cat', 'dog', '$x_1$')


def rectangles(axes):
    """x0, y0, x1, y1 of the boxes drawn, and whether each is dashed."""
    found = [p for p in axes.patches if isinstance(p, Rectangle) and not p.get_fill()]
    corners = np.array([[p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height()] for p in found])
    return corners.reshape(-1, 4), [p.get_linestyle() != '-' and p.get_linestyle() != 'solid' for p in found]


def row(index, truth, truth_labels, boxes=(), labels=(), scores=(), **more):
    shape = {'boxes': np.reshape(boxes, (-1, 4)), 'truth': np.reshape(truth, (-1, 4))}
    lists = {'truth_labels': truth_labels, 'labels': labels, 'scores': scores, **more}
    return types.SimpleNamespace(index=index, **shape, **{k: np.array(v) for k, v in lists.items()})


def test_objects_stand_beside_what_was_found(tmp_path, figures, words):
    seen = figures(detection)
    rows = [
        row(7, [[1, 2, 9, 8], [4, 4, 6, 6]], [0, 1], [[1, 2, 9, 7], [0, 0, 5, 5], [3, 3, 4, 4]], [0, 2, 1],
            [0.6, 0.9, 0.2], verdicts=[1, 0, 0], difficult=[False, True], crowd=[False, False]),
        row(3, [], []),
    ]  # fmt: skip
    images = {7: np.zeros((10, 20, 3), np.uint8), 3: np.zeros((2000, 3000, 3), np.uint8)}
    rows[0].labels, rows[1].labels = rows[0].labels.astype(int), rows[1].labels.astype(int)
    detection.draw_pairs(rows, images.get, NAMES, str(tmp_path / 'a.png'), title='The worst')
    left, right, empty, other = seen[0].axes
    corners, dashed = rectangles(left)
    np.testing.assert_allclose(corners, np.array([[1, 2, 9, 8], [4, 4, 6, 6]]) - 0.5)
    assert dashed == [False, True]
    # The highest score is drawn last; one below the limit is not.
    corners, dashed = rectangles(right)
    np.testing.assert_allclose(corners, np.array([[1, 2, 9, 7], [0, 0, 5, 5]]) - 0.5)
    assert dashed == [False, True]
    said = words(seen[0])
    assert {'no. 7: 2 objects, 2 found', 'no. 3: 0 objects, 0 found', 'cat 0.60', '$x_1$ 0.90', 'dog'} <= set(said)
    assert not rectangles(empty)[1]
    assert not rectangles(other)[1]


def test_large_photographs_are_thinned_and_their_boxes_with_them(tmp_path, figures, words):
    seen = figures(detection)
    image, boxes = np.zeros((3000, 2000, 3), np.uint8), np.array([[300, 600, 1500, 1200], [0, 0, 9, 9], [0, 0, 1, 1]])
    scores, labels = np.array([0.8, 0.4, 0.9]), np.array([1, 0, -1])
    detection.draw(image, boxes, scores, labels, NAMES, str(tmp_path / 'a.png'), title='photo_1.jpg')
    # Every third pixel is shown; padding and low scores are not.
    np.testing.assert_allclose(rectangles(seen[0].axes[0])[0], [[99.5, 199.5, 499.5, 399.5]])
    assert {'dog 0.80', '1 × dog', 'photo_1.jpg'} <= set(words(seen[0]))
    none = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    detection.draw(image[:50, :50], *none, NAMES, str(tmp_path / 'b.png'), least=0.25)
    assert 'nothing scores 0.25\nor more' in words(seen[1])


def test_anchors_of_one_cell_and_those_that_learn(tmp_path, figures, words):
    seen = figures(anchors)
    cell = np.array([[-2, -6, 10, 14], [0, 0, 8, 8]], float)
    shift = 8.0 * np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1)
    grid = cell + np.concatenate([shift, shift], -1)[:, :, None]
    positive = np.zeros((3, 4, 2), bool)
    positive[2, 3, 1] = True
    image, truth = np.zeros((24, 32, 3), np.uint8), np.array([[23, 15, 33, 25.0]])
    anchors.draw_anchors(image, grid, 8, truth, positive, str(tmp_path / 'a.png'), per_shape=1)
    left, right = seen[0].axes
    # The middle of 3 x 4 cells is (1, 2); the larger anchor is drawn first.
    np.testing.assert_allclose(rectangles(left)[0], cell + np.array([16, 8, 16, 8]) - 0.5)
    assert left.lines[0].get_xdata().size == 12
    corners, dashed = rectangles(right)
    np.testing.assert_allclose(corners, [[23.5, 15.5, 31.5, 23.5], [22.5, 14.5, 32.5, 24.5]])
    assert dashed == [False, True]
    assert 'Anchors: 2 at each of 3 x 4 cells, 8 px apart' in words(seen[0])
    assert '1 of them learn the 1 objects (dashed)' in words(seen[0])


def test_proposals_that_find_objects(tmp_path, figures, words):
    seen = figures(anchors)
    truth = np.array([[0, 0, 9, 9], [20, 0, 29, 9.0]])
    proposals = np.array([[20, 0, 28, 9], [0, 0, 9, 9], [10, 10, 12, 12.0]])
    overlaps = np.array([[0, 0.9], [1, 0], [0, 0]])
    anchors.draw_proposals(
        np.zeros((12, 30, 3), np.uint8), proposals, np.array([0.1, 0.9, 0.5]), overlaps, truth,
        str(tmp_path / 'a.png'), counts=(2, 100),
    )  # fmt: skip
    said = words(seen[0])
    assert '2 proposals find 1 of 2 objects (dashed)' in said
    assert '3 proposals find 2 of 2 objects (dashed)' in said
    few, every = (rectangles(axes) for axes in seen[0].axes)
    # The two highest scores, the one on an object last, then the objects.
    np.testing.assert_allclose(few[0], np.concatenate([proposals[[2, 1]], truth]) - 0.5)
    assert every[1] == [False] * 3 + [True] * 2


def curve(precision, recall, objects):
    return types.SimpleNamespace(precision=np.array(precision), recall=np.array(recall), objects=objects)


def test_curves_are_what_the_area_is_under(tmp_path, figures, words):
    seen = figures(precision_recall)
    curves = [curve([1, 0.5, 2 / 3], [0.25, 0.25, 0.5], 4), curve([0.0], [np.nan], 0), curve([], [], 3)]
    precision_recall.draw(curves, [0.42, np.nan, 0.0], NAMES, str(tmp_path / 'a.png'))
    envelope = seen[0].axes[0].lines[1]
    np.testing.assert_allclose(envelope.get_xdata(), [0, 0.25, 0.25, 0.5, 0.5])
    np.testing.assert_allclose(envelope.get_ydata(), [1, 1, 2 / 3, 2 / 3, 0])
    said = words(seen[0])
    assert 'Average precision 21.0 % at an overlap of 0.5' in said
    assert {'42.0 %  cat (4)', '0.0 %  $x_1$ (3)'} <= set(said)
    assert not any('dog' in word for word in said)
    many = [curve([1.0], [i / 20], 2) for i in range(20)]
    precision_recall.draw(many, np.arange(20) / 20, [f'c{i}' for i in range(20)], str(tmp_path / 'b.png'))
    assert len(seen[1].axes[0].lines) == 24
    assert any('12 of 20 classes' in word for word in words(seen[1]))
    precision_recall.draw([curve([], [], 0)], [np.nan], ['a'], str(tmp_path / 'c.png'))
    assert 'No objects to be found' in words(seen[2])


def test_bars_add_up(tmp_path, figures, words):
    seen = figures(error_split)
    splits = {'YOLO': {'correct': 0.655, 'localisation': 0.345}, 'none_yet': {'correct': float('nan')}}
    error_split.draw(splits, str(tmp_path / 'a.png'))
    bars = [p for p in seen[0].axes[0].patches if p.get_height() == pytest.approx(0.62) and p.get_width() > 0]
    assert [(b.get_x(), b.get_width()) for b in bars] == [(0, 0.655), (0.655, pytest.approx(0.345))]
    assert {'YOLO', 'none_yet', '65.5 %', '34.5 %', 'no detections', 'correct', 'localisation'} <= set(words(seen[0]))

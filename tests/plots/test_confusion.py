"""The confusion picture: its numbers are the matrix's, for few classes and for many."""

import numpy as np
import pytest
from PIL import Image

from cnn.plots import confusion

MATRIX = np.array([[8, 2, 0], [0, 5, 0], [1, 2, 7]])


def test_most_confused_pairs_by_hand():
    # Two examples each of 0 -> 1 (of 10) and 2 -> 1 (of 10), then 2 -> 0.
    assert confusion.most_confused(MATRIX, 10) == [(0, 1, 2), (2, 1, 2), (2, 0, 1)]
    assert confusion.most_confused(MATRIX, 1) == [(0, 1, 2)]
    assert confusion.most_confused(np.eye(3, dtype=int), 5) == []
    # Of equal counts the larger share of its class first.
    assert confusion.most_confused([[9, 1, 0], [0, 2, 1], [0, 0, 1]], 2) == [(1, 2, 1), (0, 1, 1)]


def test_pairs_agree_with_a_plain_search():
    matrix = np.random.default_rng(0).integers(0, 50, (20, 20))
    cells = [(matrix[i, j], i, j) for i in range(20) for j in range(20) if i != j]
    pairs = confusion.most_confused(matrix, 30)
    assert [count for *_, count in pairs] == sorted((c for c, *_ in cells), reverse=True)[:30]
    assert all(matrix[true, predicted] == count for true, predicted, count in pairs)


def test_few_classes_show_every_count_and_name(tmp_path, figures, words):
    seen = figures(confusion)
    confusion.draw(MATRIX, ['cat', 'dog', 'fox'], str(tmp_path / 'a.png'))
    shown = words(seen[0])
    for expected in ('8', '2', '5', '1', '7', 'cat', 'dog', 'fox', '80.00% of 25 examples right'):
        assert expected in shown
    assert '0' not in words(seen[0].axes[0])
    assert 'cat → dog' in shown
    assert '2 of 10' in shown


def test_a_thousand_classes_show_their_largest_shares_and_pairs(tmp_path, figures, words):
    classes = 1000
    matrix = 50 * np.eye(classes, dtype=int)
    matrix[3, 998] = 25
    seen = figures(confusion)
    confusion.draw(matrix, [f'class {i}' for i in range(classes)], str(tmp_path / 'a.png'))
    shown = words(seen[0])
    assert 'class 3 → class 998' in shown
    assert '25 of 75' in shown
    image = seen[0].axes[0].images[0].get_array()
    assert image.shape == (250, 250)
    # Four classes to a cell: the share of 1 in 3 stands in the first row and the last column.
    assert float(image[0, 249]) == pytest.approx(1 / 3)
    assert np.isnan(np.ma.filled(image, np.nan)).sum() == 250 * 250 - 251
    with Image.open(tmp_path / 'a.png') as picture:
        assert max(picture.size) < 2000


@pytest.mark.parametrize('classes', [1, 2, 30, 31, 251])
@pytest.mark.parametrize('filled', [False, True], ids=['empty', 'filled'])
def test_any_number_of_classes_and_no_examples(tmp_path, classes, filled):
    matrix = np.full((classes, classes), int(filled))
    confusion.draw(matrix, [str(i) for i in range(classes)], str(tmp_path / 'a.png'))
    assert (tmp_path / 'a.png').stat().st_size > 1000

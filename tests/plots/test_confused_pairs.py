"""Pairs in pictures: the right pairs, and under each picture what it is."""

import numpy as np
import pytest
from PIL import Image

from cnn.plots import confused_pairs

NAMES = ['husky', 'beagle', 'dingo']
# husky 8 right, 2 for beagle; beagle 1 for husky, 3 for dingo of 8; dingo 1 for beagle of 10.
MATRIX = np.array([[8, 2, 0], [1, 4, 3], [0, 1, 9]])


def table_of(rows):
    """Columns of (label, prediction, confidence), numbered by tens."""
    label, prediction, confidence = (np.array(c) for c in zip(*rows, strict=True))
    return {'index': 10 * np.arange(len(label)), 'label': label, 'prediction': prediction, 'confidence': confidence}


def test_pairs_by_hand():
    # beagle and dingo: 3 + 1 of 18; husky and beagle: 2 + 1 of 18, where 2 of 10 is more than 1 of 8.
    assert confused_pairs.pairs(MATRIX, 5) == [(1, 2), (0, 1)]
    assert confused_pairs.pairs(MATRIX, 1) == [(1, 2)]
    assert confused_pairs.pairs(np.eye(3, dtype=int), 5) == []
    # As many, of fewer examples; and the direction by share, not by count.
    assert confused_pairs.pairs([[18, 2, 0], [0, 0, 0], [1, 1, 0]], 3) == [(0, 1), (2, 1), (2, 0)]


def test_pairs_agree_with_a_plain_search():
    matrix = np.random.default_rng(0).integers(0, 9, (12, 12))
    both = sorted((matrix[i, j] + matrix[j, i] for i in range(12) for j in range(i)), reverse=True)
    found = confused_pairs.pairs(matrix, 20)
    assert [matrix[a, b] + matrix[b, a] for a, b in found] == both[:20]
    assert all(matrix[a, b] / matrix[a].sum() >= matrix[b, a] / matrix[b].sum() for a, b in found)


def test_each_picture_stands_where_its_words_say(tmp_path, figures, words):
    seen = figures(confused_pairs)
    table = table_of([
        (1, 2, 0.6), (1, 2, 0.9), (1, 2, 0.7),  # beagles for dingos
        (2, 1, 0.5), (2, 2, 0.8), (2, 2, 0.95), (1, 1, 0.4),
    ])  # fmt: skip

    def image(index):
        # Tall, wide and square.
        return np.full([(9, 3, 3), (3, 9, 3), (5, 5, 3)][index // 10 % 3], index, np.uint8)

    confused_pairs.draw(MATRIX, table, image, NAMES, str(tmp_path / 'a.png'), count=1)
    axes = seen[0].axes
    shown = [(*words(a), int(a.images[0].get_array()[0, 0, 0])) for a in axes]
    assert shown == [
        ('right', '40.0 % sure, no. 60', 60),
        ('→ dingo', '90.0 % sure, no. 10', 10),
        ('→ dingo', '70.0 % sure, no. 20', 20),
        ('right', '95.0 % sure, no. 50', 50),
        ('→ beagle', '50.0 % sure, no. 30', 30),
    ]
    lefts = [round(a.get_position().x0 * seen[0].get_figwidth(), 2) for a in axes]
    steps = np.diff(lefts)
    assert lefts == sorted(lefts)
    # The two classes' halves stand a little apart.
    assert steps[2] > steps[0] == steps[1] == steps[3]
    assert all(abs(np.ptp(a.get_xlim())) == abs(np.ptp(a.get_ylim())) for a in axes)
    for expected in ('beagle', '3 of 8 taken for the other', 'dingo', '1 of 10 taken for the other'):
        assert expected in words(seen[0])


@pytest.mark.parametrize('classes', [1, 2, 120])
@pytest.mark.parametrize('confused', [True, False])
def test_any_number_of_classes(tmp_path, figures, classes, confused):
    seen = figures(confused_pairs)
    matrix = np.full((classes, classes), int(confused)) + np.eye(classes, dtype=int)
    every = np.arange(2 * classes)
    columns = {'index': every, 'label': every % classes, 'prediction': (every + every // classes) % classes}
    columns['confidence'] = np.full(len(every), 0.5)
    names = [f'breed {i} of a very long name that does not fit' for i in range(classes)]
    path = tmp_path / 'a.png'
    confused_pairs.draw(matrix, columns, lambda i: np.zeros((4, 4, 1), np.uint8), names, str(path))
    with Image.open(path) as picture:
        assert picture.size[0] < 1300
        assert picture.size[1] < 1700
    assert bool(seen[0].axes) == (confused and classes > 1)

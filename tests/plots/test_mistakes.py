"""The grid of mistakes: the right pictures in the right order with the right words."""

import numpy as np
import pytest
from PIL import Image

from cnn.plots import mistakes

NAMES = ['cat', 'dog', 'fox']


def columns(count):
    every = np.arange(count)
    return {
        'index': 10 * every,
        'label': every % 3,
        'prediction': (every + 1) % 3,
        'confidence': np.linspace(0.99, 0.4, count),
    }


def test_pictures_and_words_belong_together(tmp_path, figures, words):
    seen = figures(mistakes)
    color = {0: (255, 0, 0), 10: (0, 255, 0), 20: (0, 0, 255)}

    def image(index):
        # Tall, wide and square.
        shape = {0: (9, 3), 10: (3, 9), 20: (5, 5)}[index]
        return np.broadcast_to(np.array(color[index], np.uint8), (*shape, 3))

    mistakes.draw(columns(3), image, NAMES, str(tmp_path / 'a.png'))
    figure = seen[0]
    assert len(figure.axes) == 3
    for axes, index, lines in zip(
        figure.axes,
        (0, 10, 20),
        (
            ['cat', '→ dog', '99.0 % sure, no. 0'],
            ['dog', '→ fox', '69.5 % sure, no. 10'],
            ['fox', '→ cat', '40.0 % sure, no. 20'],
        ),
        strict=True,
    ):
        assert words(axes) == lines
        assert tuple(axes.images[0].get_array()[0, 0]) == color[index]
        # Every picture in a square, so that captions hang at one height.
        assert abs(np.ptp(axes.get_xlim())) == abs(np.ptp(axes.get_ylim()))
    pixels = np.asarray(Image.open(tmp_path / 'a.png').convert('RGB')).reshape(-1, 3)
    for value in color.values():
        assert (pixels == value).all(1).sum() > 100
    assert 'All 3 mistakes: true → predicted' in words(figure)


@pytest.mark.parametrize(
    ('count', 'shown', 'title'), [(0, 0, 'No mistakes'), (1, 1, 'All 1 '), (30, 24, 'The 24 most')]
)
def test_any_number_of_mistakes(tmp_path, figures, words, count, shown, title):
    seen = figures(mistakes)
    asked = []

    def image(index):
        asked.append(index)
        return np.zeros((4, 4, 1), np.uint8)

    mistakes.draw(columns(count), image, NAMES, str(tmp_path / 'a.png'))
    assert asked == [10 * i for i in range(shown)]
    assert len(seen[0].axes) == shown
    assert any(word.startswith(title) for word in words(seen[0]))

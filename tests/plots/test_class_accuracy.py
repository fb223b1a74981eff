"""Accuracies by class: which are shown, and their intervals."""

import numpy as np
import pytest
from scipy.stats import binomtest

from cnn.plots import class_accuracy


def test_the_worst_come_first():
    hits, counts = [5, 0, 1, 0, 9], [10, 4, 2, 0, 10]
    # 0 of 4; then one half, of ten before two; class 3 has no example.
    assert class_accuracy.worst(hits, counts, 9).tolist() == [1, 0, 2, 4]
    assert class_accuracy.worst(hits, counts, 2).tolist() == [1, 0]
    assert class_accuracy.worst([0], [0], 5).tolist() == []


@pytest.mark.parametrize(('hits', 'count'), [(0, 8), (3, 8), (8, 8), (1, 1), (70, 100)])
def test_intervals_are_wilsons(hits, count):
    low, high = class_accuracy.interval([hits], [count])
    expected = binomtest(hits, count).proportion_ci(0.95, method='wilson')
    np.testing.assert_allclose([low[0], high[0]], [expected.low, expected.high], atol=1e-4)


def test_bars_and_words_belong_together(tmp_path, figures, words):
    seen = figures(class_accuracy)
    hits, counts = [1, 8, 3], [4, 8, 4]
    class_accuracy.draw(hits, counts, ['husky', 'beagle', 'dingo'], str(tmp_path / 'a.png'), count=2)
    axes = seen[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.75]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['husky', 'dingo']
    mean = 'dashed: mean of all classes, 66.7%; lines: 95 % intervals'
    for expected in ('1 of 4', '3 of 4', 'The 2 of 3 classes known least', mean):
        assert expected in words(seen[0])


@pytest.mark.parametrize('classes', [1, 3, 1500])
@pytest.mark.parametrize('filled', [0, 1])
def test_any_number_of_classes(tmp_path, classes, filled):
    values = np.full(classes, filled)
    class_accuracy.draw(values, values, [str(i) for i in range(classes)], str(tmp_path / 'a.png'))
    assert (tmp_path / 'a.png').stat().st_size > 1000

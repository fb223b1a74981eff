"""The hottest place and the region around it, and their scores, by hand."""

import numpy as np
import pytest

from cnn.analysis import localize
from cnn.analysis.localize import Found


def test_the_box_is_that_of_the_largest_hot_region_and_the_peak_the_hottest_pixel():
    heat = np.zeros((8, 10))
    heat[1, 1] = 5.0  # hottest, but alone
    heat[3:6, 4:8] = 2.0
    heat[6, 8] = 1.5  # joined by a corner
    heat[0, 9] = 1.0  # at a fifth of the maximum: not above it
    found = localize.find(heat)
    assert found.peak == (1.5, 1.5)
    assert found.box == (4.0, 3.0, 9.0, 7.0)
    assert localize.find(heat, share=0.9).box == (1.0, 1.0, 2.0, 2.0)


@pytest.mark.parametrize('heat', [np.zeros((3, 3)), np.full((3, 3), -1.0)])
def test_a_map_that_speaks_for_nothing_finds_nothing(heat):
    assert localize.find(heat) == Found(None, None)


def test_points_within_the_tolerance_of_a_box_hit_it():
    boxes = np.array([[10, 10, 20, 20], [50, 50, 60, 60]])
    assert localize.points_at((15, 20), boxes, tolerance=0)
    assert not localize.points_at((23, 24), boxes, tolerance=4.9)
    assert localize.points_at((23, 24), boxes, tolerance=5)
    assert localize.points_at((50, 59.9), boxes, tolerance=0)
    assert not localize.points_at(None, boxes)
    assert not localize.points_at((1, 1), np.zeros((0, 4)))


def test_scores_by_hand_leave_out_images_without_a_box():
    boxes = [[[0, 0, 10, 10]], [[0, 0, 10, 10], [20, 0, 30, 10]], [], [[0, 0, 4, 4]]]
    truth = [np.reshape(rows, (-1, 4)) for rows in boxes]
    found = [
        Found((5, 5), (0, 0, 10, 5)),  # overlap exactly one half: not above it
        Found((25, 5), (20, 0, 30, 12)),  # 100 / 120 with the second
        Found((1, 1), (0, 0, 1, 1)),
        Found(None, None),
    ]
    values = localize.scores(found, truth, tolerance=0)
    assert values == pytest.approx({'pointing': 2 / 3, 'corloc': 1 / 3, 'mean_overlap': (0.5 + 100 / 120) / 3})
    assert all(np.isnan(value) for value in localize.scores(found[2:3], truth[2:3]).values())


def test_the_centre_is_the_middle_of_the_whole():
    assert localize.of_centre(20, 30) == Found((15, 10), (0, 0, 30, 20))

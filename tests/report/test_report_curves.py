"""Curves in the units of the SVG, against arithmetic by hand."""

import numpy as np
import pytest

from cnn.report import curves
from cnn.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH


def points(line) -> np.ndarray:
    return np.array([[float(n) for n in point.split(',')] for point in line.points])


def test_ends_of_the_data_come_to_the_ends_of_the_panel():
    records = [{'step': s, 'split': 'train', 'rate': v} for s, v in ((0, 1.0), (50, 3.0), (100, 2.0))]
    (panel,) = curves.panels({'': records})
    assert panel.title == 'rate'
    # Four per cent of room above and below: 2 units of data take 1 / 1.08 of the height.
    height = HEIGHT - BOTTOM - TOP
    low, high = HEIGHT - BOTTOM - height * 0.04 / 1.08, TOP + height * 0.04 / 1.08
    expected = [[LEFT, low], [(LEFT + WIDTH - RIGHT) / 2, high], [WIDTH - RIGHT, (low + high) / 2]]
    np.testing.assert_allclose(points(panel.lines[0]), expected, atol=0.06)
    assert [tick.label for tick in panel.y_ticks] == ['1', '1.5', '2', '2.5', '3']
    assert [tick.label for tick in panel.x_ticks] == ['0', '50', '100']


def test_a_loss_that_falls_far_is_logarithmic_and_a_share_never():
    steps = (1, 2, 3)
    records = [{'step': s, 'split': 'train', 'loss': v, 'accuracy': a}
               for s, v, a in zip(steps, (10.0, 1.0, 0.1), (0.01, 0.5, 0.9), strict=True)]  # fmt: skip
    loss, accuracy = curves.panels({'': records})
    assert (loss.note, accuracy.note) == ('logarithmic', '')
    # Equal factors are equal distances.
    y = points(loss.lines[0])[:, 1]
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.15)
    assert {tick.label for tick in loss.y_ticks} <= {'0.1', '0.2', '0.5', '1', '2', '5', '10'}
    assert '50 %' in [tick.label for tick in accuracy.y_ticks] or '40 %' in [tick.label for tick in accuracy.y_ticks]


def test_many_points_are_means_of_neighbours():
    values = np.arange(curves.POINTS * 3, dtype=float)
    (panel,) = curves.panels({'': [{'step': i, 'split': 'train', 'x': v} for i, v in enumerate(values)]})
    assert panel.note == 'means of 3 neighbouring records'
    got = points(panel.lines[0])
    assert len(got) == curves.POINTS
    # A straight line stays one, and its first point stands for steps 0, 1 and 2.
    assert got[0, 0] == pytest.approx(LEFT + (WIDTH - RIGHT - LEFT) * 1 / (len(values) - 1), abs=0.06)


def test_a_split_has_one_colour_in_every_panel_and_what_is_no_number_is_left_out():
    records = [
        {'step': 1, 'split': 'train', 'loss': 1.0},
        {'step': 1, 'split': 'test', 'loss': 1.1, 'accuracy': 0.5, 'note': 'text', 'flag': True, 'nothing': None},
        {'step': 2, 'split': 'train', 'loss': 0.9, 'once': 1.0},
        {'step': 2, 'split': 'test', 'loss': float('nan'), 'accuracy': 0.6},
    ]
    loss, accuracy = curves.panels({'': records})
    assert [panel.title for panel in (loss, accuracy)] == ['loss', 'accuracy']
    assert loss.legend == [('train', 0), ('test', 1)]
    assert accuracy.legend == [('test', 1)]
    assert len(loss.lines[1].points) == 1


def test_runs_side_by_side_show_what_they_were_scored_on():
    a = [{'step': 1, 'split': 'train', 'loss': 9.0}, {'step': 2, 'split': 'test', 'loss': 1.0}]
    b = [{'step': 3, 'split': 'train', 'loss': 2.0}]
    panel = curves.compared({'a': a, 'b': b}, 'loss')
    assert panel.legend == [('a', 0), ('b', 1)]
    assert [len(line.points) for line in panel.lines] == [1, 1]
    assert curves.compared({'a': a, 'b': b}, 'accuracy') is None

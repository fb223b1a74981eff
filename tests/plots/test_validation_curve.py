"""The validation curve: both curves, the errors given, the marks where they belong."""

import numpy as np
import pytest

from cnn.plots import validation_curve

POINTS = [
    {'capacity': 4, 'validation': [0.90, 0.94], 'train': [0.99, 0.97], 'error': 0.03},
    {'capacity': 1, 'validation': [0.80, 0.84], 'train': [0.81, 0.83], 'error': 0.01},
    {'capacity': 2, 'validation': [0.91, 0.91], 'train': [0.95, 0.95], 'error': 0.02},
]


def drawn(tmp_path, figures, points, **options):
    seen = figures(validation_curve)
    validation_curve.draw(points, str(tmp_path / 'v.png'), **{'metric': 'accuracy', **options})
    return seen[0]


def lines(axes):
    return {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()}


def test_both_curves_in_order_of_capacity_with_the_errors_given(tmp_path, figures, words):
    canvas = drawn(tmp_path, figures, POINTS, best=4, chosen=2, threshold=0.89)
    axes = canvas.axes[0]
    np.testing.assert_allclose(lines(axes)['training, mean'], [[1, 0.82], [2, 0.95], [4, 0.98]])
    (container,) = axes.containers
    np.testing.assert_allclose(container.lines[0].get_xydata(), [[1, 0.82], [2, 0.91], [4, 0.92]])
    segments = container.lines[2][0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], [[0.81, 0.83], [0.89, 0.93], [0.89, 0.95]])
    np.testing.assert_allclose(lines(axes)['best mean: 4'], [[4, 0.92]])
    np.testing.assert_allclose(lines(axes)['chosen, the simplest within: 2'], [[2, 0.91]])
    np.testing.assert_allclose(lines(axes)['one standard error from the best'], [[0, 0.89], [1, 0.89]])
    assert [t.get_text() for t in canvas.legends[0].get_texts()] == [
        'training, mean',
        'validation, mean ± one corrected standard error',
        'one standard error from the best',
        'best mean: 4',
        'chosen, the simplest within: 2',
    ]
    # Each fold is a dot beside its mean.
    dots = sorted(v for line in axes.get_lines() if line.get_alpha() for v in line.get_ydata())
    assert dots == sorted(v for p in POINTS for v in (*p['validation'], *p['train']))
    assert {'1', '2', '4', 'degree', 'accuracy'} <= set(words(canvas))


def test_no_error_no_bar_and_no_promise(tmp_path, figures, words):
    points = [{**p, 'error': None, 'train': []} for p in POINTS]
    canvas = drawn(tmp_path, figures, points)
    assert not canvas.axes[0].containers
    assert 'validation, mean' in words(canvas)
    assert not [w for w in words(canvas) if '±' in w or 'best' in w]


@pytest.mark.parametrize(
    ('capacities', 'scale'),
    [([1, 2, 3], 'linear'), ([1, 8, 64], 'log'), ([0, 8, 64], 'linear'), (['b', 'a', 'c'], 'linear')],
)
def test_the_axis_of_capacity(tmp_path, figures, capacities, scale):
    points = [{**POINTS[0], 'capacity': c} for c in capacities]
    axes = drawn(tmp_path, figures, points, best=capacities[0]).axes[0]
    assert axes.get_xscale() == scale
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(c) for c in capacities]


def test_a_loss_that_falls_far_is_logarithmic_and_its_bars_stay_on_the_axis(tmp_path, figures):
    values = [[10.0**-k, 2 * 10.0**-k] for k in range(3)]
    points = [{'capacity': k, 'validation': v, 'train': [], 'error': 3 * v[0]} for k, v in enumerate(values)]
    axes = drawn(tmp_path, figures, points, metric='loss').axes[0]
    assert axes.get_yscale() == 'log'
    assert axes.get_ylim() == pytest.approx((0.01 / 1.3, 2 * 1.3))


@pytest.mark.parametrize(
    'points',
    [
        [],
        POINTS[:1],
        [{'capacity': 'x', 'validation': [], 'train': [], 'error': None}],
        [{'capacity': 1.5, 'validation': [float('nan')], 'train': [0.0], 'error': None}],
        [{**POINTS[0], 'capacity': k} for k in range(20)],
        [{**POINTS[0], 'capacity': f'$w_{k}$ 한국 and more'} for k in range(4)],
    ],
    ids=['nothing', 'one', 'empty', 'nan', 'crowded', 'words'],
)
def test_degenerate_points_draw_without_a_warning(tmp_path, points):
    validation_curve.draw(points, str(tmp_path / 'v.png'), metric='accuracy', best='x', threshold=0.5)
    assert (tmp_path / 'v.png').exists()

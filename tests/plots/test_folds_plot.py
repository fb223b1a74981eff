"""The picture of folds: every value is there, the interval is the one given, and none is made up."""

import math

import matplotlib.colors
import numpy as np
import pytest

from cnn.plots import folds
from cnn.plots.figure import INK


def setting(name='ResNet-8', values=(0.9, 0.94, 0.92), interval=(0.88, 0.96), **more):
    made = {'name': name, 'values': list(values), 'mean': float(np.mean(values)), 'confidence': 0.95}
    return {**made, 'interval': interval and list(interval), 'method': 'Nadeau-Bengio corrected t', **more}


def ink(axes):
    return [line.get_xdata().tolist() for line in axes.get_lines() if line.get_color() == INK]


def test_every_fold_its_mean_and_its_interval_are_drawn(tmp_path, figures, words):
    seen = figures(folds)
    many = [setting(), setting('VGG', (0.8, 0.81, 0.82, 0.80), (0.7, 0.9))]
    folds.draw_settings(many, str(tmp_path / 'f.png'), metric='accuracy')
    axes = seen[0].axes[0]
    dots = [sorted(line.get_xdata()) for line in axes.get_lines() if line.get_marker() == 'o']
    assert dots == [[0.9, 0.92, 0.94], [0.8, 0.8, 0.81, 0.82]]
    assert [0.88, 0.96] in ink(axes)
    assert [0.7, 0.9] in ink(axes)
    assert {'92.0 %  [88.0, 96.0]', '80.8 %  [70.0, 90.0]', 'ResNet-8', 'VGG'} <= set(words(seen[0]))
    assert axes.get_title(loc='left') == 'accuracy: folds, their mean and its corrected 95 % interval'
    # Two settings, two colours; of the first row of three the title can name the number of folds.
    colors = {matplotlib.colors.to_hex(line.get_color()) for line in axes.get_lines() if line.get_marker() == 'o'}
    assert len(colors) == 2


def test_without_an_interval_none_is_drawn_and_the_reason_stands_there(tmp_path, figures, words):
    seen = figures(folds)
    one = setting(values=(2.0, 3.0), interval=None, method='none: rolling windows are no sample of one distribution')
    folds.draw_settings([one], str(tmp_path / 'f.png'), metric='mae')
    assert ink(seen[0].axes[0]) == [[2.5, 2.5]]
    shown = words(seen[0])
    assert '2.5  no interval' in shown
    assert 'no interval: rolling windows are no sample of one distribution' in shown
    assert seen[0].axes[0].get_title(loc='left') == 'mae: 2 folds, their mean'


def test_an_interval_of_another_kind_is_not_called_corrected(tmp_path, figures):
    seen = figures(folds)
    folds.draw_settings([setting(method='t over subjects')], str(tmp_path / 'f.png'), metric='loss')
    assert seen[0].axes[0].get_title(loc='left') == 'loss: 3 folds, their mean and its 95 % interval'


def test_equal_values_do_not_hide_each_other():
    offsets = folds._spread(np.array([0.5, 0.5, 0.5, 0.9]))
    assert len(set(offsets[:3].tolist())) == 3
    assert offsets[3] == 0
    assert np.abs(folds._spread(np.full(50, 0.1))).max() <= 0.2


@pytest.mark.parametrize('names', [[], ['small', 'large']])
def test_a_document_has_a_row_for_each_setting(tmp_path, figures, names):
    seen = figures(folds)
    summary = {
        'values': {'loss': [1.0, 2.0], 'mae': [7.0, 8.0]},
        'mean': {'loss': 1.5, 'mae': 7.5},
        'interval': {'loss': [0.0, 3.0], 'mae': None},
        'interval_method': {'loss': 'corrected t', 'mae': 'none: whatever'},
        'confidence': 0.9,
    }
    document = {**summary, 'settings_compared': dict.fromkeys(names, summary)}
    folds.draw(document, 'loss', str(tmp_path / 'f.png'))
    axes = seen[0].axes[0]
    assert ink(axes).count([0.0, 3.0]) == max(1, len(names))
    assert [t.get_text() for t in axes.get_yticklabels()] == (names or [''])
    assert axes.get_title(loc='left') == 'loss: 2 folds, their mean and its corrected 90 % interval'


@pytest.mark.parametrize(
    'settings',
    [
        [setting(values=(1.0, 1.0, 1.0), interval=None)],
        [setting(values=(0.0,), interval=None, method=None)],
        [{**setting(), 'values': [math.nan, 0.5], 'mean': math.nan}],
        [{**setting(), 'values': [], 'mean': None, 'interval': None}],
        [setting('$a_b$ 한국', interval=(0.0, 1.0))] * 7,
        [],
    ],
    ids=['equal', 'zero', 'nan', 'empty', 'names', 'none'],
)
@pytest.mark.parametrize('metric', ['accuracy', 'loss'])
def test_degenerate_folds_draw_without_a_warning(tmp_path, settings, metric):
    folds.draw_settings(settings, str(tmp_path / 'f.png'), metric=metric)
    assert (tmp_path / 'f.png').exists()

"""A sweep's pictures: every trial is drawn or counted, the best so far never gets worse."""

import numpy as np
import pytest

from cnn.plots import sweep


def trial(number, value, state='complete'):
    return {'number': number, 'value': value, 'state': state}


def lines(axes):
    return {line.get_label().split(' (')[0]: line for line in axes.get_lines()}


@pytest.mark.parametrize(('larger', 'best'), [(True, [0.5, 0.7, 0.7, 0.7]), (False, [0.5, 0.5, 0.2, 0.2])])
def test_the_best_so_far_is_the_running_best(tmp_path, figures, larger, best):
    seen = figures(sweep)
    found = [trial(0, 0.5), trial(2, 0.7), trial(1, None, 'failed'), trial(3, 0.2), trial(4, 0.1, 'pruned'),
             trial(5, None, 'running')]  # fmt: skip
    sweep.history(found, str(tmp_path / 'a.png'), metric='loss', larger_is_better=larger)
    drawn = lines(seen[0].axes[0])
    assert drawn['best so far'].get_ydata().tolist() == best
    # The line goes on to the last trial.
    assert drawn['best so far'].get_xdata().tolist() == [0, 2, 3, 5]
    assert drawn['complete'].get_xydata().tolist() == [[0, 0.5], [2, 0.7], [3, 0.2]]
    assert drawn['pruned, where it stood'].get_xydata().tolist() == [[4, 0.1]]
    assert list(drawn['failed'].get_xdata()) == [1]


def test_one_bad_trial_does_not_flatten_the_rest(tmp_path, figures, words):
    seen = figures(sweep)
    values = [*np.linspace(0.9, 0.95, 20), 0.1]
    found = [trial(k, v) for k, v in enumerate(values)]
    sweep.history(found, str(tmp_path / 'a.png'), metric='accuracy', larger_is_better=True)
    low, high = seen[0].axes[0].get_ylim()
    assert 0.88 < low < 0.9
    assert 0.95 < high <= 1.004
    assert '1 outside' in words(seen[0])


def test_bars_are_the_shares_the_longest_on_top(tmp_path, figures, words):
    seen = figures(sweep)
    shares = {'optimizer.learning_rate': 0.7, 'batch_size': 0.05, 'loss.label_smoothing': 0.25}
    sweep.importance(shares, str(tmp_path / 'a.png'), metric='accuracy', trials=12)
    axes = seen[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.05, 0.25, 0.7]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == 'optimizer.learning_rate'
    assert {'70 %', '25 %', '5 %', 'What mattered for accuracy, of 12 trials'} <= set(words(seen[0]))


@pytest.mark.parametrize(
    'found',
    [[], [trial(0, None, 'failed')], [trial(0, 1.0)], [trial(0, np.inf, 'pruned')], [trial(k, 0.5) for k in range(6)]],
    ids=['none', 'failed', 'one', 'infinite', 'equal'],
)  # fmt: skip
def test_few_or_equal_trials_draw_without_a_warning(tmp_path, found):
    sweep.history(found, str(tmp_path / 'a.png'), metric='accuracy', larger_is_better=True)
    assert (tmp_path / 'a.png').stat().st_size > 2000


def test_names_are_shown_as_they_stand(tmp_path, figures, words):
    seen = figures(sweep)
    sweep.importance({'$a_b$': 1.0}, str(tmp_path / 'a.png'), metric='mae', trials=5)
    assert '$a_b$' in {t.replace('\\', '') for t in words(seen[0])}

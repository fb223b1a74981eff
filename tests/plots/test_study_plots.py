"""The pictures of studies: every arm and every seed is there, and nothing that was not measured."""

import numpy as np
import pytest

from cnn.plots import drift, folds, study, study_capacity, study_cost, study_curves, study_over


def arm(name, section='', settings=None, accuracy=(0.9, 0.92), diverged=(), **fields):
    values = [None if v is None else float(v) for v in accuracy]
    known = [v for v in values if v is not None]
    return {
        'name': name, 'arm': section or name, 'settings': settings or {}, 'parameters': 100, 'macs': 1000,
        'timings': {}, 'diverged': {str(seed): 3 for seed in diverged},
        'values': {'accuracy': values, 'fit_accuracy': [1.0, 0.99]},
        'mean': {'accuracy': float(np.mean(known)), 'train_loss': 0.5}, 'std': {'accuracy': float(np.std(known))},
        'interval': {'accuracy': None}, **fields,
    }  # fmt: skip


def document(arms, kind, x='', runs=()):
    return {'arms': arms, 'plot': {'kind': kind, 'x': x, 'metric': 'accuracy'}, 'seeds': [0, 1], 'runs': list(runs)}


def run(name, seed, loss=1.0, steps=(10, 20, 30)):
    train = [{'step': s, 'loss': loss * 30 / s, 'accuracy': 0.5} for s in steps]
    test = [{'step': 30, 'loss': 50.0, 'accuracy': 0.4}]
    return {'arm': name, 'seed': seed, 'curves': {'train': train, 'test': test}}


def dots(axes):
    return [line.get_ydata().tolist() for line in axes.get_lines() if line.get_marker() == 'o']


def test_curves_have_a_panel_for_each_kind_and_end_where_a_seed_does(tmp_path, figures, words):
    seen = figures(study_curves)
    names = ('plain_8', 'plain_14', 'residual_8', 'residual_14')
    runs = [run(name, seed, loss=k + 1) for k, name in enumerate(names) for seed in (0, 1)]
    runs[1] = run('plain_8', 1, loss=3.0, steps=(10, 20))
    study_curves.draw(document([arm(name) for name in names], 'curves', runs=runs), str(tmp_path / 'c.png'))
    grid = np.array(seen[0].axes).reshape(2, 2)
    assert [axes.get_title(loc='left') for axes in grid[0]] == ['plain', 'residual']
    dashed = [line for line in grid[0, 0].get_lines() if line.get_linestyle() == '--']
    # The mean of both seeds, 1 and 3 times 30 / step, at the steps that both have.
    assert dashed[0].get_xdata().tolist() == [10, 20]
    assert dashed[0].get_ydata().tolist() == pytest.approx([(3 + 9) / 2, (1.5 + 4.5) / 2])
    assert dashed[1].get_xdata().tolist() == [10, 20, 30]
    # A test loss of fifty would press the training curves, of at most twelve, together.
    assert grid[0, 0].get_ylim()[1] < 20
    assert {'8', '14', 'error, %'} <= set(words(seen[0]))


def test_over_a_field_every_seed_is_a_dot_and_divergence_is_told(tmp_path, figures, words):
    seen = figures(study_over)
    arms = [arm(f'{s} {rate}', s, {'rate': rate}, (0.1, 0.1) if rate == 3.0 and s == 'without' else (0.8, rate / 4),
                diverged=(0, 1) if rate == 3.0 and s == 'without' else ())
            for s in ('without', 'with') for rate in (0.03, 0.3, 3.0)]  # fmt: skip
    study_over.draw(document(arms, 'over', x='rate'), str(tmp_path / 'o.png'))
    (axes,) = seen[0].axes
    assert len(dots(axes)) == 6
    assert [0.8, 0.075] in dots(axes)
    assert axes.get_xscale() == 'log'
    assert {'2 diverged', 'with', 'without', '0.03', '3'} <= set(words(seen[0]))


def test_over_a_field_that_changes_the_size_there_is_a_panel_over_the_parameters(tmp_path, figures):
    seen = figures(study_over)
    arms = [arm(f'k={k}', 'net', {'growth': k}, (0.9, 0.9), parameters=k * k) for k in (2, 4, 8)]
    study_over.draw(document(arms, 'over', x='growth'), str(tmp_path / 'o.png'))
    means = [axes.get_lines()[0].get_xdata().tolist() for axes in seen[0].axes]
    assert means == [[2, 4, 8], [4, 16, 64]]


@pytest.mark.parametrize('timed', [False, True])
def test_costs_have_time_only_where_every_arm_was_timed(tmp_path, figures, timed):
    seen = figures(study_cost)
    arms = [arm('a', timings={'step_seconds': [0.01, 0.03, 0.02]}), arm('b', parameters=900, macs=50)]
    if timed:
        arms[1]['timings'] = {'step_seconds': [0.005]}
    study_cost.draw(document(arms, 'cost'), str(tmp_path / 'c.png'))
    assert len(seen[0].axes) == 2 + timed
    # A mark an arm, each of its own kind.
    places = [sorted(float(line.get_xdata()[0]) for line in axes.get_lines() if line.get_marker() in 'os')
              for axes in seen[0].axes]  # fmt: skip
    assert places == [[100, 900], [50, 1000], [5.0, 20.0]][: 2 + timed]


def test_capacity_has_a_panel_for_each_number_of_examples(tmp_path, figures):
    seen = figures(study_capacity)
    arms = [arm(f'{w} {n}', 'net', {'model.width': w, 'study.examples': n}, (0.8, 0.7))
            for w in (1, 2) for n in (50, 200, 800)]  # fmt: skip
    study_capacity.draw(document(arms, 'capacity'), str(tmp_path / 'c.png'))
    assert [axes.get_title(loc='left') for axes in seen[0].axes] == ['50 examples', '200 examples', '800 examples']
    for axes in seen[0].axes:
        training, test = axes.get_legend_handles_labels()[0]
        assert training.get_ydata() == pytest.approx([0.5, 0.5])
        assert test.get_ydata() == pytest.approx([25.0, 25.0])


def test_drift_is_drawn_where_the_first_arm_trains_best(tmp_path, figures):
    seen = figures(drift)
    arms = [arm(f'{s} {rate}', s, {'rate': rate}) for s in ('without', 'with') for rate in (0.1, 1.0)]
    arms[0]['mean']['train_loss'] = 0.1
    quantiles = [[-1.0, 0.0, 1.0], [-2.0, 0.5, 3.0]]
    runs = [{'arm': a['name'], 'seed': seed, 'drift': {'steps': [5, 10], 'quantiles': quantiles, 'drift': 0.25}}
            for a in arms for seed in (0, 1)]  # fmt: skip
    drift.draw(document(arms, 'over', x='rate', runs=runs), str(tmp_path / 'd.png'))
    titles = [axes.get_title(loc='left') for axes in seen[0].axes]
    assert titles == ['without 0.1: drift 0.25', 'with 0.1: drift 0.25']
    assert seen[0].axes[0].get_lines()[0].get_ydata().tolist() == [-1.0, -2.0]


def test_a_kind_that_is_not_there_is_refused_and_rows_are_of_seeds(tmp_path, figures):
    with pytest.raises(ValueError, match='there are curves'):
        study.draw(document([arm('a')], 'pie'), str(tmp_path))
    seen = figures(folds)
    assert study.draw(document([arm('a'), arm('b', accuracy=(None, 0.5))], 'arms'), str(tmp_path)) == ['study.png']
    assert 'seeds' in seen[0].axes[0].get_title(loc='left')
    assert sorted(dots(seen[0].axes[0]), key=len)[0] == pytest.approx([0.88])

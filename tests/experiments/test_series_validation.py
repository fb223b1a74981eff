"""Nested cross-validation of series as a user runs it: time's arrow, layouts that agree, an honest record."""

import csv
import json

import numpy as np
import pytest

from cnn.experiments import build, cross_validate, evaluate, predict, series_folds, series_scores, settings, train
from cnn.experiments.errors import UserError
from configs import forecast
from input_pipeline import series_csv
from input_pipeline.series_folds import SeriesFold, Window

SUBJECTS, TIMES = ('Ana', 'Bo', 'Cy', 'Di'), 26


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """Four subjects whose slopes change slowly: the past tells what comes, the last value alone does not."""
    rng = np.random.default_rng(0)
    lines = ['subject,time,value']
    for subject in SUBJECTS:
        slopes = np.cumsum(rng.normal(0, 0.1, TIMES)) + rng.choice([-1, 1]) * rng.uniform(1, 3)
        lines += [f'{subject},{1980 + t},{value:.5f}' for t, value in enumerate(np.cumsum(slopes))]
    path = tmp_path_factory.mktemp('own') / 'own.csv'
    path.write_text('\n'.join(lines))
    return str(path)


def config(own, **folds):
    c = forecast.get_config(f'dataset=series:{own},past=4,horizon=2')
    c.model.width, c.steps, c.batch_size, c.schedule.warmup_epochs = 4, 40, 16, 0.0
    c.optimizer.learning_rate = 0.03
    c.folds.update({'count': 2, 'subjects': 0, 'grid': '', **folds})
    settings.check(c)
    return c


def read(workdir, name='folds.json'):
    return json.loads((workdir / name).read_text())


def forecasts(workdir):
    with open(workdir / 'forecasts.csv') as file:
        return list(csv.DictReader(file))


def years(ids):
    return [int(name.partition('@')[2]) for name in ids]


def test_both_schemes_with_every_claim_checked(own, tmp_path):
    c = config(own, grid='optimizer.learning_rate=0.0,0.03', subjects=3)
    document = cross_validate.run(c, tmp_path)
    assert document == read(tmp_path)
    assert [m['name'] for m in document['methods'].values()] == [
        'last value', 'straight line, own past', 'autoregression, own past', 'linear map, all subjects',
        'network, own past (regular)', 'network, all subjects (population-informed)',
    ]  # fmt: skip
    # Three tested subjects, two windows: a model each alone, one a window for all, and the last four years are tested.
    names = [fold['name'] for fold in document['folds']]
    assert sum(name.startswith('regular_') for name in names) == 6
    assert names[6:] == ['population_informed_fold_0', 'population_informed_fold_1']
    for fold in document['folds']:
        first = {'0': 2002, '1': 2004}[fold['name'][-1]]
        assert set(years(fold['test_ids'])) == {first, first + 1}
        assert max(years(fold['train_ids'])) == first - 1
        subjects = {name.partition('@')[0] for name in fold['train_ids']}
        assert len(subjects) == (1 if fold['name'].startswith('regular') else 4)
        assert len({name.partition('@')[0] for name in fold['test_ids']}) == (1 if len(subjects) == 1 else 3)
    # The naive errors and the truth, from the file.
    panel = series_csv.read(own)
    series = dict(zip(panel.subjects, panel.values, strict=True))
    rows = forecasts(tmp_path)
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        at = int(row['time']) - 1980
        assert float(row['truth']) == pytest.approx(series[row['subject']][at], rel=1e-5)
        assert float(row['naive']) == pytest.approx(series[row['subject']][at - int(row['steps_ahead'])], rel=1e-5)
    for method, summary in document['methods'].items():
        errors = [abs(float(row[method]) - float(row['truth'])) for row in rows]
        assert summary['mean']['mae'] == pytest.approx(np.mean(errors), rel=1e-4)
        assert summary['n_subjects'] == 3
    assert document['mean'] == document['methods']['population_informed']['mean']
    # A rate of zero learns nothing, and the last value is far from what comes: the validation windows see that.
    assert document['chosen']['population_informed'] == {'learning_rate=0.03': 2}
    assert document['methods']['population_informed']['mean']['skill'] > 0.3
    # Three subjects are tested in every window, 2 values each: 12 in both schemes.
    assert document['leakage'].startswith('Checked 8 folds and 8 folds within: none of 12 test examples')
    assert all(words in document['leakage'] for words in ('fitted on', 'selected by', 'normalised by'))
    ledger = read(tmp_path, 'ledger.json')
    roles = {(r['fold'], r['role']): [ledger['ids'][i] for i in ledger['sets'][r['set']]] for r in ledger['records']}
    inner = roles['population_informed_fold_0_inner', 'statistics']
    assert max(years(inner)) == 1999
    assert set(years(roles['population_informed_fold_0', 'selection'])) == {2000, 2001}
    for name in ('comparison.png', 'forecasts.png'):
        assert (tmp_path / name).stat().st_size > 10_000


def test_layouts_agree_a_finished_run_is_not_repeated_and_other_folds_are_refused(own, tmp_path):
    found = {}
    for layout in ('stacked', 'sequential'):
        cross_validate.run(config(own, kind='population_informed', layout=layout), tmp_path / layout)
        found[layout] = forecasts(tmp_path / layout)
    for a, b in zip(*found.values(), strict=True):
        assert (a['subject'], a['time']) == (b['subject'], b['time'])
        assert float(a['population_informed']) == pytest.approx(float(b['population_informed']), rel=1e-5, abs=1e-4)
    place = tmp_path / 'stacked' / 'members' / 'population_informed_fold_1' / 'result.json'
    before = place.stat().st_mtime_ns
    cross_validate.run(config(own, kind='population_informed'), tmp_path / 'stacked')
    assert place.stat().st_mtime_ns == before
    with pytest.raises(UserError, match='was made with another window; use a new workdir'):
        cross_validate.run(config(own, kind='population_informed', window='rolling'), tmp_path / 'stacked')


def test_train_evaluate_and_predict(own, tmp_path):
    c = config(own)
    result = train.run(c, tmp_path)
    assert result['steps'] == 40
    assert result['metrics']['skill'] > 0
    # Scored again by the scale of the training part, not by that of the test.
    again = evaluate.run(c, tmp_path)
    assert again['metrics'] == pytest.approx(result['metrics'])
    rows = predict.run(c, tmp_path, None)
    assert [row['subject'] for row in rows] == list(SUBJECTS)
    assert rows[0]['times'] == ['2006', '2007']
    assert (tmp_path / 'forecasts.png').is_file()
    with open(own) as file:
        renamed = file.read().replace('Ana', 'Eve')
    other = tmp_path / 'other.csv'
    other.write_text(renamed)
    with pytest.raises(UserError, match='was trained on other subjects'):
        predict.run(config(str(other)), tmp_path, None)


def test_rolling_windows_keep_their_length_when_they_are_fitted_once_more():
    fold = SeriesFold('f', 0, (Window(0, 2, 8), Window(1, 0, 6)), (Window(0, 8, 11),), (Window(0, 12, 14),))
    assert series_folds.refitted(fold, 'expanding') == (Window(0, 2, 11), Window(1, 0, 6))
    assert series_folds.refitted(fold, 'rolling') == (Window(0, 5, 11), Window(1, 0, 6))


def test_training_that_reaches_into_the_test_is_an_error(own):
    source = build.source(config(own), 'all')
    early, late = source.forecasting([Window(0, 10, 14)]), source.forecasting([Window(0, 14, 16)])
    series_folds.assert_before(source, early, late, everyone=True)
    with pytest.raises(AssertionError, match='reaches into the time of what is scored'):
        series_folds.assert_before(source, late, early, everyone=True)
    others = source.forecasting([Window(1, 14, 16)])
    series_folds.assert_before(source, others, late, everyone=False)
    with pytest.raises(AssertionError, match='training on Bo@'):
        series_folds.assert_before(source, others, late, everyone=True)


@pytest.mark.parametrize(
    ('folds', 'message'),
    [
        ({'kind': 'populaton_informed'}, "is no scheme for series; did you mean 'population_informed'"),
        ({'test_size': 1}, 'no example lies in the test windows, which have 1 values at most; it takes 2'),
        ({'division': 'second_half'}, None),
        ({'window': 'roling'}, "unknown window 'roling'"),
        ({'final': True}, 'config.folds.final is not for series: leave it at False'),
    ],
)
def test_folds_that_cannot_be_made_are_one_line(own, tmp_path, folds, message):
    c = config(own, **folds)
    if message is None:
        assert len(series_folds.divisions(c, build.source(c, 'all'), 'population_informed')) == 1
        return
    with pytest.raises(ValueError, match=message) as error:
        cross_validate.run(c, tmp_path)
    assert '\n' not in str(error.value)


def test_series_are_always_scaled_by_their_training_part(own):
    c = config(own)
    c.input.statistics = 'dataset'
    with pytest.raises(UserError, match='use computed'):
        settings.check(c)


def test_scores_by_hand():
    rows = series_scores.Rows(
        np.array([3, 4, 8, 9]), np.array([0, 0, 5, 5]), np.array([0, 1, 0, 1]), np.zeros((4, 2)),
        np.array([[1.0, 1], [2, 2], [1, 3], [0, 0]]), np.array([1.0, 2, 0.5, 1]),
    )  # fmt: skip
    zero = series_scores.Method('zero', np.zeros((1, 4, 2)))
    two = series_scores.Method('two seeds', np.stack([rows.truth + 1, rows.truth - 3]), trained=True)
    # Errors 1, 2 of the first subject, 2, 0 of the second.
    found = series_scores.summarise(zero, rows)
    assert found['mean']['mae'] == pytest.approx(1.25)
    assert found['mean']['mase'] == pytest.approx(((1 + 1) / 2 + (4 + 0) / 2) / 2)
    assert found['mean']['rmse'] == pytest.approx(np.sqrt((1 + 1 + 4 + 4 + 1 + 9 + 0 + 0) / 8))
    assert found['mean']['skill'] == pytest.approx(0.0)
    assert found['mae_ahead'] == pytest.approx([1.0, 1.5])
    assert found['mae_by_window'] == pytest.approx([1.5, 1.0])
    # Two subjects, 1.5 and 1: half their difference times t(0.975, 1 degree of freedom); no error is below zero.
    assert found['interval']['mae'] == pytest.approx([0.0, 1.25 + 0.25 * 12.7062], rel=1e-4)
    # Errors of 1 and 3 average to 2, not the error of the average forecast.
    assert series_scores.summarise(two, rows)['mean']['mae'] == pytest.approx(2)
    compared = series_scores.compare(zero, two, rows)
    assert compared['difference'] == pytest.approx(-0.75)
    assert compared['a_better'] == 2
    table = {'index': np.array([8, 3]), 'forecast': np.ones((2, 2))}
    with pytest.raises(ValueError, match='net: a test window has no forecast'):
        series_scores.of_networks(rows, [[table]], 'net')

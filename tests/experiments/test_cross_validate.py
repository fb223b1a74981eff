"""Cross-validation as a user runs it: layouts agree, nothing leaks, a killed run goes on."""

import csv
import json
import os
import signal

import numpy as np
import pytest

from cnn.experiments import cross_validate, grid
from cnn.experiments.errors import UserError
from configs import resnet
from tests.experiments import runs


def config(**folds):
    """ResNet-8 of width 4 on 120 digits: about a second a fold, most of it compilation."""
    c = resnet.get_config()
    c.model.width = 4
    c.batch_size, c.epochs = 20, 1.0
    c.input.train_split, c.evaluation.split = 'train[:120]', 'test[:40]'
    c.folds.update({'count': 3, 'layout': 'sequential', 'near_duplicates': False, **folds})
    return c


def read(workdir, name='folds.json'):
    return json.loads((workdir / name).read_text())


def state(workdir):
    return {place.parent.name: np.load(place) for place in sorted(workdir.glob('members/*/predictions.npz'))}


@pytest.mark.usefixtures('no_pictures')
def test_every_layout_gives_each_fold_the_same_numbers(tmp_path):
    found = {}
    for layout in ('sequential', 'stacked', 'spread'):
        c = config(layout=layout, count=2)
        c.devices = 1 if layout != 'spread' else 2
        found[layout] = cross_validate.run(c, tmp_path / layout)
        assert found[layout]['layout'] == layout
    for layout in ('stacked', 'spread'):
        assert found[layout]['mean']['loss'] == pytest.approx(found['sequential']['mean']['loss'], abs=1e-5)
        for name, arrays in state(tmp_path / 'sequential').items():
            other = state(tmp_path / layout)[name]
            assert arrays['index'].tolist() == other['index'].tolist()
            np.testing.assert_allclose(arrays['label_probability'], other['label_probability'], atol=1e-5)


def test_folds_cover_the_set_and_the_record_holds_together(tmp_path):
    document = cross_validate.run(config(near_duplicates=True), tmp_path)
    tested = [name for fold in document['folds'] for name in fold['test_ids']]
    assert len(tested) == len(set(tested)) == 120
    for fold in document['folds']:
        assert not set(fold['train_ids']) & set(fold['test_ids'])
        assert len(fold['train_ids']) + len(fold['test_ids']) == 120
    accuracies = [fold['metrics']['accuracy'] for fold in document['folds']]
    assert document['mean']['accuracy'] == pytest.approx(np.mean(accuracies))
    # Every out-of-fold prediction is in the table, and the fold's accuracy follows from it.
    with open(tmp_path / 'predictions.csv') as file:
        rows = list(csv.DictReader(file))
    assert sorted(row['id'] for row in rows) == sorted(tested)
    first = [row['label'] == row['prediction'] for row in rows if row['fold'] == 'fold_0']
    assert np.mean(first) == pytest.approx(accuracies[0])
    right = [row['label'] == row['prediction'] for row in rows]
    assert document['pooled']['accuracy']['mean'] == pytest.approx(np.mean(right))
    assert 'none of 120 test examples' in document['leakage']
    assert read(tmp_path, 'result.json')['metrics']['accuracy'] == document['mean']['accuracy']
    assert (tmp_path / 'folds.png').stat().st_size > 5000
    for place in (tmp_path / 'members').iterdir():
        assert {'curves.png', 'confusion.png', 'mistakes.png'} <= {path.name for path in place.iterdir()}


@pytest.mark.usefixtures('no_pictures')
def test_nested_folds_choose_inside_and_the_test_split_is_looked_at_last(tmp_path):
    c = config(count=2, inner=2, grid='optimizer.learning_rate=0.0,0.1', final=True)
    c.input.statistics, c.epochs, c.checkpoint.best_metric = 'computed', 2.0, 'loss'
    document = cross_validate.run(c, tmp_path)
    # A rate of zero learns nothing: any honest choice is the other one.
    assert [chosen['optimizer.learning_rate'] for chosen in document['chosen'].values()] == [0.1, 0.1]
    assert document['final_test']['settings'] == {'optimizer.learning_rate': 0.1}
    assert document['leakage'].endswith('the test part of final was looked at last.')
    assert 'selected by' in document['leakage']
    assert 'normalised by' in document['leakage']
    # Each member normalises by its own training images.
    members = [tmp_path / 'members' / name for name in ('fold_0_setting_1', 'fold_1_setting_1')]
    assert len({read(place, 'dataset.json')['mean'][0] for place in members}) == 2


@pytest.mark.usefixtures('no_pictures')
def test_settings_and_seeds_are_members_and_the_chosen_mean_is_called_optimistic(tmp_path, capsys):
    c = config(count=2, grid='optimizer.learning_rate=0.0,0.1;loss.label_smoothing=0,0.1', seeds=2)
    document = cross_validate.run(c, tmp_path)
    assert len(list((tmp_path / 'members').glob('fold_*_setting_*_seed_*/result.json'))) == 2 * 4 * 2
    assert set(document['settings_compared']) == {
        f'learning_rate={rate},label_smoothing={smoothing}' for rate in (0.0, 0.1) for smoothing in (0.0, 0.1)
    }
    members = (tmp_path / 'members').glob('fold_0_setting_3_seed_*')
    first, second = (read(place, 'result.json')['metrics']['loss'] for place in members)
    values = document['settings_compared']['learning_rate=0.1,label_smoothing=0.1']['values']['loss']
    assert first != second
    assert values[0] == pytest.approx((first + second) / 2)
    assert 'optimistic' in capsys.readouterr().out


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(tmp_path):
    flags = (
        '--mode=cross_validate', '--config.folds.count=2', '--config.folds.layout=sequential',
        '--config.folds.near_duplicates=False', '--config.folds.early_stopping=0.2',
    )  # fmt: skip
    whole = runs.start(tmp_path / 'whole', *flags, cache=tmp_path / 'cache')
    runs.finish(whole)
    killed = runs.start(tmp_path / 'killed', *flags, cache=tmp_path / 'cache')
    runs.stop_at(killed, tmp_path / 'killed' / 'members' / 'fold_1', 12, signal.SIGKILL)
    killed.communicate()
    assert (tmp_path / 'killed' / 'members' / 'fold_0' / 'result.json').is_file()
    assert not (tmp_path / 'killed' / 'members' / 'fold_1' / 'result.json').exists()
    before = os.stat(tmp_path / 'killed' / 'members' / 'fold_0' / 'result.json').st_mtime_ns
    runs.finish(runs.start(tmp_path / 'killed', *flags, cache=tmp_path / 'cache'))
    assert os.stat(tmp_path / 'killed' / 'members' / 'fold_0' / 'result.json').st_mtime_ns == before
    assert read(tmp_path / 'killed') == read(tmp_path / 'whole')
    for fold, arrays in state(tmp_path / 'whole').items():
        for name, values in state(tmp_path / 'killed')[fold].items():
            assert values.tolist() == arrays[name].tolist()


@pytest.mark.usefixtures('no_pictures')
def test_the_weights_that_did_best_on_held_out_training_examples_are_the_ones_tested(tmp_path):
    c = config(count=2, early_stopping=0.25)
    # So high a rate that the last weights are hardly ever the best.
    c.epochs, c.evaluation.every_epochs, c.optimizer.learning_rate, c.schedule.name = 4.0, 1.0, 1.0, 'constant'
    document = cross_validate.run(c, tmp_path)
    assert 'stopped early by' in document['leakage']
    for place in (tmp_path / 'members').iterdir():
        rows = [row for row in runs.records(place) if row['split'] == 'early_stopping']
        assert len(rows) > 2
        best = max(rows, key=lambda row: (row['accuracy'], -row['step']))
        assert read(place, 'result.json')['chosen_step'] == best['step']
        assert not [row for row in runs.records(place) if row['split'] == 'held_out']


def test_folds_are_kept_and_other_settings_in_the_same_workdir_are_refused(tmp_path):
    first = cross_validate.CrossValidation(config(), tmp_path / 'a')
    (tmp_path / 'a').mkdir()
    folds = first._folds()
    again = cross_validate.CrossValidation(config(file=str(tmp_path / 'a' / 'folds.json'), count=5), tmp_path / 'b')
    (tmp_path / 'b').mkdir()
    assert all((x.test == y.test).all() for x, y in zip(folds, again._folds(), strict=True))
    with pytest.raises(UserError, match=r'was made with another folds.count; use a new workdir'):
        cross_validate.CrossValidation(config(count=4), tmp_path / 'a')._folds()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('optimizer.lerning_rate=1', 'which the config lacks; did you mean .optimizer.learning_rate'),
        ('optimizer.learning_rate=fast', "'fast'; it takes float"),
        ('seed=1,2;seed=3', 'names seed twice'),
        ('augmentation.flip=maybe', 'takes true or false'),
    ],
)  # fmt: skip
def test_a_grid_that_does_not_read_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        grid.settings_of(config(), text)


def test_inner_folds_need_settings_to_choose_between(tmp_path):
    with pytest.raises(UserError, match=r'give config.folds.grid two or more'):
        cross_validate.CrossValidation(config(inner=3), tmp_path)


def test_a_grid_is_every_combination_in_the_types_of_the_config():
    found = grid.settings_of(config(), 'optimizer.learning_rate=0.05,1e-1; epochs=3; augmentation.flip=true')
    assert found == [
        {'optimizer.learning_rate': 0.05, 'epochs': 3.0, 'augmentation.flip': True},
        {'optimizer.learning_rate': 0.1, 'epochs': 3.0, 'augmentation.flip': True},
    ]
    assert grid.settings_of(config(), '') == [{}]


def test_a_final_test_on_examples_that_are_trained_on_is_refused_before_anything_is_trained(tmp_path):
    c = config(final=True)
    c.input.train_split, c.evaluation.split = 'test[:60]', 'test[:40]'
    with pytest.raises(UserError, match=r"40 examples of the split 'test\[:40\]' are in config.input.train_split="):
        cross_validate.run(c, tmp_path)
    assert not (tmp_path / 'members').exists()


@pytest.mark.parametrize('text', ['augmentation.box_crop=true,false', 'input.train_split=train,test'])
def test_settings_that_act_on_the_source_are_not_compared(text):
    with pytest.raises(UserError, match='decides what is read, which all that are compared in one run share'):
        grid.compared(config(), text)

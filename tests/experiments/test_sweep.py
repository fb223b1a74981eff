"""A sweep as a user runs it: it ends with a config to run, goes on after a kill, and never looks at the test split."""

import json
import signal
import sys

import absl.flags
import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import main
from cnn.experiments import build, cli, group, search_space, sweep, train
from cnn.experiments.errors import RunFailed, UserError
from tests.experiments import runs

# 409 digits to fit on, 103 held out: 31 steps of 32.
CACHE = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
FLAGS = (*runs.SMALL, '--mode=sweep', '--trials=2', '--config.devices=1')


def values_of(*more, flags=FLAGS):
    """The command line's flags, and the words of one."""
    values = absl.flags.FlagValues()
    main.define(values)
    return values, ['main.py', *flags, *more]


@pytest.fixture
def call(monkeypatch):
    """Runs main.py here and returns its exit code."""

    def run(workdir, *more, flags=FLAGS):
        values, argv = values_of(f'--workdir={workdir}', *more, flags=flags)
        monkeypatch.setattr(sys, 'argv', argv)
        return cli.main(values, argv)

    return run


def read(workdir, name='sweep.json'):
    return json.loads((workdir / name).read_text())


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    """Programs that were compiled in this module, for its other processes as well."""
    folder = tmp_path_factory.mktemp('cache')
    before = {name: getattr(jax.config, name) for name in CACHE}
    for name, value in zip(CACHE, (str(folder), 0.2), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope='module')
def whole(tmp_path_factory, cache):
    """A sweep of two trials that nobody disturbed; the splits that it opened are beside it."""
    workdir, opened = tmp_path_factory.mktemp('whole'), []
    with pytest.MonkeyPatch.context() as patch:
        source = build.source
        patch.setattr(build, 'source', lambda config, split: opened.append(split) or source(config, split))
        values, argv = values_of(f'--workdir={workdir}')
        patch.setattr(sys, 'argv', argv)
        assert cli.main(values, argv) == 0
    return workdir, opened


def test_it_ends_with_a_config_to_run(whole, monkeypatch):
    workdir, _ = whole
    document = read(workdir)
    first, second = document['trials']
    assert [t['state'] for t in document['trials']] == ['complete', 'complete']
    best = max(document['trials'], key=lambda t: t['value'])
    assert document['best'] == best
    assert best['value'] == best['metrics']['accuracy']
    # Accuracy on 103 held-out digits comes in steps of 1/103.
    assert document['examples'] == {'holdout': {'fit': 409, 'scored': 103}}
    assert first['value'] * 103 == pytest.approx(round(first['value'] * 103))
    assert first['values'] != second['values']
    # The command line takes best.py, and it differs from what was swept in the values found alone.
    values, argv = values_of(f'--config={workdir}/best.py', flags=())
    monkeypatch.setattr(sys, 'argv', argv)
    config, _ = cli.parse(values, argv)
    assert config.is_locked
    swept, found = document['config'], json.loads(json.dumps(config.to_dict()))
    for path, value in best['values'].items():
        section, name = path.split('.')
        assert found[section][name] == value
        swept[section][name] = value
    assert found == swept
    result = read(workdir, 'result.json')
    assert result['metrics'] == best['metrics']
    assert result['config'] == found
    assert result['trials'] == 2
    assert (workdir / 'history.png').stat().st_size > 5000


def test_the_test_split_is_not_opened_and_nobody_is_judged_by_what_it_was_fitted_on(whole):
    workdir, opened = whole
    assert opened == ['train[:512]']
    (fold,) = read(workdir, 'folds.json')['folds']
    assert len(set(fold['train_ids']) | set(fold['test_ids'])) == 512
    assert not set(fold['train_ids']) & set(fold['test_ids'])
    assert read(workdir)['leakage'].startswith('Checked: none of the 103 examples')
    # Both kinds of lines are told apart in the record.
    lines = runs.records(workdir / 'members' / read(workdir)['best']['folder'])
    assert {line['split'] for line in lines} == {'train', 'held_out'}


def test_the_same_command_again_trains_nothing(whole, call, monkeypatch):
    workdir, _ = whole
    before = read(workdir)
    monkeypatch.setattr(group, 'run', lambda *_, **__: pytest.fail('trained'))
    assert call(workdir) == 0
    assert read(workdir)['trials'] == before['trials']


def test_members_of_one_program_are_worth_what_they_are_alone(whole, call, tmp_path):
    workdir, _ = whole
    assert call(tmp_path, '--config.sweep.at_once=2', '--config.folds.layout=stacked') == 0
    for alone, together in zip(read(workdir)['trials'], read(tmp_path)['trials'], strict=True):
        assert alone['values'] == together['values']
        assert alone['metrics']['loss'] == pytest.approx(together['metrics']['loss'], abs=1e-5)
    assert not list((tmp_path / 'members').glob('*_to_*'))


def test_a_killed_workers_trial_goes_on_where_it_was_and_ends_the_same(whole, cache, call, tmp_path, monkeypatch):
    workdir, _ = whole
    folder = read(workdir)['trials'][1]['folder']
    killed = runs.start(tmp_path, *FLAGS[len(runs.SMALL) :], devices=jax.local_device_count(), cache=cache)
    runs.stop_at(killed, tmp_path / 'members' / folder, 15, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / 'members' / folder / 'result.json').exists()
    starts, progress = [], train.Progress
    monkeypatch.setattr(train, 'Progress', lambda *a, **k: starts.append(k['start_step']) or progress(*a, **k))
    assert call(tmp_path) == 0
    # Only the second trial was trained on, from a checkpoint.
    assert len(starts) == 1
    assert starts[0] > 0
    before, after = read(workdir)['trials'], read(tmp_path)['trials']
    assert after[1]['continues'] == 1
    for name in ('values', 'value', 'metrics', 'reported', 'folder', 'state'):
        assert [t[name] for t in after] == [t[name] for t in before]
    record = 'metrics.jsonl'
    assert (tmp_path / 'members' / folder / record).read_bytes() == (workdir / 'members' / folder / record).read_bytes()
    arrays = [np.load(place / 'members' / folder / 'predictions.npz') for place in (workdir, tmp_path)]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def of(workdir, function=None, **sections):
    """A sweep that is not run yet."""
    config = values_config()
    for path, value in sections.items():
        section, _, name = path.rpartition('__')
        (config[section] if section else config)[name] = value
    return sweep.Sweep(config, workdir, function or search_space.load('configs/resnet.py'), where='mine.py', trials=2)


def values_config():
    from configs import resnet

    config = resnet.get_config()
    config.input.train_split, config.batch_size = 'train[:120]', 20
    return config


@pytest.mark.parametrize(
    ('sections', 'message'),
    [
        ({'sweep__sampler': 'tpee'}, "config.sweep.sampler='tpee' is unknown; did you mean 'tpe'"),
        ({'sweep__objective': 'test'}, "config.sweep.objective='test' is unknown"),
        ({'sweep__pruner': 'wilcoxon'}, 'pruner=wilcoxon compares folds: set config.sweep.objective=cross_validate'),
        ({'sweep__fraction': 1.0}, 'config.sweep.fraction=1.0 must lie between 0 and 1'),
        ({'sweep__at_once': -1}, 'config.sweep.at_once=-1 must be 0 or more'),
        ({'sweep__pruner': 'hyperband', 'evaluation__every_epochs': 99.0}, 'has one evaluation a trial, its last'),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path, sections, message):
    with pytest.raises(UserError, match=message):
        of(tmp_path, **sections).run()
    assert not (tmp_path / 'members').exists()


def test_a_space_with_a_value_that_the_config_refuses_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match=r'config.optimizer.momentum=1.5 must lie between 0 and 1'):
        of(tmp_path / 'new', lambda trial: {'optimizer.momentum': trial.suggest_float('m', 1.5, 1.5)})
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize(
    ('changed', 'message'),
    [({'epochs': 9.0}, 'begun with another config .epochs was 24.0, is 9.0'), ({'seed': 3}, 'made with another seed'),
     ({'checkpoint__best_metric': 'loss'}, "metric was 'accuracy', is 'loss'")],
)  # fmt: skip
def test_trials_that_could_not_be_compared_are_refused(tmp_path, monkeypatch, changed, message):
    monkeypatch.setattr(sweep.Batch, 'train', lambda self: self.trials.withdraw(self.slots[0], 'x'))
    monkeypatch.setattr(sweep.Trials, 'claim', lambda self, count: [])
    with pytest.raises(RunFailed, match='none of 0 trials has a value'):
        of(tmp_path).run()
    with pytest.raises(UserError, match=message):
        of(tmp_path, **changed).run()


def test_the_command_line_needs_a_search_space_and_a_number_of_trials(tmp_path, call, capsys):
    (tmp_path / 'c.py').write_text('from configs import resnet\nget_config = resnet.get_config\n')
    assert call(tmp_path / 'w', f'--config={tmp_path}/c.py', '--mode=sweep', flags=()) == 2
    assert 'defines no search_space(trial)' in capsys.readouterr().err
    assert call(tmp_path / 'w', '--trials=-1') == 2
    assert '--trials=-1 must be above 0' in capsys.readouterr().err
    assert call(tmp_path / 'w', '--storage=sweep.db') == 2
    assert "no database at 'sweep.db'" in capsys.readouterr().err

"""Search spaces are held to the config; trials depend on the seed and their number alone."""

import importlib
import pathlib

import optuna
import pytest

from cnn.experiments import config_file, grid, search_space, settings
from cnn.experiments.errors import UserError
from configs import resnet

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / 'configs'


def space(function, points=0):
    return search_space.SearchSpace(function, resnet.get_config(), 'mine.py', points)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda p: p.stem)
def test_every_config_with_a_search_space_can_be_swept(path):
    module = importlib.import_module(f'configs.{path.stem}')
    if path.stem in ('__init__', 'common') or not hasattr(module, 'search_space'):
        return
    config = module.get_config()
    values = search_space.SearchSpace(search_space.load(str(path)), config, path.name).probe()
    settings.check(grid.applied(config, values))


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'optimizer.lerning_rate': 0.1}, "names 'optimizer.lerning_rate', which the config lacks; did you mean 'opti"),
        ({'optimizer.learning_rate.x': 0.1}, 'which the config lacks'),
        ({'optimizer': 1}, 'gives optimizer the value 1; it takes ConfigDict'),
        ({'batch_size': 12.5}, 'gives batch_size the value 12.5; it takes int'),
        ({'augmentation.flip': 1}, 'gives augmentation.flip the value 1; it takes bool'),
        ({'optimizer.name': 3}, 'gives optimizer.name the value 3; it takes str'),
        ({'dataset': 'cifar10'}, 'varies dataset, which all trials must share'),
        ({'folds.count': 3}, 'varies folds.count, which all trials must share'),
        ({}, 'must return values by their path'),
        (None, 'must return values by their path'),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_config_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        space(lambda trial: values).probe()


def test_a_range_that_is_none_is_refused_in_one_line():
    with pytest.raises(UserError, match=r'mine.py: search_space: .*low'):
        space(lambda trial: {'epochs': trial.suggest_float('epochs', 2.0, 1.0)}).probe()


def test_values_come_in_the_types_of_the_config():
    found = space(lambda trial: {
        'epochs': trial.suggest_int('epochs', 3, 3), 'batch_size': trial.suggest_categorical('b', [32]),
        'evaluation.scales': [1, 2], 'augmentation.flip': trial.suggest_categorical('f', [True]),
    }).probe()  # fmt: skip
    assert found == {'epochs': 3.0, 'batch_size': 32, 'evaluation.scales': (1, 2), 'augmentation.flip': True}
    assert type(found['epochs']) is float
    assert type(found['evaluation.scales']) is tuple


def test_a_file_without_a_search_space_is_told_what_to_write(tmp_path):
    (tmp_path / 'c.py').write_text('def get_config(arg=""):\n    return None\n')
    with pytest.raises(UserError, match=r'c.py defines no search_space\(trial\); write one'):
        search_space.load(str(tmp_path / 'c.py'))


def test_a_grid_gives_ranges_a_few_values():
    def function(trial):
        return {
            'optimizer.learning_rate': trial.suggest_float('lr', 1e-3, 1.0, log=True),
            'loss.label_smoothing': trial.suggest_float('s', 0.0, 0.2, step=0.1),
        }

    gridded = space(function, points=4)
    study = optuna.create_study(sampler=search_space.SeededSampler('grid', 0, 10))
    seen = []
    for _ in range(12):
        trial = study.ask()
        seen.append(tuple(gridded.values(trial).values()))
        study.tell(trial, 0.0)
    rates, steps = (0.001, 0.01, 0.1, 1.0), (0.0, 0.1, 0.2)
    assert sorted(seen) == [(rate, step) for rate in rates for step in steps]


@pytest.mark.parametrize('name', ['tpe', 'random', 'grid'])
def test_a_trial_depends_on_the_seed_its_number_and_what_was_known(name):
    def function(trial):
        return [trial.suggest_int('a', 0, 50), trial.suggest_categorical('b', list(range(20)))]

    def ask(seed, restart_at):
        """Twelve trials, by a worker that was started again before one of them."""
        storage = optuna.storages.InMemoryStorage()
        found = []
        for number in range(12):
            if number in (0, restart_at):
                sampler = search_space.SeededSampler(name, seed, 5)
                study = optuna.create_study(sampler=sampler, storage=storage, study_name='s', load_if_exists=True)
            trial = study.ask()
            found.append(function(trial))
            study.tell(trial, float(found[-1][0]))
        return found

    whole = ask(3, 0)
    assert ask(3, 7) == whole
    assert ask(4, 0) != whole
    assert len({tuple(x) for x in whole}) > 10


def test_a_config_comes_back_from_its_file_as_it_was(tmp_path):
    config = resnet.get_config('dataset=cifar10,depth=20')
    config.evaluation.scales = (256, 384)
    config.optimizer.learning_rate = 0.1 + 0.2
    config.optimizer.rates = 'conv.*=0.1'
    config.data_dir = 'C:\\data\n"""x'
    path = tmp_path / 'best.py'
    path.write_text(config_file.source_of(config, 'How """it""" \\was found', path))
    module = config_file.load(str(path))
    found = module.get_config().to_dict()
    assert found == config.to_dict()
    assert type(found['evaluation']['scales']) is tuple
    assert f'python main.py --config={path}' in module.__doc__
    with pytest.raises(ValueError, match='takes no arguments'):
        module.get_config('depth=3')

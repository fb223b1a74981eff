"""Training in stages: what each begins with, what is not repeated, what is solved for, and the same in folds."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from cnn.experiments import cross_validate, evaluate, settings, stages
from cnn.experiments.errors import UserError
from cnn.tasks.segmentation import Segmentation
from cnn.training.checkpoint import Checkpoints
from configs import fcn


@pytest.fixture
def config():
    config = fcn.get_config('trunk=resnet,depth=8,variant=8s,training=staged')
    config.model.update({'stem': 'cifar', 'width': 4.0})
    config.update({'devices': 1, 'batch_size': 8, 'epochs': 0.5, 'image_size': 48})
    # A ResNet for small images has maps of strides 4, 2 and 1.
    for name, variant in (('coarse', '4s'), ('fine', '2s')):
        config.stages[name] = ConfigDict({'model': {'variant': variant}})
    config.stages.order = 'coarse,fine'
    config.input.train_split = 'train[:32]'
    config.evaluation.split = 'test[:10]'
    settings.check(config)
    stages.check(config)
    return config


def kernels(workdir):
    step = Checkpoints(workdir / 'checkpoints')
    _, arrays, _ = step.restore(step.shapes())
    return {name: array for name, array in arrays.items() if name.startswith('params/')}


@pytest.fixture
def solving(monkeypatch):
    """Segmentation with something to solve for: the scores' biases become the logarithms of the classes' shares."""

    def fit(self, parts, variables, batches, *, seed, note):
        assert parts == ('prior',)
        counts = np.zeros(self.num_classes)
        for _ in range(2):
            seen = [batch['segmentation'][batch['mask'] > 0] for batch in batches()]
            counts += np.bincount(np.concatenate(seen).ravel(), minlength=256)[: self.num_classes]
        note(f'{len(np.concatenate(seen))} masks')
        params = dict(variables['params'])
        params['score_fr'] = {**params['score_fr'], 'bias': np.float32(np.log(counts + 1))}
        return {**variables, 'params': params}

    monkeypatch.setattr(Segmentation, 'fit', fit, raising=False)


@pytest.mark.usefixtures('no_pictures')
def test_each_stage_begins_with_the_one_before_and_is_not_repeated(config, tmp_path, capsys):
    result = stages.run(config, tmp_path)
    assert result['config']['model']['variant'] == '2s'
    assert result['config']['init_from'] == str(tmp_path / 'stages' / 'coarse')
    before, after = kernels(tmp_path / 'stages' / 'coarse'), kernels(tmp_path)
    assert set(after) - set(before) == {'params/score2/kernel', 'params/score2/bias'}
    # Two small steps away, where another seed's initial values would be anywhere.
    stem = 'params/trunk/conv1/kernel'
    assert np.abs(after[stem] - before[stem]).max() < 0.1 * np.abs(before[stem]).max()
    capsys.readouterr()
    (tmp_path / 'result.json').unlink()
    again = stages.run(config, tmp_path)
    assert 'stage coarse' not in capsys.readouterr().out
    assert again['metrics'] == result['metrics']
    # What scores and predicts is the last stage's, wherever the workdir has come to lie.
    moved = tmp_path.rename(tmp_path.with_name('moved_from_there'))
    assert evaluate.run(stages.final(config, moved), moved)['metrics'] == pytest.approx(result['metrics'], 1e-5)


@pytest.mark.usefixtures('no_pictures')
def test_a_stage_may_be_solved_for(config, tmp_path, solving, capsys):
    config.stages.solved = ConfigDict({'fit': 'prior', 'model': {'variant': '4s'}})
    config.stages.order = 'coarse,solved'
    result = stages.run(config, tmp_path)
    assert '32 masks' in capsys.readouterr().out
    before, after = kernels(tmp_path / 'stages' / 'coarse'), kernels(tmp_path)
    changed = [name for name in after if not np.array_equal(after[name], before[name])]
    assert changed == ['params/score_fr/bias']
    assert after[changed[0]].argmax() == 0, 'most pixels are background'
    assert json.loads((tmp_path / 'metrics.jsonl').read_text())['loss'] == pytest.approx(result['metrics']['loss'])


@pytest.mark.usefixtures('no_pictures')
def test_folds_go_through_the_stages(config, tmp_path, solving):
    config.stages.solved = ConfigDict({'fit': 'prior', 'model': {'variant': '4s'}})
    config.stages.order = 'coarse,solved'
    config.folds.count = 2
    config.folds.layout = 'sequential'
    config.folds.final = True
    cross_validate.run(config, tmp_path)
    document = json.loads((tmp_path / 'folds.json').read_text())
    assert len(document['folds']) == 2
    for fold in (tmp_path / 'members').iterdir():
        coarse = tmp_path / 'stages' / 'coarse' / 'members' / fold.name
        assert json.loads((fold / 'config.json').read_text())['init_from'] == str(coarse)
        tested = np.load(fold / 'predictions.npz')['index']
        # Places in the whole split, as the coarse stage had them.
        np.testing.assert_array_equal(np.sort(tested), np.sort(np.load(coarse / 'predictions.npz')['index']))
    # And so does the last model, of all examples.
    begun = json.loads((tmp_path / 'final' / 'config.json').read_text())['init_from']
    assert begun == str(tmp_path / 'final' / 'stages' / 'coarse')


@pytest.mark.usefixtures('no_pictures')
def test_members_that_begin_with_their_own_variables_share_a_program(config, tmp_path):
    config.folds.update({'count': 2, 'layout': 'stacked'})
    cross_validate.run(config, tmp_path)
    (stack,) = [path for path in (tmp_path / 'members').iterdir() if '_to_' in path.name]
    assert (stack / 'checkpoints').is_dir()
    begun = {json.loads(p.read_text())['init_from'] for p in (tmp_path / 'members').glob('*/config.json')}
    assert len(begun) == 2


def test_what_every_stage_sets_cannot_be_varied(config):
    config.stages.coarse.epochs, config.stages.fine.epochs = 0.5, 1.0
    stages.check_varied(config, ['batch_size'])
    with pytest.raises(UserError, match=r'every stage sets epochs itself; vary stages\.fine\.epochs'):
        stages.check_varied(config, ['batch_size', 'epochs'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'order': 'coarse,fine,coarse'}, 'names a stage twice'),
        ({'order': 'coarse,fin'}, "'fin', which has no section; did you mean 'fine'"),
        ({'fine': {'begin': 'corse'}}, "fine.begin='corse': did you mean 'coarse'"),
        ({'fine': {'epoch': 3.0}}, "fine sets 'epoch', which the config lacks; did you mean 'epochs'"),
        ({'fine': {'epochs': 'three'}}, 'takes float'),
        ({'fine': {'epochs': -1}}, 'config.epochs=-1.0 must be above 0'),
        ({'fine': {'dataset': '{later}'}}, "'later' is no stage before fine"),
    ],
)
def test_wrong_stages_are_told(config, change, message):
    for name, value in change.items():
        config.stages[name] = ConfigDict(value) if isinstance(value, dict) else value
    with pytest.raises(UserError, match='.*'.join(message.split('...'))):
        stages.check(config)


def test_a_stage_refers_to_anothers_workdir_and_may_begin_anew(config, tmp_path):
    config.init_from = 'weights.pth'
    config.stages.fine = ConfigDict({'begin': 'start', 'data_dir': '{coarse}/cache', 'epochs': 3})
    first, second = stages.of(config, lambda name: stages.place(config, tmp_path, name))
    assert first.config.init_from == second.config.init_from == 'weights.pth'
    assert second.config.data_dir == f'{tmp_path}/stages/coarse/cache'
    assert second.config.epochs == 3.0
    assert second.config.stages.to_dict() == {'order': ''}

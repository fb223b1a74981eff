"""A study as a user runs it: arms that differ in shape, seeds, divergence, drift, timing; it goes on where it was."""

import json
import os
import signal

import numpy as np
import pytest

from cnn.experiments import activations, arms, group, study
from cnn.experiments.errors import UserError
from configs import resnet
from configs.studies import section

ARMS = {'norm': {'model': {'norm': 'batch'}}, 'none': {'model': {'norm': 'none'}}}


def config(order='norm,none', vary='', **fields):
    """ResNet-8 of width 2 on 60 small digits, four steps."""
    c = resnet.get_config()
    section.add(c, 'nobodys', ARMS, seeds=2, vary=vary, **fields)
    c.study.order = order
    c.model.width, c.image_size, c.batch_size, c.steps = 2, 8, 16, 4
    c.epochs, c.evaluation.every_epochs, c.checkpoint.every_epochs, c.log_every_steps = 1.0, 0.5, 0.5, 1
    c.schedule.warmup_epochs = 0.0
    c.input.train_split, c.evaluation.split, c.folds.layout = 'train[:60]', 'test[:40]', 'sequential'
    return c


def read(workdir):
    return json.loads((workdir / 'study.json').read_text())


def test_arms_and_seeds_make_a_table_a_picture_and_a_page(tmp_path):
    c = config(order='none,norm', vary='optimizer.learning_rate=0.01,1e30')
    c.study.layer = 'conv4_1/norm2'
    study.run(c, tmp_path)
    document = read(tmp_path)
    names = [f'{arm} learning_rate={rate}' for arm in ('none', 'norm') for rate in ('0.01', '1e+30')]
    assert [arm['name'] for arm in document['arms']] == names
    assert (document['tested'], document['seeds'], len(document['runs'])) == (40, [0, 1], 8)
    for arm in document['arms']:
        values = [run['metrics']['accuracy'] for run in document['runs'] if run['arm'] == arm['name']]
        assert arm['values']['accuracy'] == values
        assert arm['mean']['accuracy'] == pytest.approx(np.mean(values))
        assert arm['std']['accuracy'] == pytest.approx(np.std(values, ddof=1))
    # Without a norm such a rate ends in infinity: scored as a guess, and without a loss.
    (lost,) = [arm for arm in document['arms'] if arm['name'] == 'none learning_rate=1e+30']
    assert lost['diverged'] == {'0': 1, '1': 1}
    assert lost['values']['accuracy'] == [0.1, 0.1]
    assert lost['values']['loss'] == [None, None]
    assert lost['mean']['loss'] is None
    # Depth, width and the norm's two numbers a channel shape what is counted: 2 channels and 2, 4, 4, 8, 8.
    parameters = {arm['arm']: arm['parameters'] for arm in document['arms']}
    convolutions = 9 * (3 * 2 + 2 * 2 * 2 + 2 * 4 + 4 * 4 + 4 * 8 + 8 * 8) + 8 * 10 + 10
    assert parameters == {'norm': convolutions + 2 * 30, 'none': convolutions + 30}
    (kept,) = [arm for arm in document['arms'] if arm['name'] == names[0]]
    assert all(value > 0 for value in kept['values']['drift'])
    (run,) = [r for r in document['runs'] if r['arm'] == names[0] and r['seed'] == 1]
    assert run['drift']['steps'] == [2, 4]
    assert [line['step'] for line in run['curves']['train']] == [1, 2, 3, 4]
    assert [line['step'] for line in run['curves']['test']] == [2, 4]
    # What is trained last is what the curve ends with.
    assert run['metrics']['train_loss'] == run['curves']['train'][-1]['loss']
    page = (tmp_path / 'study.md').read_text()
    assert '| none learning_rate=1e+30 | 10.0 ± 0.0 % | – |' in page
    assert '2, 2 diverged |' in page
    assert (tmp_path / 'study.png').stat().st_size > 5000
    assert (tmp_path / 'drift.png').stat().st_size > 5000


def test_it_goes_on_where_it_was_stopped_and_repeats_nothing(tmp_path, monkeypatch):
    c = config(order='norm')
    c.study.examples = 30
    whole = study.run(c, tmp_path / 'whole')
    say = study.Study._say

    def stop(self, parts, step, metrics):
        if parts[0].name == 'norm_of_30_seed_1' and step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return say(self, parts, step, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(study.Study, '_say', stop)
        assert study.run(c, tmp_path / 'stopped') == {}
    members = tmp_path / 'stopped' / 'members'
    assert (members / 'norm_of_30_seed_0' / 'result.json').is_file()
    assert not (members / 'norm_of_30_seed_1' / 'result.json').exists()
    before = os.stat(members / 'norm_of_30_seed_0' / 'result.json').st_mtime_ns
    again = study.run(c, tmp_path / 'stopped')
    assert os.stat(members / 'norm_of_30_seed_0' / 'result.json').st_mtime_ns == before
    assert again['arms'] == whole['arms']
    assert again['runs'] == whole['runs']
    # Nothing is left to train: the report alone.
    monkeypatch.setattr(group._Group, 'train', None)
    assert study.run(c, tmp_path / 'stopped')['arms'] == whole['arms']


def test_steps_are_timed_in_turns_and_once_for_a_workdir(tmp_path, monkeypatch):
    c = config(order='norm')
    c.study.timing = 2
    timings = study.Study(c, tmp_path)._timings()
    assert {name: len(values) for name, values in timings['norm'].items()} == {'step_seconds': 2, 'forward_seconds': 2}
    assert all(value > 0 for values in timings['norm'].values() for value in values)
    monkeypatch.setattr(study.cost, 'timed', lambda configs, *_: dict.fromkeys(configs, 'anew'))
    assert study.Study(c, tmp_path)._timings() == timings
    c.study.order = 'norm,none'
    assert study.Study(c, tmp_path)._timings() == {'norm': 'anew', 'none': 'anew'}


@pytest.mark.parametrize(('change', 'message'), [
    ({'order': 'norm,nom'}, "names 'nom', which has no section; did you mean 'norm'"),
    ({'order': 'norm,norm'}, 'each arm that is trained once'),
    ({'order': ''}, 'each arm that is trained once'),
    ({'vary': 'model.norm=batch'}, 'both set model.norm'),
    ({'vary': 'model.widht=2'}, "names 'model.widht'"),
    ({'examples': -1}, 'must not be negative'),
    ({'arms': {'norm': {'model': {'depht': 8}}}}, "sets 'model.depht', which the config lacks; did you mean"),
    ({'arms': {'norm': {'model': {'depth': 'deep'}}}}, "depth='deep' takes int"),
    ({'arms': {'norm': {'optimizer': {'learning_rate': -1}}}}, 'must not be negative'),
])  # fmt: skip
def test_mistakes_are_told(change, message):
    c = config()
    with c.unlocked():
        c.study.update({'order': 'norm', **change})
    with pytest.raises(UserError, match=message):
        arms.of(c)


def test_a_study_needs_its_section_and_a_layer_that_is_there(tmp_path):
    with pytest.raises(UserError, match='needs a config with a section study'):
        study.run(resnet.get_config(), tmp_path)
    with pytest.raises(UserError, match="did you mean 'curves'"):
        study.run(config(kind='curve'), tmp_path)
    c = config()
    c.study.devices = 99
    with pytest.raises(UserError, match='take as many or fewer'):
        study.run(c, tmp_path)
    c = config(order='norm,none')
    c.study.layer = 'conv4_1/norm'
    with pytest.raises(UserError, match="is no module of this network; did you mean 'conv4_1/norm"):
        study.run(c, tmp_path)


def test_the_images_of_a_drift_are_spread_over_the_split(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(activations, 'IMAGES', 4)
    monkeypatch.setattr(activations, 'of_run', lambda *arguments: seen.append(arguments[-1]))
    c = config(order='norm')
    s = study.Study(c, tmp_path)
    part = s._part(s.arms[0], 0)
    s._drifts({('norm', 0): part}, {part.name: group.Outcome(part, {}, {})})
    shown = study.build.shown(c, s.source)
    assert [image.tolist() for image in seen[0]] == [shown.image(i).tolist() for i in (60, 73, 86, 99)]

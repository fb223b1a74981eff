"""Evaluation, prediction and summary as a user calls them, on real weights and real images."""

import json
import sys
import tarfile

import numpy as np
import pytest
from absl import flags
from PIL import Image

import main
from cnn.experiments import build, cli, evaluate, train
from configs import resnet
from tests.experiments import runs


def call(monkeypatch, *arguments: str) -> int:
    values = flags.FlagValues()
    main.define(values)
    monkeypatch.setattr(sys, 'argv', ['main.py', *arguments])
    return cli.main(values, sys.argv)


def score(monkeypatch, workdir, data, depth, weights, *more) -> dict[str, float]:
    code = call(
        monkeypatch,
        f'--config=configs/resnet.py:dataset=folder:{data},depth={depth}',
        '--mode=evaluate',
        f'--config.init_from={weights}',
        f'--workdir={workdir}',
        *more,
    )
    assert code == 0
    return json.loads((workdir / 'result.json').read_text())['metrics']


@pytest.mark.usefixtures('no_pictures')
def test_a_trained_resnet_20_scores_its_known_accuracy_on_the_cifar_10_test_images(shared_data, tmp_path, monkeypatch):
    with tarfile.open(shared_data / 'cifar10_jpeg' / 'cifar10_jpeg_test.tar.gz') as archive:
        archive.extractall(tmp_path / 'cifar', filter='data')
    weights = shared_data / 'cifar_resnets' / 'resnet20-12fca82f.th'
    # 10,000 images in batches of 768 leave a last one of 16: every image must count exactly once.
    more = ('--config.evaluation.batch_size=768', '--config.evaluation.split=test')
    metrics = score(monkeypatch, tmp_path / 'run', tmp_path / 'cifar', 20, weights, *more)
    # The figure is the reference implementation's on the same files (../shared/data/README.md).
    assert metrics['accuracy'] == pytest.approx(0.8103, abs=5e-4)
    assert metrics['mean_class_accuracy'] == pytest.approx(metrics['accuracy'], abs=1e-9)


@pytest.mark.parametrize(('depth', 'name'), [(20, 'resnet20-12fca82f.th'), (56, 'resnet56-4bfd9763.th')])
@pytest.mark.usefixtures('no_pictures')
def test_trained_resnets_know_their_lossless_training_images(shared_data, tmp_path, monkeypatch, depth, name):
    data = shared_data / 'cifar10_lossless' / 'cifar10_train1000_lossless.npz'
    weights = shared_data / 'cifar_resnets' / name
    split = '--config.evaluation.split=all[:300]' if depth == 56 else '--config.evaluation.split=all'
    assert score(monkeypatch, tmp_path, data, depth, weights, split)['accuracy'] >= 0.995


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The workdir of a very short training."""
    workdir = tmp_path_factory.mktemp('trained') / 'run'
    config = resnet.get_config('preset=tiny')
    config.devices, config.model.width = 1, 2
    config.input.train_split, config.evaluation.split = 'train[:96]', 'test[:30]'
    train.run(config, workdir)
    return workdir


OPTIONS = ('--config=configs/resnet.py:preset=tiny', '--config.model.width=2', '--config.devices=1')


def test_prediction_takes_any_size_and_writes_a_picture_each(trained, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / 'own').mkdir()
    for name, shape in (('tall $x_1$', (90, 20, 3)), ('숫자', (28, 28)), ('one pixel', (1, 1, 3))):
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / 'own' / f'{name}.png')
    code = call(monkeypatch, *OPTIONS, '--mode=predict', f'--images={tmp_path}/own', f'--workdir={trained}')
    assert code == 0, capsys.readouterr().err
    rows = json.loads((trained / 'predictions.json').read_text())
    assert len(rows) == 3
    for row in rows:
        probabilities = [top['probability'] for top in row['top']]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-6
        assert row['heat_map']['class'] == row['top'][0]['class']
        assert row['heat_map']['endpoint'] == 'conv4'
        assert (trained / row['picture']).read_bytes().startswith(b'\x89PNG')


def test_a_run_can_start_from_another_with_a_new_head(trained, tmp_path, monkeypatch, capsys):
    data = tmp_path / 'three.npz'
    rng = np.random.default_rng(0)
    np.savez(data, x=rng.integers(0, 256, (60, 28, 28, 3)).astype(np.uint8), y=np.arange(60) % 3)
    target = f'--config=configs/resnet.py:dataset=folder:{data},depth=8,image_size=28,preset=tiny'
    here = f'--workdir={tmp_path}/new'
    more = ('--config.model.width=2', '--config.devices=1', f'--config.init_from={trained}', here)
    assert call(monkeypatch, target, *more) == 2
    assert 'mismatched' in capsys.readouterr().err
    frozen = ('--config.replace_head=True', '--config.optimizer.freeze=^(conv|norm)')
    assert call(monkeypatch, target, *more, *frozen) == 0
    ours, theirs = runs.arrays(tmp_path / 'new'), runs.arrays(trained)
    assert ours['params/fc/kernel'].shape == (8, 3)
    for name, array in theirs.items():
        if name.startswith(('params/conv', 'params/norm', 'model_state')):
            assert ours[name].tobytes() == array.tobytes(), name


def test_recomputed_statistics_score_from_the_training_set(trained, monkeypatch):
    more = ('--config.input.train_split=train[:96]', '--config.evaluation.split=test[:30]')
    assert call(monkeypatch, *OPTIONS, *more, '--mode=evaluate', f'--workdir={trained}') == 0
    running = json.loads((trained / 'result.json').read_text())
    exact = '--config.evaluation.recompute_statistics=True'
    assert call(monkeypatch, *OPTIONS, *more, exact, '--mode=evaluate', f'--workdir={trained}') == 0
    recomputed = json.loads((trained / 'result.json').read_text())
    assert running['steps'] == recomputed['steps'] > 0
    # After three steps running statistics are still near their start: the exact ones must fit far better.
    assert recomputed['metrics']['loss'] != running['metrics']['loss']


def test_frozen_norms_train_the_network_that_is_scored(trained, tmp_path, monkeypatch, capsys):
    data, here = ('--config.input.train_split=train[:64]', '--config.evaluation.split=train[:64]'), tmp_path / 'run'
    still = ('--config.optimizer.freeze=^(conv|norm|stage)', '--config.optimizer.learning_rate=1e-9',
             '--config.loss.label_smoothing=0.0', '--config.augmentation.crop=none', '--config.batch_size=64',
             '--config.steps=1', '--config.log_every_steps=1', f'--config.init_from={trained}')  # fmt: skip
    assert call(monkeypatch, *OPTIONS, *data, *still, f'--workdir={here}') == 0
    said = 'warning: 64 of the 64 examples that score, of train[:64], are trained on as well\n'
    assert said in capsys.readouterr().err
    (trains,) = [row['loss'] for row in runs.records(here) if row['split'] == 'train']
    assert json.loads((here / 'result.json').read_text())['metrics']['loss'] == pytest.approx(trains, rel=1e-4)


@pytest.mark.usefixtures('no_pictures')
def test_a_workdir_without_a_record_reads_what_the_run_it_takes_variables_from_measured(tmp_path):
    c = resnet.get_config('preset=tiny')
    c.devices, c.model.width, c.input.statistics = 1, 2, 'computed'
    c.input.train_split, c.evaluation.split = 'train[:48]', 'test[:30]'
    scored = train.run(c, tmp_path / 'first')['metrics']
    c.init_from, c.input.train_split = str(tmp_path / 'first'), 'train[100:148]'
    assert evaluate.run(c, tmp_path / 'second')['metrics']['loss'] == pytest.approx(scored['loss'], rel=1e-6)
    assert build.info(c, tmp_path / 'second').mean == build.info(c, tmp_path / 'first').mean
    # What is recomputed is recomputed of images normalised so.
    c.evaluation.recompute_statistics = True
    assert evaluate.run(c, tmp_path / 'second')['metrics']['loss'] > 0


def test_summarize_writes_the_contract_and_needs_no_data(tmp_path, monkeypatch, capsys):
    config = '--config=configs/resnet.py:dataset=imagenet2012,depth=50'
    assert call(monkeypatch, config, '--mode=summarize', f'--workdir={tmp_path}') == 0
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['parameters'] == 25_557_032
    assert summary['macs'] / 1e9 == pytest.approx(4.089, abs=1e-3)
    fields = {'name', 'kind', 'output_shape', 'parameters', 'macs', 'stride', 'receptive_field'}
    assert set(summary['layers'][0]) >= fields
    assert '25,557,032' in capsys.readouterr().out


def test_prepare_of_embedded_data_says_so(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, OPTIONS[0], '--mode=prepare', f'--workdir={tmp_path}') == 0
    assert 'needs no preparation' in capsys.readouterr().out

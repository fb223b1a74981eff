"""R-CNN's two stages from scenes to a photograph: solved for from what was trained, scored in several ways."""

import json
import types

import numpy as np
import PIL.Image
import pytest

from cnn.experiments import evaluate, predict, settings, stages
from cnn.training.checkpoint import Checkpoints
from configs import rcnn


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('rcnn')
    config = rcnn.get_config('preset=tiny')
    config.model.update({'trunk': 'darknet', 'trunk_variant': 'tiny', 'width': 0.25, 'stages': 2})
    config.model.update({'size': 16, 'hidden': (8,), 'chunk': 64})
    config.windows.update({'stride': 24, 'scales': (1.25, 2.0), 'ratios': (1.0,)})
    config.update({'devices': 1, 'batch_size': 8, 'epochs': 1.0})
    config.input.train_split, config.evaluation.split = 'train[:30]', 'test[:10]'
    settings.check(config)
    stages.check(config)
    return config, workdir, stages.run(config, workdir)


def arrays(workdir):
    checkpoints = Checkpoints(workdir / 'checkpoints')
    _, found, _ = checkpoints.restore(checkpoints.shapes())
    return {name: array for name, array in found.items() if name.startswith('params/')}


def test_machines_and_regressions_are_solved_for_on_what_was_trained(run):
    _, workdir, result = run
    before, after = arrays(workdir / 'stages' / 'finetune'), arrays(workdir)
    assert before.keys() == after.keys()
    moved = {name for name in before if np.any(before[name] != after[name])}
    assert moved == {f'params/head/{layer}/{leaf}' for layer in ('svm', 'bbox_pred') for leaf in ('kernel', 'bias')}
    assert not before['params/head/svm/kernel'].any()
    assert 0 <= result['metrics']['map_50'] <= 1
    trained = json.loads((workdir / 'stages' / 'finetune' / 'result.json').read_text())
    assert trained['config']['linear']['classifier'] == 'softmax'


def test_one_workdir_is_scored_by_machines_or_the_softmax(run):
    config, workdir, _ = run
    own = stages.final(config, workdir)
    own.linear.update({'classifier': 'softmax', 'regress': False})
    trained = json.loads((workdir / 'stages' / 'finetune' / 'result.json').read_text())['metrics']
    assert evaluate.run(own, workdir)['metrics'] == pytest.approx(trained, nan_ok=True)


def test_a_photograph_gets_boxes_in_its_own_pixels(run, tmp_path):
    config, workdir, _ = run
    path = tmp_path / 'wide.png'
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 180, 3), np.uint8)).save(path)
    own = stages.final(config, workdir)
    own.detection.score_threshold = 0.0
    (row,) = predict.run(own, workdir, types.SimpleNamespace(images=[str(path)]))
    boxes = np.array([one['box'] for one in row['detections']])
    assert len(boxes)
    assert (boxes >= 0).all()
    assert (boxes <= [180, 60, 180, 60]).all()
    assert boxes[:, 2].max() > 96

"""Segmentation through the modes: train, evaluate and predict on a few scenes, and a finer stage from a coarser one."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from cnn.experiments import build, evaluate, predict, settings, train
from cnn.experiments.errors import UserError
from configs import fcn


def config_of(variant, workdir=''):
    config = fcn.get_config(f'trunk=resnet,depth=8,variant={variant}' + (f',from={workdir}' if workdir else ''))
    config.model.update({'stem': 'cifar', 'width': 4.0})
    config.update({'devices': 1, 'batch_size': 8, 'epochs': 1.0, 'image_size': 48})
    config.input.train_split = 'train[:32]'
    config.evaluation.split = 'test[:10]'
    settings.check(config)
    return config


@pytest.fixture(scope='module')
def coarse(tmp_path_factory):
    """A trained coarse stage: its config and workdir."""
    workdir = tmp_path_factory.mktemp('coarse')
    config = config_of('4s')
    return config, workdir, train.run(config, workdir)


def test_a_run_leaves_its_scores_and_pictures(coarse):
    _, workdir, result = coarse
    metrics = result['metrics']
    assert {'loss', 'pixel_accuracy', 'mean_class_accuracy', 'mean_iou', 'frequency_weighted_iou'} == metrics.keys()
    assert 0 < metrics['mean_iou'] < metrics['pixel_accuracy'] < 1
    assert {'result.json', 'curves.png', 'class_iou.png', 'segmentations.png', 'worst.png'} <= {
        path.name for path in workdir.iterdir()
    }


def test_evaluation_of_the_checkpoint_gives_the_runs_own_scores(coarse, tmp_path):
    config, workdir, result = coarse
    scored = evaluate.run(config, workdir)
    assert scored['metrics'] == pytest.approx(result['metrics'], rel=1e-5)


def test_a_photograph_of_any_size_gets_a_mask_of_its_size(coarse, tmp_path):
    config, workdir, _ = coarse
    pixels = np.random.default_rng(0).integers(0, 256, (37, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    (row,) = predict.run(config, workdir, types.SimpleNamespace(images=[str(tmp_path / 'photo.png')]))
    mask = np.asarray(Image.open(workdir / row['mask']))
    assert mask.shape == (37, 80)
    assert mask.max() < 11
    counts = np.bincount(mask.ravel(), minlength=11)
    assert {entry['label']: entry['share'] for entry in row['classes']} == pytest.approx(
        {c: n / mask.size for c, n in enumerate(counts) if n}, abs=1e-6
    )
    assert json.loads((workdir / 'predictions.json').read_text()) == [row]
    assert (workdir / row['picture']).is_file()


def test_a_finer_stage_begins_with_the_coarser_ones_parameters(coarse):
    from cnn.experiments import initialise

    _, workdir, _ = coarse
    config = config_of('2s', workdir)
    info = build.info(config, workdir)
    task = build.task(config, info, None)
    module = build.model(config, build.outputs(config, info))
    assert build.outputs(config, info) == 11
    fine = initialise.variables(config, task, module)['params']
    before, _ = initialise.from_workdir(workdir, build.model(config_of('4s'), 11), initialise.variables(
        config_of('4s'), build.task(config_of('4s'), info, None), None))  # fmt: skip
    np.testing.assert_array_equal(fine['score_fr']['kernel'], before['params']['score_fr']['kernel'])
    assert np.any(fine['score_fr']['kernel'])
    assert not np.any(fine['score2']['kernel'])


def test_rectangles_of_any_shape_are_canvases():
    config = config_of('4s')
    config.canvas.update({'fit': 'pixels', 'height': 60, 'width': 100})
    assert build.evaluation_transform(config).image_size == (60, 100)
    config.canvas.fit = 'letterbx'
    with pytest.raises(UserError, match=r"config.canvas.fit='letterbx' is unknown; did you mean 'letterbox'"):
        settings.check(config)


def test_data_without_masks_are_refused():
    from input_pipeline import datasets

    config = config_of('4s')
    with pytest.raises(ValueError, match='mnist_5k has labels, not masks of classes; digit_scenes'):
        build.task(config, datasets.info('mnist_5k'), None)

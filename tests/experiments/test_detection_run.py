"""A detector through the modes: photographs of many shapes, one compilation, boxes back in their pixels, folds."""

import csv
import json
import logging
import pathlib
import types

import jax
import numpy as np
import PIL.Image
import pytest

from cnn.experiments import cross_validate, evaluate, predict, settings, train
from configs import yolo


def small(dataset, **changes):
    """A config of seconds: a grid of 4 x 4 on 64 pixels."""
    config = yolo.get_config(f'dataset={dataset},image_size=64')
    config.model.update({'width': 0.25, 'convs': (8,)})
    config.batch_size, config.epochs = 8, 1.0
    config.evaluation.every_epochs = config.checkpoint.every_epochs = 1.0
    config.augmentation.pad = 4
    config.devices = 1
    for path, value in changes.items():
        section, _, name = path.rpartition('.')
        (settings.field(config, section) if section else config)[name] = value
    settings.check(config)
    return config


@pytest.fixture(scope='module')
def photographs(shared_data, tmp_path_factory):
    """A run on 48 photographs of many shapes with up to dozens of objects, and what was compiled for it."""
    workdir = tmp_path_factory.mktemp('photographs')
    config = small(f'coco:{shared_data / "coco128" / "object_detection"}', **{'input.mode': 'streaming'})
    # Untrained as it is, whatever it finds.
    config.detection.update({'max_boxes': 6, 'score_threshold': 0.0})
    config.input.train_split = config.evaluation.split = 'all'
    messages = []

    class Kept(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger, handler = logging.getLogger('jax'), Kept()
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            result = train.run(config, workdir)
    finally:
        logger.removeHandler(handler)
    return config, workdir, result, [m for m in messages if 'Finished XLA compilation' in m]


def test_photographs_of_any_shape_are_trained_on_with_one_compilation(photographs):
    _, workdir, result, compiled = photographs
    assert len([m for m in compiled if 'train_step' in m]) == 1
    assert len([m for m in compiled if 'evaluation_step' in m]) == 1
    assert 0 <= result['metrics']['map_50'] <= 1
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    assert all(np.isfinite(line['loss']) for line in lines if line['split'] == 'train' and 'loss' in line)
    for name in ('precision_recall.png', 'errors.png', 'detections.png', 'curves.png'):
        assert (workdir / name).stat().st_size > 1000


def test_objects_beyond_the_padding_are_counted(photographs, shared_data):
    _, workdir, result, _ = photographs
    rows = json.loads((workdir / 'faulty_examples.json').read_text())
    found = {pathlib.Path(row['id']).stem: row['faults'].get('beyond_padding', 0) for row in rows}
    # As the label files have it: one line an object.
    files = (shared_data / 'coco128' / 'object_detection').rglob('*.txt')
    objects = {file.stem: len(file.read_text().splitlines()) for file in files}
    expected = {name: n - 6 for name, n in objects.items() if n > 6}
    assert {name: n for name, n in found.items() if n} == expected != {}
    assert result['faulty_boxes']['beyond_padding'] == sum(expected.values())


def test_what_was_trained_is_scored_the_same_again(photographs):
    config, workdir, result, _ = photographs
    again = evaluate.run(config, workdir)
    assert again['metrics'] == pytest.approx(result['metrics'], nan_ok=True)


def test_boxes_on_a_photograph_are_in_its_own_pixels(photographs, tmp_path):
    config, workdir, _, _ = photographs
    wide = tmp_path / 'wide.png'
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 300, 3), np.uint8)).save(wide)
    (row,) = predict.run(config, workdir, types.SimpleNamespace(images=[str(wide)]))
    found = json.loads((workdir / 'predictions.json').read_text())
    assert found == [row]
    assert (workdir / row['picture']).is_file()
    boxes = np.array([one['box'] for one in row['detections']])
    assert len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes <= [300, 90, 300, 90]).all()
    # The network sees a square: what it finds in the right part is beyond the height only if it was stretched back.
    assert boxes[:, 2].max() > 90
    scores = [one['score'] for one in row['detections']]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures('no_pictures')
def test_folds_of_scenes_keep_every_detection(tmp_path):
    config = small('digit_scenes', **{'input.train_split': 'train[:32]', 'folds.count': 2})
    config.folds.update({'layout': 'sequential', 'near_duplicates': False})
    document = cross_validate.run(config, tmp_path)
    assert len(document['folds']) == 2
    assert all(0 <= fold['metrics']['map_50'] <= 1 for fold in document['folds'])
    rows = list(csv.DictReader((tmp_path / 'predictions.csv').read_text().splitlines()))
    assert len({row['id'] for row in rows}) == 32
    first = rows[0]
    boxes, labels = json.loads(first['boxes']), json.loads(first['labels'])
    assert len(boxes) == len(labels) == len(json.loads(first['scores']))
    real = [box for box, label in zip(boxes, labels, strict=True) if label >= 0]
    assert all(0 <= x0 <= x1 <= 96 and 0 <= y0 <= y1 <= 96 for x0, y0, x1, y1 in real)

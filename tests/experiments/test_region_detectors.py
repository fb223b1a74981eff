"""Detectors that are given regions, through the experiments: who finds them, how they move, training by turns."""

import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn.experiments import build, detectors, evaluate, initialise, predict_boxes, proposing, settings, stages
from cnn.experiments.engine import frozen_leaves
from cnn.experiments.errors import UserError
from cnn.ops.detections import Detections
from cnn.tasks.faster_rcnn import FasterRCNN
from cnn.tasks.proposals import Proposals
from configs import fast_rcnn, faster_rcnn
from input_pipeline.selective_search import SelectiveSearch

NETWORK = {'trunk': 'vgg', 'trunk_variant': '11', 'stem': 'small', 'width': 0.05, 'endpoint': 'conv2', 'hidden': (8,),
           'pool_size': 2, 'norm': 'batch'}  # fmt: skip


def small(module, arg='', **changes):
    """A config of seconds on eight scenes."""
    config = module.get_config(arg)
    config.model.update(NETWORK)
    config.batch_size, config.epochs, config.devices = 4, 0.5, 1
    config.optimizer.name, config.augmentation.crop = 'sgd', 'none'
    config.input.train_split, config.evaluation.split = 'train[:8]', 'test[:4]'
    for path, value in changes.items():
        section, _, name = path.rpartition('.')
        (settings.field(config, section) if section else config)[name] = value
    settings.check(config)
    return config


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
    """A config whose proposals are found by selective search, and kept in a folder of its own."""
    return small(fast_rcnn, **{'data_dir': str(tmp_path_factory.mktemp('data')), 'input.max_proposals': 20})


def test_batches_bring_what_selective_search_finds(searched, capsys):
    source, devices = build.train_source(searched), build.replicas(searched)
    assert searched.input.proposals == 'selective_search'
    resident = build.train_pipeline(searched, source, devices)
    said = capsys.readouterr().err
    assert 'by selective_search: 8 images' in said
    search = SelectiveSearch(width=0, thresholds=(50.0, 100.0), min_side=8.0, min_region=30)
    for i in range(8):
        own = (search(source.read(i)['image']) * 96)[:20]
        np.testing.assert_allclose(resident.arrays['proposals'][i, : len(own)], own, rtol=1e-6)
        assert not resident.arrays['proposals'][i, len(own) :].any()
    # Folds, evaluation and streams read what was found.
    parts = build.train_parts(searched, source, [np.array([5, 1, 2, 7]), np.arange(8)], [0, 1], devices)
    np.testing.assert_array_equal(parts[0].arrays['proposals'], resident.arrays['proposals'])
    (batch,) = build.whole_set(searched, source.select([6, 2, 4, 1]))
    np.testing.assert_array_equal(batch['proposals'], resident.arrays['proposals'][[6, 2, 4, 1]])
    streamed = searched.copy_and_resolve_references()
    streamed.input.mode = 'streaming'
    batch = next(build.train_pipeline(streamed, source, devices).batches())
    np.testing.assert_array_equal(batch['proposals'], resident.arrays['proposals'][batch['index']])
    assert capsys.readouterr().err == ''


def test_a_photograph_is_searched_on_the_fly(searched):
    seen = {}

    def predict(variables, batch):
        seen.update(batch)
        return {'boxes': np.zeros((1, 1, 4)), 'scores': np.zeros((1, 1)), 'labels': np.full((1, 1), -1)}

    blank = {'image': np.zeros((1, 1, 1, 3), np.uint8), 'placement': np.zeros((1, 6), np.float32)}
    task = types.SimpleNamespace(predict=predict, drawn_score=0.5, dummy_batch=lambda size: blank)
    boxes = predict_boxes.Boxes(searched, build.train_source(searched).info, task, None, {})
    boxes._predict = predict
    image = np.full((60, 240, 3), 200, np.uint8)
    image[10:50, 100:160] = (20, 120, 20)
    boxes.detections(image)
    found = seen['proposals'][0]
    # 240 pixels become 96: the rectangle is 40 to 64, 4 to 20.
    near = np.abs(found - [40, 4, 64, 20]).max(1)
    assert near.min() < 1
    # Nothing reaches into the canvas beyond the photograph.
    assert found[:, 3].max() == pytest.approx(24)
    assert found.shape == (20, 4)


class Fixed:
    """Proposes a corner of the image and what is right of it, in pixels of a canvas of 32 x 32."""

    mean, std = (0.5,) * 3, (0.25,) * 3

    def dummy_batch(self, size):
        return {'image': np.zeros((1, size, size, 3), np.uint8), 'placement': np.float32([[1, 1, 0, 0, size, size]])}

    def propose(self, variables, batch):
        count = batch['image'].shape[0]
        boxes = np.tile(np.float32([[[0, 0, 8, 4], [8, 0, 24, 4], [0, 0, 0, 0]]]), (count, 1, 1))
        return Proposals(boxes, np.tile([True, True, False], (count, 1)))


def test_a_networks_proposals_are_of_the_image():
    config = small(faster_rcnn)
    config.image_size = 32
    transform = build.evaluation_transform(config)
    finder = proposing.ByNetwork(config, Fixed(), {'params': np.ones(3)}, transform)
    images = [np.zeros((16, 64, 3), np.uint8), b'no image', *[np.zeros((64, 64, 3), np.uint8)] * 4]
    found = list(finder.find(iter(images)))
    assert [len(boxes) for boxes in found] == [2, 0, 2, 2, 2, 2]
    # The first covers 8 x 32 pixels of the canvas, the others all of it.
    np.testing.assert_allclose(found[0], [[0, 0, 0.25, 0.5], [0.25, 0, 0.75, 0.5]])
    np.testing.assert_allclose(found[5], [[0, 0, 0.25, 0.125], [0.25, 0, 0.75, 0.125]])
    other = proposing.ByNetwork(config, Fixed(), {'params': np.zeros(3)}, transform)
    assert finder.fingerprint() != other.fingerprint()


def test_who_cannot_propose_is_refused(searched, tmp_path):
    with pytest.raises(UserError, match='neither selective_search nor the workdir'):
        build.finder(small(fast_rcnn, f'proposals={tmp_path}'))
    (tmp_path / 'config.json').write_text(json.dumps(searched.to_dict()))
    with pytest.raises(UserError, match='proposes no regions'):
        build.finder(small(fast_rcnn, f'proposals={tmp_path}'))
    with pytest.raises(ValueError, match="fast and quality, not 'best'"):
        small(fast_rcnn, **{'input.search.mode': 'best'})


def tops(tree, wanted):
    return {path.partition('/')[0] for path, value in flatten_dict(tree, sep='/').items() if value is wanted}


def test_each_step_trains_what_is_its_own():
    config = small(faster_rcnn, 'training=alternating')
    variables = {'params': {name: {'kernel': np.ones(1)} for name in ('trunk', 'rpn', 'head')}}
    learnt = {s.name: tops(frozen_leaves(s.config.optimizer.freeze, variables)[0], False)
              for s in stages.of(config, pathlib.Path)}  # fmt: skip
    assert learnt == {'rpn': {'trunk', 'rpn'}, 'detector': {'trunk', 'head'}, 'rpn_shared': {'rpn'},
                      'detector_shared': {'head'}}  # fmt: skip
    config = small(fast_rcnn, 'training=stagewise')
    variables['params']['head'] = {name: {'kernel': np.ones(1)} for name in ('cls_score', 'bbox_pred', 'body')}
    first, last = (frozen_leaves(s.config.optimizer.freeze, variables)[0] for s in stages.of(config, pathlib.Path))
    assert not any(jax.tree.leaves(first))
    assert [path for path, value in flatten_dict(last, sep='/').items() if not value] == ['head/bbox_pred/kernel']


@pytest.fixture(scope='module')
def alternated(tmp_path_factory):
    """Faster R-CNN by turns, a step of training each, none of them scored: that would be compiled four times."""
    changes = {'model.rpn_features': 4, 'rpn.train_after': 20, 'rpn.test_after': 10, 'input.max_proposals': 20}
    config = small(faster_rcnn, 'training=alternating,preset=tiny', **changes)
    config.stages.detector.update({'epochs': 1.0})
    workdir = tmp_path_factory.mktemp('alternated')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FasterRCNN, 'draw', lambda *_: [])
        patch.setattr(FasterRCNN, 'judge', found_nothing)
        stages.run(config, workdir)
    return config, workdir


def found_nothing(self, variables, scene):
    count = scene.images.shape[0]
    none = Detections(jnp.zeros((count, 1, 4)), jnp.zeros((count, 1)), jnp.full((count, 1), -1))
    return none, jnp.zeros((count, 1, 4))


def variables_of(config, workdir):
    task = build.task(config, build.info(config, workdir), None)
    module = build.model(config, task.num_classes)
    return task, initialise.trained(config, workdir, task, module)[0]


def test_four_steps_make_one_network(alternated):
    config, workdir = alternated
    order = stages.of(config, lambda name: stages.place(config, workdir, name))
    found = {s.name: variables_of(s.config, stages.place(config, workdir, s.name))[1] for s in order}
    rpn, detector, shared, last = found.values()

    def same(a, b, top):
        pairs = [(a[kind][top], b[kind][top]) for kind in a if top in a[kind]]
        return all(np.array_equal(x, y) for p in pairs for x, y in zip(*map(jax.tree.leaves, p), strict=True))

    assert same(last, detector, 'trunk')
    assert same(last, shared, 'rpn')
    assert not same(last, shared, 'head')
    assert not same(shared, detector, 'rpn')
    # Each of the first two began anew.
    assert not same(rpn, detector, 'trunk')
    assert not same(rpn, detector, 'head')
    assert same(shared, detector, 'head')
    # The detector learnt from what the first network proposed.
    kept = list((workdir / 'stages' / 'rpn' / 'proposals').glob('*.proposals'))
    assert len(kept) == 2
    assert not list((workdir / 'stages' / 'rpn_shared').glob('proposals'))


def test_dense_layers_are_truncated_when_it_is_scored(alternated):
    config, workdir = alternated
    config = stages.final(config, workdir)
    own = config.copy_and_resolve_references()
    own.evaluation.ranks = (3,)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FasterRCNN, 'draw', lambda *_: [])
        patch.setattr(evaluate, 'Scorer', lambda task_of, *_: pytest.fail(str(task_of({}).module.head.body.ranks)))
        with pytest.raises(pytest.fail.Exception, match=r'\(3,\)'):
            evaluate.run(own, workdir)
    _, variables = variables_of(config, workdir)
    made, cut = detectors.truncated(own, variables)
    whole = variables['params']['head']['body']['fc6']['kernel']
    left, right = (cut['params']['head']['body'][f'fc6_{part}']['kernel'] for part in 'vu')
    u, s, v = np.linalg.svd(np.asarray(whole, np.float64), full_matrices=False)
    np.testing.assert_allclose(left @ right, (u[:, :3] * s[:3]) @ v[:3], atol=1e-5)
    assert made.model.ranks == (3,)
    assert detectors.truncated(config, variables) == (config, variables)
    own.evaluation.ranks = (300,)
    with pytest.raises(ValueError, match='it has no 300 singular values'):
        detectors.truncated(own, variables)

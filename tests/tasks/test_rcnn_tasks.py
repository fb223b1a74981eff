"""Fast and Faster R-CNN as tasks: every part learns, nothing depends on the batch, no scene breaks them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn.metrics import base
from cnn.models import detectors
from cnn.plots import anchors as anchors_plot
from cnn.tasks import region_pictures
from cnn.tasks.fast_rcnn import FastRCNN
from cnn.tasks.faster_rcnn import FasterRCNN
from tests.tasks import boxes_by_hand as by_hand

KEY = jax.random.key(0)
SIDE, MOST = 48, 3
NETWORK = {'trunk': 'vgg', 'trunk_variant': '11', 'stem': 'small', 'width': 0.05, 'endpoint': 'conv3', 'hidden': (8,),
           'dropout': 0.0, 'pool_size': 2, 'norm': 'none'}  # fmt: skip
RPN = {'train_before': 200, 'train_after': 12, 'test_before': 200, 'test_after': 12, 'min_size': 4.0, 'border': -1.0}
ROI = {'batch': 8, 'background_low': 0.0}


@functools.cache
def task_of(name):
    sizes = {'rpn_features': 4, 'scales': (0.75, 1.5), 'ratios': (1.0,)} if name == 'faster_rcnn' else {}
    module = detectors.create(name, num_classes=2, **NETWORK, **sizes)
    own = {'rpn': RPN} if name == 'faster_rcnn' else {'windows': {'stride': 12, 'scales': (0.75, 1.5)}}
    kind = FasterRCNN if name == 'faster_rcnn' else FastRCNN
    return kind(
        module, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3, max_boxes=MOST, max_detections=6, nms_threshold=0.3,
        roi=ROI, **own,
    )  # fmt: skip


def batch_of(rows):
    """Noise with up to three objects: `rows` are lists of (box, class, crowd)."""
    count, rng = len(rows), np.random.default_rng(0)
    batch = {
        'image': rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8),
        'boxes': np.zeros((count, MOST, 4), np.float32),
        'box_labels': np.full((count, MOST), -1, np.int32),
        'box_difficult': np.zeros((count, MOST), bool),
        'box_crowd': np.zeros((count, MOST), bool),
        'box_count': np.int32([len(row) for row in rows]),
        'placement': np.float32([[1, 1, 0, 0, SIDE, SIDE]] * count),
        'mask': np.ones(count, np.float32),
        'row': np.arange(count, dtype=np.int32),
        'index': np.arange(count, dtype=np.int32),
    }
    for i, row in enumerate(rows):
        for j, (box, label, crowd) in enumerate(row):
            batch['boxes'][i, j], batch['box_labels'][i, j], batch['box_crowd'][i, j] = box, label, crowd
    return batch


SCENES = batch_of(
    [
        [((4, 6, 20, 22), 0, False), ((25, 20, 46, 44), 1, False)],
        [],
        [((0, 0, 48, 48), 1, True), ((30, 4, 40, 16), 0, False)],
        [((0, 0, 1, 1), 0, False), ((47, 47, 48, 48), 1, False), ((10, 10, 30, 30), 1, False)],
    ]
)


@functools.cache
def compiled(name):
    """The variables, and the compiled gradient of the mean loss."""
    task = task_of(name)
    variables = jax.tree.map(np.asarray, task.init(KEY, SCENES))

    def mean(params, batch):
        output = task.loss({'params': params}, batch, KEY)
        return output.total / jnp.maximum(output.weight, 1), output

    return variables, jax.jit(jax.value_and_grad(mean, has_aux=True))


@pytest.mark.parametrize('name', ['fast_rcnn', 'faster_rcnn'])
def test_every_parameter_learns_and_all_is_finite(name):
    variables, differentiate = compiled(name)
    (value, output), gradients = differentiate(variables['params'], SCENES)
    assert np.isfinite(value)
    flat = flatten_dict(gradients, sep='/')
    assert all(np.isfinite(g).all() for g in flat.values())
    assert [path for path, g in flat.items() if not np.any(g)] == []
    shares = {key: state.compute(key)[key] for key, state in output.metrics.items()}
    parts = {'class', 'box'} | ({'objectness', 'rpn_box'} if name == 'faster_rcnn' else set())
    assert shares.keys() == {'loss', 'proposal_recall', *parts}
    assert shares['loss'] == pytest.approx(sum(shares[part] for part in parts), rel=1e-5)
    assert 0 <= shares['proposal_recall'] <= 1


@pytest.mark.parametrize('name', ['fast_rcnn', 'faster_rcnn'])
def test_images_count_once_whatever_stands_beside_them(name):
    variables, differentiate = compiled(name)
    totals = []
    for i in range(4):
        batch = dict(SCENES) | {'mask': (np.arange(4) == i).astype(np.float32)}
        output = differentiate(variables['params'], batch)[0][1]
        assert float(output.weight) == 1
        totals.append(float(output.total))
    whole = differentiate(variables['params'], SCENES)[0][1]
    assert float(whole.total) == pytest.approx(sum(totals), rel=1e-4)
    # Nothing but padding costs nothing.
    nothing = differentiate(variables['params'], dict(SCENES) | {'mask': np.zeros(4, np.float32)})
    assert nothing[0][0] == 0
    assert not any(np.any(g) for g in jax.tree.leaves(nothing[1]))


@pytest.mark.parametrize('name', ['fast_rcnn', 'faster_rcnn'])
def test_predictions_lie_in_the_image_from_the_highest_score_down(name):
    variables, _ = compiled(name)
    placement = np.float32([[0.5, 0.5, 4, 2, 60, 80]] * 4)
    batch, task = dict(SCENES) | {'placement': placement}, task_of(name)
    said, proposed = jax.jit(lambda v, b: (task.predict(v, b), task.propose(v, b)))(variables, batch)
    boxes, scores, labels = (np.asarray(said[key]) for key in ('boxes', 'scores', 'labels'))
    assert boxes.shape == (4, 6, 4)
    assert (np.diff(scores, axis=1) <= 0).all()
    real = labels >= 0
    assert real.any()
    assert set(labels[real]) <= {0, 1}
    # The image covers columns 2 to 42 and rows 4 to 34 of the input.
    low, high = boxes[real][:, :2], boxes[real][:, 2:]
    assert (low >= [2, 4]).all()
    assert (high <= [42, 34]).all()
    lowest, highest = (np.asarray(proposed.boxes)[np.asarray(proposed.valid)][:, i : i + 2] for i in (0, 2))
    assert (lowest >= [2, 4]).all()
    assert (highest <= [42, 34]).all()
    assert proposed.valid.any(1).all()
    np.testing.assert_allclose(said['source_boxes'][real], (boxes[real] - [2, 4, 2, 4]) * 2, atol=1e-4)


def test_the_batchs_own_proposals_come_before_windows():
    task = task_of('fast_rcnn')
    given = np.zeros((4, 5, 4), np.float32)
    given[:, 0] = [3, 3, 20, 20]
    found = task.proposals(task.scene(dict(SCENES) | {'proposals': given}))
    np.testing.assert_array_equal(found.boxes, given)
    np.testing.assert_array_equal(found.valid.sum(1), [1] * 4)


def test_recall_counts_objects_that_a_detector_is_to_find():
    task, batch = task_of('fast_rcnn'), dict(SCENES)
    proposals = np.zeros((4, 2, 4), np.float32)
    # Three quarters of an object of the first image, nothing on its other; the crowd of the third and half its object.
    proposals[0, 0] = [4, 6, 20, 18]
    proposals[2] = [[0, 0, 48, 48], [30, 4, 40, 10]]
    batch['box_difficult'] = np.array(batch['box_difficult'])
    batch['box_difficult'][3, 2] = True
    found = base.compute(task.metrics({'proposals': jnp.asarray(proposals)}, batch))
    # Five objects count: two, none, one, two.
    assert found['proposal_recall'] == pytest.approx(2 / 5)
    # 0.75 passes six of the ten thresholds, 0.5 the first.
    assert found['average_recall'] == pytest.approx((0.6 + 0.1) / 5)
    batch['mask'] = np.float32([1, 0, 0, 0])
    assert base.compute(task.metrics({'proposals': jnp.asarray(proposals)}, batch))['proposal_recall'] == 0.5
    assert task.metrics({}, batch) == {}


def test_parts_learn_by_turns():
    module = task_of('faster_rcnn').module
    sizes = {'num_classes': 2, 'mean': (0.5,) * 3, 'std': (0.25,) * 3, 'rpn': RPN, 'roi': ROI}
    tasks = {parts: FasterRCNN(module, parts=parts, **sizes) for parts in ('rpn', 'head')}
    variables = compiled('faster_rcnn')[0]
    keys = {name: set(jax.eval_shape(t.loss, variables, SCENES, KEY).metrics) for name, t in tasks.items()}
    assert keys == {'rpn': {'loss', 'objectness', 'rpn_box'}, 'head': {'loss', 'class', 'box', 'proposal_recall'}}
    # The head's proposals are the batch's where it brings them.
    given = np.zeros((4, 3, 4), np.float32)
    given[:, 0] = [3, 3, 20, 20]
    scene = tasks['head'].scene(dict(SCENES) | {'proposals': given})
    np.testing.assert_array_equal(tasks['head']._proposals(None, scene, train=True).boxes, given)
    np.testing.assert_array_equal(tasks['head']._proposals(None, scene, train=False).valid.sum(1), [1] * 4)
    with pytest.raises(ValueError, match=r"config\.loss\.parts is 'all'; there are joint, rpn, head"):
        FasterRCNN(module, parts='all', **sizes)


def test_pictures_show_the_image_with_the_most_objects(monkeypatch, tmp_path):
    task, batch = task_of('faster_rcnn'), dict(SCENES)
    found = {
        'labels': np.full((4, 1), -1), 'scores': np.zeros((4, 1)), 'boxes': np.zeros((4, 1, 4)),
        'source_boxes': np.zeros((4, 1, 4)), 'source_truth': batch['boxes'],
        'proposals': np.tile(np.float32([[[4, 6, 20, 18], [0, 0, 0, 0]]]), (4, 1, 1)),
    }  # fmt: skip
    collector, drawn = task.collector(), {}
    assert collector.example() is None
    collector.update(found, batch)
    example = collector.example()
    assert example.seen.index == 3
    np.testing.assert_array_equal(example.proposals, [[4, 6, 20, 18]])
    monkeypatch.setattr(anchors_plot, 'draw_proposals', lambda *a, **k: drawn.update(proposals=a))
    monkeypatch.setattr(anchors_plot, 'draw_anchors', lambda *a, **k: drawn.update(anchors=a, **k))
    image, grid = np.zeros((SIDE, SIDE, 3), np.uint8), task.anchors(SIDE, SIDE)
    # conv3 of this VGG has a stride of 4; two scales of one ratio.
    assert grid.shape == (12, 12, 2, 4)
    region_pictures.proposals(str(tmp_path), image, example)
    region_pictures.anchors(str(tmp_path), image, example.seen, grid, task.rpn)
    _, _, _, overlaps, _, path = drawn['proposals']
    # 10 x 8 pixels in common with the object of 20 x 20, none with those of a pixel in the corners.
    np.testing.assert_allclose(overlaps, [[0, 0, 80 / (192 + 400 - 80)]], rtol=1e-5, atol=1e-7)
    assert path == str(tmp_path / 'proposals.png')
    _, _, stride, _, positive, path = drawn['anchors']
    assert (stride, drawn['per_shape'], path) == (4, 2, str(tmp_path / 'anchors.png'))
    expected = [[by_hand.iou(a, (10, 10, 30, 30)) for a in cell] for cell in grid.reshape(-1, 2, 4)]
    best = np.array(expected) == np.max(expected)
    # The object of 20 pixels is learnt by the anchors that overlap it most; of tiny ones each has its best too.
    assert positive.reshape(-1, 2)[best].all()

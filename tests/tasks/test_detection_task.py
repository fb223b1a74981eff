"""The detection task: what a detector sees of a batch, what leaves the device, and what the record makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import detectors
from cnn.ops.detections import Detections
from cnn.tasks.detection import Detection, clip_to_window
from cnn.tasks.yolo import YOLO

SIZE = 16
STATISTICS = {'mean': (0.5,) * 3, 'std': (0.25,) * 3}


class Fixed(Detection):
    """Finds the same two objects in every image."""

    def detect(self, variables, scene):
        count = len(scene.images)
        boxes = jnp.tile(jnp.float32([[[2, 4, 10, 12], [8, 0, 16, 16], [0, 0, 0, 0]]]), (count, 1, 1))
        scores = jnp.tile(jnp.float32([[0.9, 0.6, 0]]), (count, 1))
        labels = jnp.tile(jnp.int32([[1, 0, -1]]), (count, 1))
        return Detections(clip_to_window(boxes, scene.window), scores, labels)


def batch():
    """Two examples: a 32 x 64 image letterboxed into the upper half of 16 x 16 pixels, and padding of the batch."""
    boxes = np.zeros((2, 3, 4), np.float32)
    boxes[0, :2] = [[2, 4, 10, 8], [0, 0, 4, 4]]
    labels = np.array([[1, 0, -1], [-1, -1, -1]], np.int32)
    return {
        'image': np.full((2, SIZE, SIZE, 3), 128, np.uint8),
        'mask': np.float32([1, 0]),
        'row': np.arange(2, dtype=np.int32),
        'index': np.int32([7, 0]),
        'boxes': boxes,
        'box_labels': labels,
        'box_difficult': np.array([[False, True, False], [False] * 3]),
        'box_crowd': np.zeros((2, 3), bool),
        'box_count': np.int32([2, 0]),
        'placement': np.float32([[0.25, 0.25, 0, 0, 32, 64], [1, 1, 0, 0, SIZE, SIZE]]),
    }


def test_flips_move_objects_window_and_proposals_and_difficult_objects_are_not_learnt():
    task = Fixed(None, num_classes=2, augmentation={'flip': 1.0}, **STATISTICS)
    data = batch() | {'proposals': np.float32([[[0, 0, 4, 8]], [[0, 0, 0, 0]]])}
    # Only a third of the width is covered: the window moves to the other side with the picture.
    data['placement'][0] = [0.5, 0.25, 0, 0, 16, 20]
    scene = jax.jit(task.scene)(data, jax.random.key(0))
    np.testing.assert_allclose(scene.window[0], [11, 0, 16, 8])
    np.testing.assert_allclose(scene.boxes[0], [[6, 4, 14, 8], [12, 0, 16, 4], [0, 0, 0, 0]])
    np.testing.assert_allclose(scene.proposals[0], [[12, 0, 16, 8]])
    assert np.asarray(scene.labels[0]).tolist() == [1, 0, -1]
    assert np.asarray(scene.valid).tolist() == [[True, False, False], [False] * 3]
    assert np.asarray(scene.ignored).tolist() == [[False, True, False], [False] * 3]
    assert task.scene(data).boxes is None
    both = jax.jit(Fixed(None, num_classes=2, use_difficult=True, **STATISTICS).scene)(data, jax.random.key(0))
    assert np.asarray(both.valid[0]).tolist() == [True, True, False]


def test_an_object_that_a_crop_drops_is_not_learnt():
    task = Fixed(None, num_classes=2, augmentation={'pad_and_crop': 12}, **STATISTICS)
    data = batch()
    scene_of = jax.jit(task.scene)
    kept = [scene_of(data, jax.random.key(seed)) for seed in range(8)]
    lost = [scene for scene in kept if not scene.valid[0, 0]]
    assert 0 < len(lost) < 8
    for scene in lost:
        assert int(scene.labels[0, 0]) == -1
        assert not np.any(scene.boxes[0, 0])


def test_proposals_are_shifted_with_the_objects_and_padding_stays_padding():
    task = Fixed(None, num_classes=2, augmentation={'pad_and_crop': 6, 'flip': 0.5}, **STATISTICS)
    data = batch()
    data['box_labels'][0], data['boxes'][0, 2] = [1, 0, 1], [8, 8, 16, 16]
    data |= {'proposals': np.concatenate([data['boxes'], np.zeros((2, 1, 4), np.float32)], 1)}
    scene_of, moved = jax.jit(task.scene), 0
    for seed in range(6):
        scene = scene_of(data, jax.random.key(seed))
        np.testing.assert_array_equal(scene.proposals[:, :3], scene.boxes)
        assert not np.any(scene.proposals[:, 3])
        moved += bool(np.any(scene.boxes != data['boxes']))
    assert moved > 3


def test_boxes_come_back_to_the_photographs_pixels_and_are_scored_there():
    task = Fixed(None, num_classes=2, class_names=('a', 'b'), **STATISTICS)
    data = batch()
    predictions = jax.tree.map(np.asarray, jax.jit(task.predict)({}, data))
    # Four times larger; what reaches beyond the image's half of the canvas is cut off.
    np.testing.assert_allclose(predictions['source_boxes'][0, :2], [[8, 16, 40, 32], [32, 0, 64, 32]])
    np.testing.assert_allclose(predictions['source_truth'][0, :2], [[8, 16, 40, 32], [0, 0, 16, 16]])
    collector = task.collector()
    collector.update(predictions, data)
    (seen,) = collector.images()
    assert (seen.index, seen.labels.tolist(), seen.difficult.tolist()) == (7, [1, 0], [False, True])
    np.testing.assert_allclose(seen.input_truth, [[2, 4, 10, 8], [0, 0, 4, 4]])
    # The one object that counts is found; the difficult one is no object, so that class 0 has none.
    values = collector.compute()
    assert (values['map_50'], values['map_coco']) == (1, pytest.approx(1))
    table = collector.table()
    assert {name: column.shape for name, column in table.items()} == {
        'index': (1,), 'boxes': (1, 2, 4), 'scores': (1, 2), 'labels': (1, 2)}  # fmt: skip


def test_the_record_sorts_images_and_fills_what_is_missing():
    task = Fixed(None, num_classes=2, **STATISTICS)
    collector = task.collector()
    predictions = jax.tree.map(np.asarray, task.predict({}, batch()))
    for index, found in ((3, 2), (1, 0)):
        data = batch()
        data['index'][0] = index
        own = predictions | {'labels': predictions['labels'].copy()}
        own['labels'][0, found:] = -1
        collector.update(own, data)
    table = collector.table()
    assert table['index'].tolist() == [1, 3]
    assert table['labels'].tolist() == [[-1, -1], [1, 0]]
    empty = task.collector()
    assert np.isnan(empty.compute()['map_50'])
    assert len(empty.table()['index']) == 0


def test_wrong_settings_are_one_line():
    with pytest.raises(ValueError, match='1 class names for 2 classes'):
        Fixed(None, num_classes=2, class_names=('a',), **STATISTICS)
    with pytest.raises(ValueError, match=r"evaluation\.ap is 'areas'"):
        Fixed(None, num_classes=2, ap='areas', **STATISTICS)
    with pytest.raises(ValueError, match=r'detection\.nms_threshold is 2'):
        Fixed(None, num_classes=2, nms_threshold=2, **STATISTICS)
    with pytest.raises(ValueError, match='mixup'):
        Fixed(None, num_classes=2, augmentation={'mixup': 0.2}, **STATISTICS)


@pytest.fixture(scope='module')
def small():
    """A YOLO of two stages, for 16 x 16 pixels: a grid of 8 x 8."""
    module = detectors.create('yolo', num_classes=2, variant='small', width=0.25, stages=2, convs=(8,), norm='batch')
    task = YOLO(module, num_classes=2, max_boxes=3, max_detections=5, **STATISTICS)
    variables = jax.tree.map(np.asarray, jax.jit(task.init)(jax.random.key(0), task.dummy_batch(SIZE)))
    return task, variables


def test_padding_of_the_batch_costs_nothing_and_every_parameter_learns(small):
    task, variables = small
    rest = {name: tree for name, tree in variables.items() if name != 'params'}

    @jax.jit
    def graded(params, data):
        def total(params):
            output = task.loss({'params': params, **rest}, data, jax.random.key(1))
            return output.total, output

        return jax.grad(total, has_aux=True)(params)

    data = batch()
    # A little of everything, so that no layer is silent.
    params = jax.tree.map(lambda leaf: leaf + np.float32(0.01), variables['params'])
    grads, output = graded(params, data)
    assert all(np.isfinite(g).all() and np.any(g) for g in jax.tree.leaves(grads))
    assert float(output.weight) == 1
    parts = [output.metrics[name] for name in ('place', 'size', 'confidence', 'background', 'class')]
    assert float(output.total) == pytest.approx(sum(float(p.total) for p in parts), rel=1e-5)
    data['boxes'][1], data['box_labels'][1] = [0, 0, 9, 9], 1
    np.testing.assert_allclose(graded(params, data)[1].total, output.total, rtol=1e-6)
    # Without any object the loss is that of confidences alone.
    data = batch() | {'box_labels': np.full((2, 3), -1, np.int32), 'boxes': np.zeros((2, 3, 4), np.float32)}
    output = graded(params, data)[1]
    assert float(output.total) == pytest.approx(float(output.metrics['background'].total)) != 0


def test_detections_are_sorted_suppressed_and_padded(small):
    task, variables = small
    data = batch() | {'image': np.random.default_rng(0).integers(0, 255, (2, SIZE, SIZE, 3)).astype(np.uint8)}
    found = jax.tree.map(np.asarray, jax.jit(task.predict)(variables, data))
    assert found['boxes'].shape == (2, 5, 4)
    assert (np.diff(found['scores'], axis=1) <= 0).all()
    real = found['labels'] >= 0
    assert (found['scores'][real] > task.score_threshold).all()
    assert not found['boxes'][~real].any()
    # The first image covers the upper half of the canvas only.
    assert (found['boxes'][0, :, 3] <= 8).all()

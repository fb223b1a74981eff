"""The segmentation task on a linear classifier of pixels: losses by hand, what is ignored, records, pictures."""

import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sklearn_metrics

from cnn.metrics import base
from cnn.models.layers import Dense
from cnn.tasks.segmentation import Segmentation
from cnn.tasks.segmentation_record import Segmented

CLASSES, BATCH, SIDE = 3, 4, 5
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
KEY = jax.random.key(0)


class Network(nn.Module):
    """Each pixel's logits from its own colour; in training, on request, a second head."""

    auxiliary: bool = False

    @nn.compact
    def __call__(self, x, train=False):
        endpoints = {'aux_logits': Dense(CLASSES, name='aux')(x)} if train and self.auxiliary else {}
        return Dense(CLASSES, name='head')(x), endpoints


def task_of(auxiliary=False, **options):
    return Segmentation(Network(auxiliary), num_classes=CLASSES, mean=MEAN, std=STD, **options)


def batch_of(count=BATCH, padding=0, seed=0):
    rng, size = np.random.default_rng(seed), count + padding
    return {
        'image': rng.integers(0, 256, (size, SIDE, SIDE + 1, 3), np.uint8),
        'segmentation': rng.choice([0, 1, 2, 255], (size, SIDE, SIDE + 1)).astype(np.uint8),
        'mask': (np.arange(size) < count).astype(np.float32),
        'row': np.arange(size, dtype=np.int32),
        'index': (100 + np.arange(size)).astype(np.int32),
    }


BATCH_4 = batch_of()


def variables_of(task):
    return jax.tree.map(np.asarray, jax.jit(task.init)(jax.random.key(1), BATCH_4))


def loss_of(task, variables, batch=BATCH_4):
    """The mean that training descends, and the task's output."""
    output = jax.jit(task.loss)(variables, batch, KEY)
    return float(output.total) / float(output.weight), output


def logits_of(variables, images, head='head'):
    parameters = variables['params'][head]
    return (images / 255.0 - MEAN) / STD @ parameters['kernel'] + parameters['bias']


def costs_of(variables, batch, head='head'):
    """Each labelled pixel's cross entropy and class."""
    known = (batch['segmentation'] != 255) & (batch['mask'] > 0)[:, None, None]
    truth = batch['segmentation'][known]
    logs = special.log_softmax(logits_of(variables, batch['image'], head)[known], -1)
    return -logs[np.arange(len(truth)), truth], truth


def test_loss_is_the_mean_over_labelled_pixels():
    task = task_of()
    variables = variables_of(task)
    mean, output = loss_of(task, variables)
    costs, truth = costs_of(variables, BATCH_4)
    assert mean == pytest.approx(costs.mean(), rel=1e-5)
    values = base.compute(output.metrics)
    assert values['loss'] == pytest.approx(costs.mean(), rel=1e-5)
    predicted = logits_of(variables, BATCH_4['image']).argmax(-1)[BATCH_4['segmentation'] != 255]
    assert values['pixel_accuracy'] == pytest.approx((predicted == truth).mean())


def test_class_weights_are_those_of_a_weighted_mean():
    weights = (0.5, 2.0, 0.0)
    task = task_of(class_weights=weights)
    variables = variables_of(task)
    costs, truth = costs_of(variables, BATCH_4)
    expected = np.average(costs, weights=np.array(weights)[truth])
    mean, output = loss_of(task, variables)
    assert mean == pytest.approx(expected, rel=1e-5)
    # What evaluation reports as the loss is the same weighted mean.
    scored = jax.jit(lambda v, b: task.metrics(task.predict(v, b), b))(variables, BATCH_4)
    assert base.compute(scored)['loss'] == pytest.approx(expected, rel=1e-5)
    assert base.compute(output.metrics)['loss'] == pytest.approx(expected, rel=1e-5)


def test_the_papers_loss_is_the_sum_over_an_image():
    task = task_of(reduction='sum')
    variables = variables_of(task)
    costs, _ = costs_of(variables, BATCH_4)
    mean, output = loss_of(task, variables)
    assert mean == pytest.approx(costs.sum() / BATCH, rel=1e-5)
    assert base.compute(output.metrics)['loss'] == pytest.approx(costs.mean(), rel=1e-5)


def test_the_auxiliary_heads_loss_counts_half():
    task = task_of(auxiliary=True)
    variables = variables_of(task)
    expected = costs_of(variables, BATCH_4)[0].mean() + 0.5 * costs_of(variables, BATCH_4, 'aux')[0].mean()
    assert loss_of(task, variables)[0] == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_by_hand():
    task = task_of(label_smoothing=0.3)
    variables = variables_of(task)
    known = BATCH_4['segmentation'] != 255
    logs = special.log_softmax(logits_of(variables, BATCH_4['image'])[known], -1)
    targets = 0.7 * np.eye(CLASSES)[BATCH_4['segmentation'][known]] + 0.1
    assert loss_of(task, variables)[0] == pytest.approx(-(logs * targets).sum(-1).mean(), rel=1e-5)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_padding_and_ignored_pixels_move_nothing(reduction):
    task = task_of(reduction=reduction)
    variables = variables_of(task)
    padded = batch_of(3, padding=2)
    changed = {**padded, 'image': padded['image'].copy()}
    changed['image'][padded['segmentation'] == 255] = 7
    changed['image'][3:] = 9
    bare = {name: value[:3] for name, value in padded.items()}

    def gradient(batch):
        def loss(v):
            output = task.loss(v, batch, KEY)
            return output.total / output.weight

        return jax.jit(jax.grad(loss))(variables)['params']['head']['kernel']

    expected = gradient(bare)
    assert np.any(expected)
    np.testing.assert_allclose(gradient(padded), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient(changed), expected, rtol=1e-4, atol=1e-6)


def test_a_batch_without_a_label_is_no_loss_and_no_gradient():
    task = task_of()
    variables = variables_of(task)
    empty = {**BATCH_4, 'segmentation': np.full_like(BATCH_4['segmentation'], 255)}

    def loss(v):
        output = task.loss(v, empty, KEY)
        return output.total / output.weight

    value, gradient = jax.jit(jax.value_and_grad(loss))(variables)
    assert value == 0
    assert all(np.isfinite(leaf).all() and not leaf.any() for leaf in jax.tree.leaves(gradient))


def test_images_and_masks_are_flipped_together():
    """With a colour for each class that the linear net reads off, the loss is as good flipped as not."""
    truth = np.random.default_rng(3).integers(0, CLASSES, (BATCH, SIDE, SIDE + 1)).astype(np.uint8)
    image = (255 * np.eye(3)[truth]).astype(np.uint8)
    batch = {**BATCH_4, 'segmentation': truth, 'image': image}
    task = task_of(augmentation={'flip': 1.0, 'pad_and_crop': 2})
    variables = {'params': {'head': {'kernel': 5 * np.eye(3, dtype=np.float32), 'bias': np.zeros(3, np.float32)}}}
    _, output = loss_of(task, variables, batch)
    assert base.compute(output.metrics)['pixel_accuracy'] == 1


def test_predictions_are_the_likeliest_classes_and_what_scores_need():
    task = task_of()
    variables = variables_of(task)
    batch = batch_of(3, padding=1)
    predictions = jax.tree.map(np.asarray, jax.jit(task.predict)(variables, batch))
    logits = logits_of(variables, batch['image'])
    np.testing.assert_array_equal(predictions['segmentation'], logits.argmax(-1))
    assert predictions['segmentation'].dtype == np.uint8
    assert predictions['confusions'].shape == (4, CLASSES, CLASSES)
    without = {name: value for name, value in batch.items() if name != 'segmentation'}
    alone = jax.jit(task.predict)(variables, without)
    np.testing.assert_allclose(alone['probability'], special.softmax(logits, -1).max(-1), rtol=1e-5)
    np.testing.assert_array_equal(alone['segmentation'], predictions['segmentation'])


def test_metrics_of_parts_are_those_of_the_whole():
    task = task_of()
    variables = variables_of(task)
    scored = jax.jit(lambda v, b: task.metrics(task.predict(v, b), b))
    batch = batch_of(5)
    parts = [{n: v[:3] for n, v in batch.items()}, {n: np.concatenate([v[3:], v[:1]]) for n, v in batch.items()}]
    parts[1]['mask'][-1] = 0
    merged = base.compute(base.merge(*(jax.tree.map(np.asarray, scored(variables, part)) for part in parts)))
    known = batch['segmentation'] != 255
    truth, predicted = batch['segmentation'][known], logits_of(variables, batch['image']).argmax(-1)[known]
    jaccard = sklearn_metrics.jaccard_score(truth, predicted, average='macro', zero_division=0)
    assert merged['mean_iou'] == pytest.approx(jaccard)
    assert merged['pixel_accuracy'] == pytest.approx((truth == predicted).mean())
    assert merged['loss'] == pytest.approx(costs_of(variables, batch)[0].mean(), rel=1e-5)


def record(mean_ious, kept=3):
    """A record of two-class images of four pixels with these many right ones, out of order and with padding."""
    found = Segmented(kept)
    for index, right in mean_ious:
        truth = np.zeros((2, 2, 2), np.uint8)
        predicted = np.zeros((2, 4), np.uint8)
        predicted[:, right:] = 1
        wrong = 4 - right
        confusions = np.array([[[right, wrong], [0, 0]]] * 2)
        batch = {'mask': np.array([1, 0]), 'index': np.array([index, 0]), 'segmentation': truth}
        found.update({'confusions': confusions, 'segmentation': predicted.reshape(2, 2, 2)}, batch)
    return found


def test_the_record_keeps_scores_of_all_and_masks_of_the_first_and_the_worst():
    found = record([(5, 4), (3, 1), (4, 2), (1, 3), (2, 0)])
    table = found.table()
    np.testing.assert_array_equal(table['index'], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(table['pixel_accuracy'], [3 / 4, 0, 1 / 4, 2 / 4, 1])
    # One class is never there but predicted, except in the perfect image: IU of right / 4 and 0.
    np.testing.assert_allclose(table['mean_iou'], [3 / 8, 0, 1 / 8, 2 / 8, 1])
    assert [s.index for s in found.first()] == [1, 2, 3]
    assert [s.index for s in found.worst()] == [2, 3, 4]
    assert found.worst()[0].predicted.tolist() == [[1, 1], [1, 1]]
    assert found.compute() == {}
    assert Segmented().table()['index'].shape == (0,)


def test_an_image_without_a_labelled_pixel_has_no_score_and_no_picture():
    found = Segmented()
    batch = {'mask': np.ones(1), 'index': np.array([7]), 'segmentation': np.full((1, 2, 2), 255, np.uint8)}
    found.update({'confusions': np.zeros((1, 2, 2)), 'segmentation': np.zeros((1, 2, 2), np.uint8)}, batch)
    assert np.isnan(found.table()['mean_iou']).all()
    assert found.worst() == found.first() == []


def test_pictures_are_drawn_with_and_without_a_source(tmp_path):
    task = task_of(class_names=('background', 'cat', 'dog'))
    variables = variables_of(task)
    predictions = jax.tree.map(np.asarray, jax.jit(task.predict)(variables, BATCH_4))
    states = jax.tree.map(np.asarray, task.metrics(jax.tree.map(jnp.asarray, predictions), BATCH_4))
    collector = task.collector()
    collector.update(predictions, BATCH_4)
    assert task.draw(str(tmp_path), states, collector, None) == ['class_iou.png']

    class Source:
        def image(self, i):
            return BATCH_4['image'][i - 100]

    names = task.draw(str(tmp_path), states, collector, Source())
    assert names == ['class_iou.png', 'segmentations.png', 'worst.png']
    assert all(os.path.getsize(tmp_path / name) > 2000 for name in names)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'class_names': ('a',)}, '1 class names for 3 classes'),
        ({'class_weights': (1.0, 2.0)}, '2 loss.class_weights for 3 classes'),
        ({'class_weights': (1.0, -2.0, 1.0)}, 'give numbers, 0 or more'),
        ({'reduction': 'avg'}, "loss.reduction is 'avg'; there are mean, sum"),
        ({'augmentation': {'mixup': 0.2}}, 'are for classification; set them to 0'),
        ({'label_smoothing': 1.0}, 'label_smoothing is 1.0'),
    ],
)
def test_a_mistake_is_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        task_of(**options)

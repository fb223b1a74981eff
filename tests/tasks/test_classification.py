"""The classification task on a small network: losses by hand, masks, auxiliary heads, views, records, pictures."""

import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from cnn.metrics import base
from cnn.metrics.classification import ClassCounts, Confusion
from cnn.models.layers import BatchNorm, Dense
from cnn.tasks.classification import Classification

CLASSES, BATCH = 6, 8
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
RNG = np.random.default_rng(0)


class Network(nn.Module):
    """A linear classifier of the mean colour and of the top left pixel, with what a task must cope with."""

    auxiliary: int = 0
    norm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        features = jnp.concatenate([x.mean((1, 2)), x[:, 0, 0]], -1)
        if self.norm:
            features = BatchNorm(name='norm')(features, train)
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        endpoints = {}
        if train:
            for i in range(1, self.auxiliary + 1):
                endpoints[f'aux{i}_logits'] = Dense(CLASSES, name=f'aux{i}')(features)
        return Dense(CLASSES, name='head')(features), endpoints


def task_of(module=None, **options):
    return Classification(module or Network(), num_classes=CLASSES, mean=MEAN, std=STD, **options)


def batch_of(count=BATCH, padding=0):
    size = count + padding
    return {
        'image': RNG.integers(0, 256, (size, 4, 4, 3), np.uint8),
        'label': RNG.integers(0, CLASSES, size).astype(np.int32),
        'mask': (np.arange(size) < count).astype(np.float32),
        'row': np.arange(size, dtype=np.int32),
        'index': (100 + np.arange(size)).astype(np.int32),
    }


KEY = jax.random.key(0)
BATCH_8 = batch_of()


def run(task, batch=BATCH_8, key=KEY, variables=None):
    variables = variables or jax.jit(task.init)(jax.random.key(1), batch)
    return jax.jit(task.loss)(variables, batch, key), variables


def evaluated(task, variables, batch=BATCH_8):
    return jax.jit(lambda v, b: task.metrics(task.predict(v, b), b))(variables, batch)


def features_of(images):
    x = (images / 255.0 - MEAN) / STD
    return np.concatenate([x.mean((1, 2)), x[:, 0, 0]], -1)


def logits_of(variables, images, head='head'):
    parameters = jax.tree.map(np.asarray, variables['params'][head])
    return features_of(images) @ parameters['kernel'] + parameters['bias']


def cross_entropy(logits, targets):
    return -(special.log_softmax(logits, -1) * targets).sum(-1)


def test_loss_is_the_sum_of_cross_entropies():
    output, variables = run(task_of())
    logits = logits_of(variables, BATCH_8['image'])
    expected = cross_entropy(logits, np.eye(CLASSES)[BATCH_8['label']])
    np.testing.assert_allclose(output.total, expected.sum(), rtol=1e-5)
    assert float(output.weight) == BATCH
    values = base.compute(output.metrics)
    assert values['loss'] == pytest.approx(expected.mean(), rel=1e-5)
    assert values['accuracy'] == pytest.approx((logits.argmax(1) == BATCH_8['label']).mean())
    assert output.model_state == {}


def test_label_smoothing_reaches_the_loss_but_not_the_evaluation():
    task = task_of(label_smoothing=0.2)
    output, variables = run(task)
    logits = logits_of(variables, BATCH_8['image'])
    hard = np.eye(CLASSES)[BATCH_8['label']]
    expected = cross_entropy(logits, 0.8 * hard + 0.2 / CLASSES)
    np.testing.assert_allclose(output.total, expected.sum(), rtol=1e-5)
    loss = base.compute(evaluated(task, variables))['loss']
    assert loss == pytest.approx(cross_entropy(logits, hard).mean(), rel=1e-5)


def test_padding_adds_nothing():
    task = task_of()
    padded = batch_of(5, padding=3)
    output, variables = run(task, padded)
    bare = {name: value[:5] for name, value in padded.items()}
    expected, _ = run(task, bare, variables=variables)
    np.testing.assert_allclose(output.total, expected.total, rtol=1e-6)
    assert float(output.weight) == float(expected.weight) == 5
    gradients = [
        jax.jit(jax.grad(lambda v, b=b: task.loss(v, b, KEY).total))(variables)['params']['head']['kernel']
        for b in (padded, bare)
    ]
    np.testing.assert_allclose(*gradients, atol=1e-5)
    values = [base.compute(evaluated(task, variables, b)) for b in (padded, bare)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_replicas_add_up_to_the_whole_batch():
    task = task_of(
        augmentation={'flip': 0.5, 'pad_and_crop': 1, 'brightness': 0.2, 'lighting': 0.1, 'cutmix': 1.0}
    )
    whole, variables = run(task)
    halves = [run(task, {n: v[i : i + 4] for n, v in BATCH_8.items()}, variables=variables)[0] for i in (0, 4)]
    np.testing.assert_allclose(whole.total, halves[0].total + halves[1].total, rtol=1e-5)


def test_auxiliary_heads_add_three_tenths_of_their_loss():
    output, variables = run(task_of(Network(auxiliary=2)))
    hard = np.eye(CLASSES)[BATCH_8['label']]
    one, two, main = (
        cross_entropy(logits_of(variables, BATCH_8['image'], h), hard).sum() for h in ('aux1', 'aux2', 'head')
    )
    np.testing.assert_allclose(output.total, main + 0.3 * (one + two), rtol=1e-5)


def test_mixup_mixes_targets_with_the_images():
    task = task_of(augmentation={'mixup': 1.0})
    output, variables = run(task)
    hard = np.eye(CLASSES)[BATCH_8['label']]
    # The share that this key draws, read off from the mixing of unit vectors.
    units = jnp.eye(BATCH), jnp.ones(BATCH)
    share = float(task.augmentation.mix(KEY, jnp.zeros((BATCH, 1, 1, 3)), *units)[1][0, 0])
    assert 0.05 < share < 0.95
    swap = np.arange(BATCH) ^ 1
    features = features_of(BATCH_8['image'])
    head = jax.tree.map(np.asarray, variables['params']['head'])
    logits = (share * features + (1 - share) * features[swap]) @ head['kernel'] + head['bias']
    targets = share * hard + (1 - share) * hard[swap]
    np.testing.assert_allclose(output.total, cross_entropy(logits, targets).sum(), rtol=1e-4)
    hits = targets[np.arange(BATCH), logits.argmax(1)]
    assert base.compute(output.metrics)['accuracy'] == pytest.approx(hits.mean(), abs=1e-5)


def test_batch_norm_statistics_come_back_updated():
    task = task_of(Network(norm=True))
    output, variables = run(task)
    batch_mean = features_of(BATCH_8['image']).mean(0)
    np.testing.assert_allclose(output.model_state['batch_stats']['norm']['mean'], 0.1 * batch_mean, atol=1e-5)
    assert set(variables) == {'params', 'batch_stats'}


def test_dropout_follows_the_key_and_differs_between_replicas():
    task = task_of(Network(dropout=0.5))
    first, variables = run(task)
    again, _ = run(task, variables=variables)
    assert float(first.total) == float(again.total)
    assert float(run(task, key=jax.random.key(9), variables=variables)[0].total) != float(first.total)
    other_rows = {**BATCH_8, 'row': BATCH_8['row'] + BATCH}
    assert float(run(task, other_rows, variables=variables)[0].total) != float(first.total)
    logits = jax.jit(task.predict)(variables, BATCH_8)['logits']
    np.testing.assert_allclose(logits, logits_of(variables, BATCH_8['image']), atol=1e-4)


def test_predict_agrees_with_numpy():
    task = task_of()
    _, variables = run(task)
    predictions = jax.jit(task.predict)(variables, BATCH_8)
    expected = logits_of(variables, BATCH_8['image'])
    np.testing.assert_allclose(predictions['logits'], expected, atol=1e-4)
    np.testing.assert_allclose(predictions['probabilities'], special.softmax(expected, -1), atol=1e-5)


def test_several_views_average_their_probabilities():
    task = task_of()
    _, variables = run(task)
    views = RNG.integers(0, 256, (BATCH, 3, 4, 4, 3), np.uint8)
    predictions = jax.jit(task.predict)(variables, {**BATCH_8, 'image': views})
    expected = np.mean([special.softmax(logits_of(variables, views[:, i]), -1) for i in range(3)], 0)
    np.testing.assert_allclose(predictions['probabilities'], expected, atol=1e-5)
    np.testing.assert_allclose(predictions['logits'], np.log(expected), atol=1e-4)
    shapes = jax.eval_shape(task.init, KEY, {**BATCH_8, 'image': views})
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)


def test_ten_crops_are_ten_views():
    task = task_of(ten_crop=3)
    variables = jax.jit(task.init)(KEY, BATCH_8)
    images = BATCH_8['image']
    corners = [images[:, y : y + 3, x : x + 3] for y, x in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0))]
    views = [*corners, *(corner[:, :, ::-1] for corner in corners)]
    expected = np.mean([special.softmax(logits_of(variables, view), -1) for view in views], 0)
    np.testing.assert_allclose(jax.jit(task.predict)(variables, BATCH_8)['probabilities'], expected, atol=1e-5)


def test_ten_crops_do_not_touch_the_size_that_the_network_is_made_for():
    seen = []

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            seen.append(x.shape)
            return Dense(CLASSES)(x.reshape(len(x), -1)), {}

    task = task_of(Spy(), ten_crop=3)
    variables = jax.eval_shape(task.init, KEY, BATCH_8)
    jax.eval_shape(task.predict, variables, BATCH_8)
    assert seen == [(1, 3, 3, 3), (10 * BATCH, 3, 3, 3)]


def test_evaluation_names_its_metrics():
    task = task_of()
    _, variables = run(task)
    states = evaluated(task, variables)
    assert set(base.compute(states)) == {'loss', 'accuracy', 'top5_accuracy', 'mean_class_accuracy'}
    ranks = (-logits_of(variables, BATCH_8['image'])).argsort(1).argsort(1)[np.arange(BATCH), BATCH_8['label']]
    assert states['top5_accuracy'].compute('top5')['top5'] == pytest.approx((ranks < 5).mean())


def test_above_the_limit_the_confusion_matrix_is_not_kept():
    kept, counted = task_of(), task_of(confusion_limit=CLASSES - 1)
    _, variables = run(kept)
    states = [evaluated(task, variables)['confusion'] for task in (kept, counted)]
    assert isinstance(states[0], Confusion)
    assert isinstance(states[1], ClassCounts)
    assert states[0].compute('confusion') == states[1].compute('confusion')


def test_the_compute_type_reaches_the_network():
    seen = []

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            seen.append(x.dtype)
            return Dense(CLASSES)(x.mean((1, 2))), {}

    task = task_of(Spy(), dtype=jnp.bfloat16)
    variables = jax.eval_shape(task.init, KEY, BATCH_8)
    jax.eval_shape(task.loss, variables, BATCH_8, KEY)
    predictions = jax.eval_shape(task.predict, variables, BATCH_8)
    assert seen == [jnp.bfloat16] * 3
    assert predictions['logits'].dtype == jnp.float32


def probabilities_of(predicted, confidence):
    values = np.full((len(predicted), CLASSES), np.nan, np.float32)
    for row, (best, sure) in enumerate(zip(predicted, confidence, strict=True)):
        values[row] = (1 - sure) / (CLASSES - 1)
        values[row, best] = sure
    return values


def collected():
    collector = task_of().collector()
    # Three batches out of order, the last padded; labels are 0, 1, 2, ... by index.
    for indices, predicted, confidence, mask in (
        ([3, 1], [3, 0], [0.9, 0.6], [1, 1]),
        ([0, 2], [5, 2], [0.8, 0.7], [1, 1]),
        ([4, 0], [3, 1], [0.95, 0.99], [1, 0]),
    ):
        batch = {'index': np.array(indices), 'label': np.array(indices), 'mask': np.array(mask, np.float32)}
        collector.update({'probabilities': probabilities_of(predicted, confidence)}, batch)
    return collector


def test_the_collector_lists_every_real_example_once():
    table = collected().table()
    assert table['index'].tolist() == [0, 1, 2, 3, 4]
    assert table['prediction'].tolist() == [5, 0, 2, 3, 3]
    np.testing.assert_allclose(table['confidence'], [0.8, 0.6, 0.7, 0.9, 0.95], rtol=1e-6)
    np.testing.assert_allclose(table['label_probability'], [0.04, 0.08, 0.7, 0.9, 0.01], rtol=1e-5)


def test_mistakes_come_most_confident_first():
    collector = collected()
    assert collector.mistakes()['index'].tolist() == [4, 0, 1]
    assert collector.compute() == {}


def test_an_empty_collector_has_an_empty_table():
    collector = task_of().collector()
    assert len(collector.table()['index']) == len(collector.mistakes()['index']) == 0


class Source:
    asked: list

    def __init__(self):
        self.asked = []

    def image(self, i):
        self.asked.append(i)
        return np.full((5, 5, 3), 40 * i, np.uint8)


def test_draw_writes_the_pictures_it_names(tmp_path):
    task = task_of(class_names=[f'class {i}' for i in range(CLASSES)])
    states = {'confusion': Confusion(np.eye(CLASSES, dtype=np.int64))}
    source = Source()
    names = task.draw(str(tmp_path), states, collected(), source)
    assert sorted(names) == sorted(os.listdir(tmp_path)) == ['confused_pairs.png', 'confusion.png', 'mistakes.png']
    # The mistakes; by the matrix no two classes were confused.
    assert source.asked == [4, 0, 1]


def test_draw_without_a_source_or_a_matrix_leaves_those_out(tmp_path):
    task = task_of()
    assert task.draw(str(tmp_path), {'confusion': Confusion(np.eye(CLASSES))}, collected(), None) == ['confusion.png']
    counts = {'confusion': ClassCounts(np.ones(CLASSES), np.ones(CLASSES))}
    assert task.draw(str(tmp_path), counts, task.collector(), Source()) == ['mistakes.png']


@pytest.mark.parametrize('kept', [True, False])
def test_many_classes_have_their_accuracies_drawn(tmp_path, kept):
    task = Classification(Network(), num_classes=21, mean=MEAN, std=STD)
    state = Confusion(np.eye(21, dtype=np.int64)) if kept else ClassCounts(np.ones(21), np.ones(21))
    names = task.draw(str(tmp_path), {'confusion': state}, task.collector(), None)
    assert names == ['confusion.png', 'class_accuracy.png'][not kept :]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'class_names': ['a', 'b']}, '2 class names for 6 classes'),
        ({'label_smoothing': 1.0}, 'label_smoothing is 1.0; give a share from 0 up to'),
        ({'augmentation': {'mixupp': 0.2}}, "did you mean 'mixup'"),
    ],
)
def test_mistakes_in_the_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        task_of(**options)


def test_dense_evaluation_averages_the_probabilities_of_every_scale_and_mirror_image():
    from cnn.models import create
    from cnn.ops import augment

    module = create('resnet', num_classes=3, depth=8, stem='cifar', width=2)
    options = {'num_classes': 3, 'mean': (0.5,) * 3, 'std': (0.25,) * 3}
    plain, dense = Classification(module, **options), Classification(module, scales=(16, 8), **options)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    batch = {'image': images, 'label': np.zeros(2, np.int32), 'mask': np.ones(2, np.float32)}
    variables = plain.init(jax.random.key(0), batch)
    each = []
    for views in augment.scaled_views(images, sizes=(16, 8)):
        for v in range(2):
            each.append(plain.predict(variables, {**batch, 'image': views[:, v]})['probabilities'])
    got = dense.predict(variables, batch)['probabilities']
    np.testing.assert_allclose(got, np.mean(each, axis=0), atol=1e-5)

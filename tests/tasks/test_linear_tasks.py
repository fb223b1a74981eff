"""R-CNN and SPPNet as tasks: what is trained, what is solved for, and what they detect, against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn.models import detectors
from cnn.ops import keys
from cnn.tasks import regions
from cnn.tasks.fast_rcnn import FastRCNN
from cnn.tasks.rcnn import RCNN
from cnn.tasks.region_svm import NEVER, MachineOptions, Machines
from cnn.tasks.sppnet import SPPNet, around_objects
from tests.tasks import boxes_by_hand as by_hand
from tests.tasks.test_rcnn_tasks import MOST, SCENES
from tests.tasks.test_region_ridge import by_hand as ridge_by_hand

KEY = jax.random.key(0)
NETWORK = {'trunk': 'darknet', 'trunk_variant': 'tiny', 'width': 0.25, 'hidden': (8,), 'dropout': 0.0, 'norm': 'none'}
OWN = {'rcnn': {'stages': 2, 'size': 12, 'chunk': 7}, 'sppnet': {'endpoint': 'conv2', 'levels': (2, 1)}}
# Features of a network without training are small and much alike; an exact solution is compared.
LINEAR = {'c': 0.05, 'ridge': 2.0, 'tolerance': 1e-6, 'overlap': 0.5}
# Near the objects of SCENES, and far from them; the last is padding.
PROPOSALS = np.float32(
    [[[3, 6, 21, 23], [5, 5, 19, 20], [24, 18, 45, 44], [26, 22, 48, 46], [28, 5, 41, 18], [30, 2, 39, 15],
      [9, 12, 31, 29], [11, 9, 28, 31], [40, 40, 48, 48], [0, 30, 15, 48], [2, 2, 47, 46], [0, 0, 0, 0]]] * 4
)  # fmt: skip
BATCH = SCENES | {'proposals': PROPOSALS}


@functools.cache
def task_of(name, linear=()):
    module = detectors.create(name, num_classes=2, **NETWORK, **OWN[name])
    return {'rcnn': RCNN, 'sppnet': SPPNet}[name](
        module, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3, max_boxes=MOST, max_detections=6, nms_threshold=0.3,
        score_threshold=0.0, roi={'batch': 4, 'background_low': 0.0}, linear=LINEAR | dict(linear),
    )  # fmt: skip


@functools.cache
def variables_of(name):
    """Every layer filled, so that none hides behind zeros."""
    shapes = jax.eval_shape(task_of(name).init, KEY, BATCH)
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [rng.normal(0, 0.2, leaf.shape).astype(np.float32) for leaf in leaves])


@functools.cache
def compiled(name):
    task, rest = task_of(name), {k: v for k, v in variables_of(name).items() if k != 'params'}

    def mean(params, batch):
        output = task.loss({'params': params, **rest}, batch, KEY)
        return output.total / jnp.maximum(output.weight, 1), output

    return jax.jit(jax.value_and_grad(mean, has_aux=True))


def described(name, boxes):
    """What the network says of boxes `[4, R, 4]`, all at once."""
    task, count = task_of(name), boxes.shape[1]

    @jax.jit
    def say(variables):
        scene = task.scene(BATCH)
        arguments = (jnp.reshape(boxes, (-1, 4)), jnp.repeat(jnp.arange(4), count))
        windows = (scene.window,) if name == 'rcnn' else ()
        return task.apply(variables, scene, *arguments, *windows)

    return jax.tree.map(lambda x: np.asarray(x).reshape(4, count, *x.shape[1:]), say(variables_of(name)))


@pytest.mark.parametrize('name', OWN)
def test_the_softmax_trains_the_network_on_regions_of_all_images(name):
    (value, output), gradients = compiled(name)(variables_of(name)['params'], BATCH)
    flat = flatten_dict(gradients, sep='/')
    assert all(np.isfinite(g).all() for g in flat.values())
    # What is solved for is not trained.
    still = {path for path, g in flat.items() if not np.any(g)}
    assert still == {f'head/{layer}/{leaf}' for layer in ('svm', 'bbox_pred') for leaf in ('kernel', 'bias')}
    task = task_of(name)

    @jax.jit
    def draw(batch):
        scene = task.scene(batch, KEY)
        return regions.choose_together(keys.stream(KEY, 'regions'), *task.proposals(scene), scene, task.roi)

    drawn, image, _ = (jax.tree.map(np.asarray, x) for x in draw(BATCH))
    # A quarter of 4 x 4 at most; the objects' own boxes are among them.
    assert drawn.counts.all()
    assert 0 < (drawn.labels > 0).sum() <= 4
    for box, label, i in zip(drawn.boxes, drawn.labels, image, strict=True):
        plain = (SCENES['box_labels'][i] >= 0) & ~SCENES['box_crowd'][i]
        overlaps = [by_hand.iou(box, own) if real else 0 for own, real in zip(SCENES['boxes'][i], plain, strict=True)]
        assert label == (SCENES['box_labels'][i][int(np.argmax(overlaps))] + 1 if max(overlaps) >= 0.5 else 0)
    boxes = np.zeros((4, 16, 4), np.float32)
    boxes[image, np.arange(16)] = drawn.boxes
    logits = described(name, boxes).logits[image, np.arange(16)]
    expected = np.mean([by_hand.cross_entropy(x, y) for x, y in zip(logits, drawn.labels, strict=True)])
    assert float(value) == pytest.approx(expected, rel=1e-4)
    accuracy = output.metrics['region_accuracy'].compute('accuracy')['accuracy']
    assert accuracy == pytest.approx(np.mean(logits.argmax(-1) == drawn.labels))


@pytest.mark.parametrize('name', OWN)
def test_images_count_once_whatever_stands_beside_them(name):
    params, differentiate = variables_of(name)['params'], compiled(name)
    totals = []
    for i in range(4):
        output = differentiate(params, BATCH | {'mask': (np.arange(4) == i).astype(np.float32)})[0][1]
        assert float(output.weight) == 1
        totals.append(float(output.total))
    whole = differentiate(params, BATCH)[0][1]
    assert float(whole.total) == pytest.approx(sum(totals), rel=1e-4)
    nothing = differentiate(params, BATCH | {'mask': np.zeros(4, np.float32)})
    assert nothing[0][0] == 0
    assert not any(np.any(g) for g in jax.tree.leaves(nothing[1]))


@pytest.mark.parametrize(('name', 'classifier', 'regress'), [
    ('rcnn', 'svm', True), ('sppnet', 'softmax', False),
])  # fmt: skip
def test_detections_are_what_the_regions_say_suppressed_by_class(name, classifier, regress):
    task = task_of(name, (('classifier', classifier), ('regress', regress)))
    placement = np.float32([[0.5, 0.5, 4, 2, 80, 80]] * 4)
    # Chunk by chunk, real regions first, in a cut image.
    found = jax.tree.map(np.asarray, jax.jit(task.predict)(variables_of(name), BATCH | {'placement': placement}))
    whole = jax.tree.map(np.asarray, jax.jit(task.predict)(variables_of(name), BATCH))
    said = described(name, PROPOSALS)
    for i in range(4):
        if classifier == 'svm':
            scores = 1 / (1 + np.exp(-said.margins[i, :11].astype(float)))
        else:
            odds = np.exp(said.logits[i, :11].astype(float))
            scores = (odds / odds.sum(-1, keepdims=True))[:, 1:]
        rows = []
        for c in range(2):
            boxes = PROPOSALS[i, :11].astype(float)
            if regress:
                moved = [by_hand.decode(said.deltas[i, r, c], box) for r, box in enumerate(boxes)]
                boxes = np.clip(moved, 0, 48)
            rows += [(scores[r, c], c, *boxes[r]) for r in by_hand.suppressed(boxes, scores[:, c], 0.3)]
        rows = sorted(rows, reverse=True)[:6]
        np.testing.assert_allclose(whole['scores'][i], [row[0] for row in rows], rtol=1e-4)
        np.testing.assert_array_equal(whole['labels'][i], [row[1] for row in rows])
        np.testing.assert_allclose(whole['boxes'][i], [row[2:] for row in rows], atol=1e-3)
    real = found['labels'] >= 0
    if regress:
        # The image covers columns 2 to 42 and rows 4 to 44 of the input.
        assert (found['boxes'][real][:, :2] >= [2, 4]).all()
        assert (found['boxes'][real][:, 2:] <= [42, 44]).all()


@pytest.mark.parametrize('name', OWN)
def test_what_is_solved_for_is_that_of_all_regions(name):
    task, variables, said = task_of(name), variables_of(name), []
    halves = [{key: value[part] for key, value in BATCH.items()} for part in (slice(0, 2), slice(2, 4))]
    # The last image counts for padding.
    halves[1] = halves[1] | {'mask': np.float32([1, 0])}
    solved = task.fit(('svm', 'boxes'), variables, lambda: iter(halves), seed=0, note=said.append)
    again = task.fit(('svm', 'boxes'), variables, lambda: iter(halves), seed=0, note=said.append)
    jax.tree.map(np.testing.assert_array_equal, solved, again)
    for path, leaf in flatten_dict(dict(variables['params']), sep='/').items():
        if not path.startswith(('head/svm', 'head/bbox_pred')):
            np.testing.assert_array_equal(flatten_dict(solved['params'], sep='/')[path], leaf)

    boxes = np.concatenate([SCENES['boxes'], PROPOSALS], 1)
    own = described(name, boxes)
    norms, rows = {'features': [], 'pooled': []}, []
    for i in range(3):
        labels, crowd = SCENES['box_labels'][i], SCENES['box_crowd'][i]
        for r, box in enumerate(boxes[i]):
            if (r < MOST and (labels[r] < 0 or crowd[r])) or r == MOST + 11:
                continue
            near, overlaps = np.zeros(2), np.zeros(MOST)
            for j in np.flatnonzero(labels >= 0):
                overlap = by_hand.iou(box, SCENES['boxes'][i, j])
                overlaps[j] = 0 if crowd[j] else overlap
                # All of these boxes lie in the crowd of the third image.
                near[labels[j]] = max(near[labels[j]], 1.0 if crowd[j] else overlap)
            best = int(overlaps.argmax())
            targets = by_hand.encode(SCENES['boxes'][i, best], box) if overlaps[best] else np.zeros(4)
            rows.append((i, r, near, overlaps[best], labels[best], targets))
            for kind, values in norms.items():
                values.append(np.linalg.norm(getattr(own, kind)[i, r]))
    scale = {kind: 20 / np.mean(values) for kind, values in norms.items()}
    options = MachineOptions(c=0.05, tolerance=1e-6)
    positives = [[(i, r) for i, r, *_ in rows if r < MOST and SCENES['box_labels'][i, r] == c] for c in range(2)]
    scaled = own.features * np.float32(scale['features'])
    machines = Machines([np.stack([scaled[at] for at in ats]) for ats in positives], options, seed=0, room=2**30)
    for i in range(3):
        here = [row for row in rows if row[0] == i]
        machines.see(i, np.stack([scaled[i, r] for _, r, *_ in here]), np.float32([row[2] for row in here]))
    machines.finish()
    svm = solved['params']['head']['svm']
    np.testing.assert_allclose(svm['bias'], machines.bias, atol=2e-2)
    assert (np.asarray(svm['bias']) != NEVER).all()
    margins = own.features @ svm['kernel'] + svm['bias']
    np.testing.assert_allclose(margins, scaled @ machines.kernel + machines.bias, atol=2e-2)

    layer = solved['params']['head']['bbox_pred']
    for c in range(2):
        near = [row for row in rows if row[3] > 0.5 and row[4] == c]
        x = np.stack([own.pooled[i, r] for i, r, *_ in near]).astype(float)
        expected = ridge_by_hand(x * scale['pooled'], np.stack([row[5] for row in near]), 2.0)
        predicted = (x @ layer['kernel'] + layer['bias'])[:, 4 * c : 4 * c + 4]
        np.testing.assert_allclose(predicted, expected, atol=2e-4)
    assert said[0].startswith(f'{sum(map(len, positives))} objects')
    assert said[-1] == f'{sum(row[3] > 0.5 for row in rows)} of {sum(row[3] > 0.5 for row in rows)} regions for the ' \
                       'regressions of boxes'  # fmt: skip


def test_fast_rcnn_takes_machines_in_place_of_its_softmax():
    module = detectors.create('fast_rcnn', num_classes=2, **NETWORK, endpoint='conv2', pool_size=2, svm=True)
    task = FastRCNN(
        module, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3, max_boxes=MOST, max_detections=4, nms_threshold=0.3,
        roi={'batch': 4}, linear=LINEAR | {'classifier': 'svm'},
    )  # fmt: skip
    rng, shapes = np.random.default_rng(0), jax.eval_shape(task.init, KEY, BATCH)
    assert set(shapes) == {'params'}
    variables = jax.tree.map(lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(np.float32), shapes)
    solved = task.fit(('svm',), variables, lambda: [BATCH], seed=0, note=lambda text: None)
    before, after = (flatten_dict(v['params'], sep='/') for v in (variables, solved))
    moved = {path for path in before if np.any(before[path] != after[path])}
    assert moved == {'head/svm/kernel', 'head/svm/bias'}

    def say(variables):
        kept = module.apply(variables, task.scene(BATCH).images, PROPOSALS, mutable=['intermediates'])[1]
        return kept['intermediates']['head']['features'][0]

    svm = after['head/svm/kernel'], after['head/svm/bias']
    margins = (jax.jit(say)(solved) @ svm[0] + svm[1]).reshape(4, 12, 2)[:, :11]
    found = jax.jit(task.predict)(solved, BATCH)
    np.testing.assert_allclose(found['scores'][:, 0], 1 / (1 + np.exp(-margins.max((1, 2)))), rtol=1e-4)
    with pytest.raises(ValueError, match="FastRCNN has nothing to fit by the name 'boxes'; there are svm"):
        task.fit(('boxes',), variables, lambda: [BATCH], seed=0, note=print)


def test_a_network_can_be_one_of_objects_first():
    task = SPPNet(task_of('sppnet').module, pretrain=20, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)
    scene = jax.jit(lambda batch: task.scene(batch, KEY))(BATCH)
    drawn, image, cut = jax.tree.map(np.asarray, jax.jit(around_objects, static_argnums=(2, 3))(KEY, scene, 20, 40))
    assert cut.shape == (4 * MOST, 20, 20, 3)
    # All objects but the crowd, once each.
    plain = (SCENES['box_labels'] >= 0) & ~SCENES['box_crowd']
    assert drawn.counts.sum() == plain.sum() == 6
    found = sorted(zip(image[drawn.counts], drawn.labels[drawn.counts], strict=True))
    assert found == sorted(zip(np.nonzero(plain)[0], SCENES['box_labels'][plain] + 1, strict=True))
    # Around (35.5, 32).
    at = {tuple(box): k for k, box in enumerate(drawn.boxes) if drawn.counts[k]}
    np.testing.assert_array_equal(cut[at[25, 22, 45, 42]], scene.images[0, 22:42, 25:45])
    # Around (0.5, 0.5) three quarters are beyond the image.
    corner = cut[at[-10, -10, 10, 10]]
    assert not corner[:10].any()
    assert not corner[:, :10].any()
    np.testing.assert_array_equal(corner[10:, 10:], scene.images[3, :10, :10])

    @jax.jit
    def differentiate(params):
        return jax.grad(lambda p: task.loss({'params': p}, BATCH, KEY).total)(params)

    gradients = differentiate(variables_of('sppnet')['params'])
    assert all(np.any(g) for g in jax.tree.leaves(gradients['trunk']))


def test_what_cannot_be_solved_for_is_refused():
    task, variables = task_of('sppnet'), variables_of('sppnet')
    with pytest.raises(ValueError, match="nothing to fit by the name 'svms'; there are svm, boxes"):
        task.fit(('svms',), variables, lambda: [BATCH], seed=0, note=print)
    head = {name: layer for name, layer in variables['params']['head'].items() if name != 'svm'}
    with pytest.raises(ValueError, match=r"no layer for 'svm'; set config\.model\.classifier=both"):
        task.fit(('svm',), {'params': {**variables['params'], 'head': head}}, lambda: [BATCH], seed=0, note=print)
    with pytest.raises(ValueError, match="classifier is 'tree'"):
        task_of('sppnet', (('classifier', 'tree'),))

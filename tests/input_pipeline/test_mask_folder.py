"""`masks:` folders: real ones, every layout, classes and ignored values, and every mistake by name."""

import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest

import input_pipeline
from input_pipeline import canvas
from input_pipeline.targets import Masks


def _save(path: pathlib.Path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def _photo(path, size=(6, 8)):
    _save(path, np.zeros((*size, 3)))


def _segmentation(source, size, targets=None):
    batches = input_pipeline.evaluation_batches(
        source, batch_size=len(source), host_transform=canvas.PadOrCrop(size), targets=targets or Masks()
    )
    return next(iter(batches))['segmentation']


def test_camvid(shared_data):
    root = shared_data / 'camvid'
    for name, classes in ((f'masks:{root}', 12), (f'masks:{root}#void=11', 11)):
        source = input_pipeline.load(name, 'all')
        assert (len(source), len(source.info.mask_names), source.info.num_classes) == (33, classes, classes)
        found = _segmentation(source.select(range(8)), (360, 480))
        for i in range(8):
            with PIL.Image.open(root / 'trainannot' / pathlib.Path(source.example_id(i)).name) as image:
                expected = np.asarray(image)
            if classes == 11:
                expected = np.where(expected == 11, 255, expected)
            np.testing.assert_array_equal(found[i], expected)
    train, held = (input_pipeline.load(f'masks:{root}', split) for split in ('train', 'validation'))
    assert (len(train), len(held), train.info.evaluation_split) == (26, 7, 'validation')
    assert train.example_id(0).startswith('train/')


def test_coco128s_masks_with_names_and_gaps(shared_data):
    root = shared_data / 'coco128' / 'semantic_segmentation'
    source = input_pipeline.load(f'masks:{root}', 'all')
    assert (len(source), source.info.mask_void, source.info.mask_names[0]) == (48, (0,), 'person')
    assert 'unlabeled' not in source.info.mask_names
    assert source.info.mask_values[source.info.mask_names.index('rug-merged')] == 200
    found = _segmentation(source, (640, 640))
    for i in range(48):
        stem = pathlib.Path(source.example_id(i)).stem
        with PIL.Image.open(root / 'masks' / 'train2017' / f'{stem}.png') as image:
            values = np.asarray(image)
        mine = found[i, : values.shape[0], : values.shape[1]]
        np.testing.assert_array_equal(mine == 255, values == 0)
        named = np.asarray([*source.info.mask_values, *[0] * 200])[mine]
        np.testing.assert_array_equal(np.where(mine == 255, 0, named), values)
        assert (found[i, values.shape[0] :] == 255).all()


LAYOUTS = {
    'images/{}/{}.jpg': 'masks/{}/{}.png',
    '{}/images/{}.jpg': '{}/labels/{}_mask.png',
    '{}/{}.png': '{}annot/{}.png',
}


@pytest.mark.parametrize('images', LAYOUTS)
def test_layouts(images, tmp_path):
    for split, names in (('train', 'ab'), ('val', 'c'), ('test', 'd')):
        for name in names:
            _photo(tmp_path / images.format(split, name))
            _save(tmp_path / LAYOUTS[images].format(split, name), np.full((6, 8), ord(name) - ord('a')))
    train = input_pipeline.load(f'masks:{tmp_path}', 'train')
    test = input_pipeline.load(f'masks:{tmp_path}', 'test')
    assert (len(train), len(input_pipeline.load(f'masks:{tmp_path}', 'validation')), len(test)) == (2, 1, 1)
    assert train.info.mask_names == test.info.mask_names == ('0', '1', '2', '3')  # the largest value of all splits
    np.testing.assert_array_equal(_segmentation(train, (6, 8))[:, 0, 0], [0, 1])
    np.testing.assert_array_equal(_segmentation(test, (6, 8)), np.full((1, 6, 8), 3))
    moved = tmp_path.parent / f'{tmp_path.name}_moved'
    shutil.copytree(tmp_path, moved)
    assert input_pipeline.load(f'masks:{moved}', 'train').fingerprint() == train.fingerprint()


def test_one_folder_is_divided_and_palettes_are_looked_up(tmp_path):
    for k in range(10):
        _photo(tmp_path / 'images' / f'{k}.jpg')
        mask = PIL.Image.fromarray(np.full((6, 8), k % 3, np.uint8)).convert('P')
        mask.putdata([k % 3] * 48)
        mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [9] * 759)
        (tmp_path / 'masks').mkdir(exist_ok=True)
        mask.save(tmp_path / 'masks' / f'{k}.png')
    (tmp_path / 'names.txt').write_text('void\nroad\nsky\n')
    train, held = (input_pipeline.load(f'masks:{tmp_path}', split) for split in ('train', 'validation'))
    assert (len(train), len(held), train.info.mask_names) == (8, 2, ('road', 'sky'))
    found = _segmentation(input_pipeline.load(f'masks:{tmp_path}', 'all'), (6, 8))[:, 0, 0]
    np.testing.assert_array_equal(found, [255, 0, 1] * 3 + [255])


def test_vocs_segmentation_folders(tmp_path):
    for stem, value in (('a', 0), ('b', 20), ('c', 255)):
        _photo(tmp_path / 'JPEGImages' / f'{stem}.jpg')
        _save(tmp_path / 'SegmentationClass' / f'{stem}.png', np.full((6, 8), value))
    _photo(tmp_path / 'JPEGImages' / 'without.jpg')
    for word, stems in (('train', 'a\nb\n'), ('val', 'c\n'), ('test', 'without\n')):
        path = tmp_path / 'ImageSets' / 'Segmentation' / f'{word}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stems)
    train = input_pipeline.load(f'masks:{tmp_path}', 'train')
    assert sorted(train.info.splits) == ['train', 'validation']
    assert (len(train.info.mask_names), train.info.mask_names[:2]) == (21, ('background', 'aeroplane'))
    np.testing.assert_array_equal(_segmentation(train, (6, 8))[:, 0, 0], [0, 20])
    (tmp_path / 'ImageSets' / 'Segmentation' / 'val.txt').write_text('without\nc\n')
    with pytest.raises(ValueError, match=r"val.txt: 'without' has no image, or no mask in SegmentationClass"):
        input_pipeline.load(f'masks:{tmp_path}', 'train')


@pytest.fixture
def pair(tmp_path):
    for stem in 'ab':
        _photo(tmp_path / 'images' / f'{stem}.jpg')
        _save(tmp_path / 'masks' / f'{stem}.png', np.eye(6, 8))
    return tmp_path


def _fails(root, message, name=''):
    with pytest.raises(ValueError, match=message) as caught:
        input_pipeline.load(f'masks:{root}{name}', 'all')
    assert '\n' not in str(caught.value)


def test_pairs_that_do_not_match(pair):
    _photo(pair / 'images' / 'c.jpg')
    _fails(pair, r'1 of 3 images have no mask: .*images/c.jpg needs .*masks/c.png')
    (pair / 'images' / 'c.jpg').unlink()
    _save(pair / 'masks' / 'd.png', np.eye(6, 8))
    _fails(pair, r'1 masks have no image: .*masks/d.png belongs to none in .*images')
    (pair / 'masks' / 'd.png').unlink()
    _save(pair / 'masks' / 'a.png', np.eye(8, 6))
    _fails(pair, r'images/a.jpg has 8 x 6 pixels, its mask .*masks/a.png has 6 x 8 pixels')


def test_masks_that_are_not_masks(pair):
    _save(pair / 'masks' / 'a.png', np.zeros((6, 8, 3)))
    _fails(pair, r'masks/a.png: a mask in colour \(RGB\); it must have one channel')
    _save(pair / 'masks' / 'a.png', np.full((6, 8), 255))
    source = input_pipeline.load(f'masks:{pair}', 'all')
    assert source.info.mask_names == ('0', '1')
    (pair / 'names.txt').write_text('ground\nthing\n')
    _save(pair / 'masks' / 'a.png', np.full((6, 8), 2))
    with pytest.raises(ValueError, match=r'images/a.jpg: value 2 of a mask is none of the 2 classes and not ignored'):
        _segmentation(input_pipeline.load(f'masks:{pair}', 'all'), (6, 8))
    (pair / 'names.txt').write_text('void\nignore\n')
    _fails(pair, 'masks need between one and 255 classes')
    (pair / 'names.txt').write_text('\n')
    _fails(pair, 'names.txt lists no names')


def test_masks_that_are_torn_are_replaced(pair):
    (pair / 'masks' / 'a.png').write_bytes((pair / 'masks' / 'a.png').read_bytes()[:40])
    source = input_pipeline.load(f'masks:{pair}', 'all')
    batches = input_pipeline.evaluation_batches(
        source, batch_size=2, host_transform=canvas.PadOrCrop((6, 8)), targets=Masks(), max_bad_fraction=0.5
    )
    np.testing.assert_array_equal(next(iter(batches))['mask'], [0, 1])
    assert [bad.id for bad in batches.bad_examples] == ['images/a.jpg']


def test_folders_that_hold_nothing(tmp_path):
    _fails(tmp_path, 'no images with masks in .*; expected images/ and masks/')
    _fails(tmp_path / 'none', 'does not exist')
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set' / 'c.yaml').write_text('classes: {0: a}\ntrain: {images: ../../../etc, masks: /etc}\n')
    _fails(tmp_path / 'set', 'leads out of|no images with masks')

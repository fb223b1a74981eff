"""`coco:` and `voc:` folders: real annotations in every layout, what they hold, and every mistake in them by name."""

import io
import json
import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest
import scipy.io

import input_pipeline
from input_pipeline import canvas, datasets
from input_pipeline.decode import decode
from input_pipeline.targets import Boxes

XML = """<annotation><filename>../../etc/passwd</filename><size><width>{w}</width><height>{h}</height></size>
{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>
<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>
<ymax>2</ymax></bndbox></part></object>"""


def _image(path: pathlib.Path, width=40, height=30, exif=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new('RGB', (width, height), (9, 99, 199)).save(path, **({'exif': exif} if exif else {}))


def _xml(path: pathlib.Path, objects, width=40, height=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [OBJECT.format(name=name, difficult=d, x0=b[0], y0=b[1], x1=b[2], y1=b[3]) for name, d, b in objects]
    path.write_text(XML.format(w=width, h=height, objects=''.join(texts)))


def _write(path: pathlib.Path, content) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def coco(tmp_path):
    """Two images to train, one to validate; category ids with a gap and out of order."""

    def part(images, annotations):
        categories = [{'id': 7, 'name': 'dog'}, {'id': 3, 'name': 'cat'}]
        return {'images': images, 'annotations': annotations, 'categories': categories}

    images = [{'id': 'a', 'file_name': 'one.jpg', 'width': 40, 'height': 30},
              {'id': 'b', 'file_name': 'deep/two.jpg', 'width': 40, 'height': 30}]  # fmt: skip
    annotations = [{'id': 1, 'image_id': 'a', 'category_id': 7, 'bbox': [4, 3, 20, 15], 'iscrowd': 1},
                   {'id': 2, 'image_id': 'a', 'category_id': 3, 'bbox': [0, 0, 40, 30], 'iscrowd': 0}]  # fmt: skip
    train = part(images, annotations)
    _write(tmp_path / 'annotations' / 'instances_train2017.json', train)
    _write(tmp_path / 'annotations' / 'instances_val2017.json', part(images[:1], annotations[:1]))
    for file in ('train2017/one.jpg', 'train2017/deep/two.jpg', 'val2017/one.jpg'):
        _image(tmp_path / file)
    return tmp_path, train


def test_coco_json(coco):
    root, _ = coco
    train, held = (input_pipeline.load(f'coco:{root}', split) for split in ('train', 'validation'))
    assert (len(train), len(held), train.info.class_names) == (2, 1, ('cat', 'dog'))
    assert (train.info.provides, train.info.evaluation_split) == (('boxes',), 'validation')
    assert [train.example_id(i) for i in range(2)] == ['train2017/one.jpg', 'train2017/deep/two.jpg']
    example, empty = train.read(0), train.read(1)
    assert example['image'] == (root / 'train2017' / 'one.jpg').read_bytes()
    np.testing.assert_allclose(example['boxes'], [[0.1, 0.1, 0.6, 0.6], [0, 0, 1, 1]], rtol=1e-6)
    np.testing.assert_array_equal(example['box_labels'], [1, 0])
    np.testing.assert_array_equal(example['box_crowd'], [True, False])
    assert (empty['boxes'].shape, empty['box_labels'].shape) == ((0, 4), (0,))
    with pytest.raises(ValueError, match='has boxes, not one label an image'):
        train.labels  # noqa: B018
    assert input_pipeline.describe(f'coco:{root}', 'train') == train.info
    assert train.fingerprint() != held.fingerprint()


def test_roboflows_layout_and_images_in_one_folder(coco, tmp_path):
    root, train = coco
    other = tmp_path / 'roboflow'
    for word in ('train', 'valid', 'test'):
        shutil.copytree(root / 'train2017', other / word)
        _write(other / word / '_annotations.coco.json', train)
    assert [len(input_pipeline.load(f'coco:{other}', split)) for split in ('train', 'validation', 'test')] == [2, 2, 2]
    assert input_pipeline.load(f'coco:{other}', 'validation').example_id(0) == 'valid/one.jpg'
    one = tmp_path / 'one'
    shutil.copytree(root / 'train2017', one / 'images')
    _write(one / 'annotations' / 'instances_all.json', train)
    assert len(input_pipeline.load(f'coco:{one}', 'all')) == 2
    with pytest.raises(ValueError, match=r"no split 'tset' \(did you mean 'test'"):
        input_pipeline.load(f'coco:{other}', 'tset')


def _changed(train, change):
    changed = json.loads(json.dumps(train))
    change(changed)
    return changed


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('images'), r"instances_train2017.json has no list 'images'"),
        (lambda c: c['categories'].clear(), 'has no categories'),
        (lambda c: c['annotations'][1].update(bbox=[1, 2, 3]), r'annotations\[1\] is not as it should be'),
        (lambda c: c['annotations'][1].update(bbox='wide'), r'annotations\[1\] is not as it should be'),
        (lambda c: c['annotations'][0].pop('bbox'), r"annotations\[0\] has no 'bbox'"),
        (lambda c: c['annotations'][0].update(image_id='z'), r"annotations\[0\].*image 'z' is not in the file"),
        (lambda c: c['annotations'][0].update(category_id=5), r'annotations\[0\].*category 5 is not in the file'),
        (lambda c: c['images'][1].update(id='a'), 'two of its images have the same id'),
        (lambda c: c['images'][0].update(file_name='../../secret.jpg'), r'images\[0\].*leads out of its folder'),
        (lambda c: c['images'][0].update(file_name='/etc/passwd'), r'images\[0\].*leads out of its folder'),
        (lambda c: c['images'][0].update(file_name='gone.jpg'), r'1 of its 2 images are missing, the first is .*gone'),
        (lambda c: c['images'][0].pop('width'), 'image one.jpg has boxes, but no width and height'),
    ],
)
def test_wrong_coco_files(coco, change, message):
    root, train = coco
    _write(root / 'annotations' / 'instances_train2017.json', _changed(train, change))
    with pytest.raises(ValueError, match=message) as caught:
        input_pipeline.load(f'coco:{root}', 'train')
    assert '\n' not in str(caught.value)


def test_other_mistakes_with_coco(coco, tmp_path):
    root, train = coco
    _write(root / 'annotations' / 'instances_val2017.json', _changed(train, lambda c: c['categories'].pop()))
    with pytest.raises(ValueError, match=r"annotations\[1\].*category 3 is not in the file"):
        input_pipeline.load(f'coco:{root}', 'validation')
    renamed = _changed(train, lambda c: c['categories'][0].update(name='wolf'))
    _write(root / 'annotations' / 'instances_val2017.json', renamed)
    with pytest.raises(ValueError, match=r"its categories are not those of the training file: \(7, 'dog'\)"):
        input_pipeline.load(f'coco:{root}', 'validation')
    _write(root / 'annotations' / 'instances_train2017.json', '{"images": [')
    with pytest.raises(ValueError, match=r'instances_train2017\.json is not JSON'):
        input_pipeline.load(f'coco:{root}', 'train')
    for path, message in ((tmp_path / 'none', 'does not exist'), (tmp_path / 'train2017', 'no annotations in')):
        with pytest.raises(ValueError, match=message):
            input_pipeline.load(f'coco:{path}', 'train')


def test_coco128_in_three_forms(shared_data, tmp_path):
    """The text files, their polygons, and the same boxes written as COCO's JSON agree."""
    root = shared_data / 'coco128'
    boxes = input_pipeline.load(f'coco:{root}/object_detection', 'all')
    polygons = input_pipeline.load(f'coco:{root}/instance_segmentation', 'all')
    assert (len(boxes), boxes.info.num_classes, boxes.info.class_names[45]) == (48, 80, 'bowl')
    content = {'images': [], 'annotations': [], 'categories': [{'id': 2 * k + 1, 'name': n} for k, n in
                                                              enumerate(boxes.info.class_names)]}  # fmt: skip
    without = 0
    for i in range(48):
        example, path = boxes.read(i), root / boxes.example_id(i)
        assert example['image'] == path.read_bytes()
        text = root / 'object_detection' / 'labels' / 'train2017' / f'{path.stem}.txt'
        rows = np.loadtxt(text, ndmin=2) if text.exists() else np.zeros((0, 5))
        without += not len(rows)
        np.testing.assert_array_equal(example['box_labels'], rows[:, 0])
        np.testing.assert_allclose((example['boxes'][:, :2] + example['boxes'][:, 2:]) / 2, rows[:, 1:3], atol=1e-6)
        np.testing.assert_allclose(example['boxes'][:, 2:] - example['boxes'][:, :2], rows[:, 3:], atol=1e-6)
        height, width = decode(example['image']).shape[:2]
        content['images'].append({'id': i, 'file_name': path.name, 'width': width, 'height': height})
        for label, (x0, y0, x1, y1) in zip(example['box_labels'], example['boxes'].astype(float), strict=True):
            box = [x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height]
            content['annotations'].append({'image_id': i, 'category_id': 2 * int(label) + 1, 'bbox': box})
    assert without == 1
    shutil.copytree(root / 'images', tmp_path / 'images')
    _write(tmp_path / 'annotations' / 'instances_train2017.json', content)
    again = input_pipeline.load(f'coco:{tmp_path}', 'all')
    for i in range(48):
        np.testing.assert_allclose(again.read(i)['boxes'], boxes.read(i)['boxes'], atol=1e-6)
        np.testing.assert_array_equal(again.read(i)['box_labels'], boxes.read(i)['box_labels'])
    # A polygon's extent is the box that a person drew, nearly always.
    found = total = 0
    for i in range(48):
        mine, theirs = polygons.read(i), boxes.read(i)
        for label, box in zip(mine['box_labels'], mine['boxes'], strict=True):
            name = polygons.info.class_names[label]
            same = [b for k, b in zip(theirs['box_labels'], theirs['boxes'], strict=True)
                    if boxes.info.class_names[k] == name]  # fmt: skip
            found += any(np.abs(box - b).max() < 0.02 for b in same)
            total += 1
    assert total > 150
    assert found / total > 0.9
    train, held = (input_pipeline.load(f'coco:{root}/object_detection', split) for split in ('train', 'validation'))
    assert (len(train), len(held)) == (38, 10)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('0 0.5 0.5 0.1', r'a.txt, line 2: .* is not `class x y width height`'),
        ('dog 0.5 0.5 0.1 0.1', r'line 2: .* is not `class'),
        ('7 0.5 0.5 0.1 0.1', r'line 2: class 7 is not one of the 2 named ones'),
    ],
)
def test_wrong_text_files(tmp_path, line, message):
    _image(tmp_path / 'images' / 'train' / 'a.png')
    _image(tmp_path / 'images' / 'val' / 'b.png')
    _write(tmp_path / 'labels' / 'train' / 'a.txt', f'1 0.5 0.5 0.2 0.4\n{line}\n')
    _write(tmp_path / 'labels' / 'val' / 'b.txt', '')
    _write(tmp_path / 'classes.txt', 'cat\ndog\n')
    with pytest.raises(ValueError, match=message):
        input_pipeline.load(f'coco:{tmp_path}', 'train')
    held = input_pipeline.load(f'coco:{tmp_path}', 'val')
    assert (len(held), held.info.class_names, len(held.read(0)['boxes'])) == (1, ('cat', 'dog'), 0)


def test_other_mistakes_with_text_files(tmp_path):
    root = tmp_path / 'inner' / 'set'
    _write(root / 'labels' / 'train' / 'x.txt', '')
    with pytest.raises(ValueError, match='no class names in'):
        input_pipeline.load(f'coco:{root}', 'train')
    config = _write(root / 'data.yaml', 'names: [cat]\ntrain: images/train\n')
    with pytest.raises(ValueError, match='no images for the labels'):
        input_pipeline.load(f'coco:{root}', 'train')
    _image(root / 'images' / 'train' / 'y.png')
    with pytest.raises(ValueError, match=r'x.txt has no image in'):
        input_pipeline.load(f'coco:{root}', 'all')
    _image(tmp_path / 'far' / 'y.png')
    config.write_text('names: [cat]\ntrain: ../../far\n')
    with pytest.raises(ValueError, match=r'\.\./\.\./far leads out of'):
        input_pipeline.load(f'coco:{root}', 'train')
    config.write_text('names: [cat\n')
    with pytest.raises(ValueError, match=r'data\.yaml is not YAML') as caught:
        input_pipeline.load(f'coco:{root}', 'train')
    assert '\n' not in str(caught.value)
    config.write_text('names: 3\n')
    with pytest.raises(ValueError, match='class names must be a list'):
        input_pipeline.load(f'coco:{root}', 'train')


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / 'VOCdevkit' / 'VOC2007'
    for stem in ('000001', '000002', '000003'):
        _image(root / 'JPEGImages' / f'{stem}.jpg')
    _xml(root / 'Annotations' / '000001.xml', [('person', 1, (1, 1, 40, 30)), ('dog', 0, (5, 7, 20, 15))])
    # The photograph was made smaller since: the stated size counts.
    _xml(root / 'Annotations' / '000002.xml', [('cat', 0, (41, 31, 80, 60))], width=80, height=60)
    _xml(root / 'Annotations' / '000003.xml', [])
    _write(root / 'ImageSets' / 'Main' / 'train.txt', '000001\n000003\n')
    _write(root / 'ImageSets' / 'Main' / 'val.txt', '000002\n')
    _write(root / 'ImageSets' / 'Main' / 'dog_train.txt', '000001 1\n000003 -1\n')
    return root


def test_voc_devkit(devkit):
    train, held = (input_pipeline.load(f'voc:{devkit}', split) for split in ('train', 'validation'))
    assert train.info.class_names == datasets.info('voc').class_names
    assert [train.example_id(i) for i in range(len(train))] == ['JPEGImages/000001.jpg', 'JPEGImages/000003.jpg']
    example = train.read(0)
    # Pixels count from 1 and the last is meant: 1..40 of 40 is all, 5..20 covers 4 to 20.
    np.testing.assert_allclose(example['boxes'], [[0, 0, 1, 1], [4 / 40, 6 / 30, 20 / 40, 15 / 30]], rtol=1e-6)
    np.testing.assert_array_equal(example['box_labels'], [14, 11])
    np.testing.assert_array_equal(example['box_difficult'], [True, False])
    assert len(train.read(1)['boxes']) == 0
    np.testing.assert_allclose(held.read(0)['boxes'], [[0.5, 0.5, 1, 1]])
    assert len(input_pipeline.load(f'voc:{devkit.parent.parent}', 'train')) == 2  # the folder that holds the devkit
    assert sorted(train.info.splits) == ['train', 'validation']


def test_voc_masks_and_own_classes(devkit):
    for stem, value in (('000001', 1), ('000002', 20), ('000003', 255)):
        (devkit / 'SegmentationClass').mkdir(exist_ok=True)
        mask = PIL.Image.fromarray(np.full((30, 40), value, np.uint8)).convert('P')
        mask.save(devkit / 'SegmentationClass' / f'{stem}.png')
    train = input_pipeline.load(f'voc:{devkit}', 'train')
    assert train.info.provides == ('boxes', 'masks')
    assert (len(train.info.mask_names), train.info.mask_names[15]) == (21, 'person')
    assert train.read(0)['segmentation'] == (devkit / 'SegmentationClass' / '000001.png').read_bytes()
    (devkit / 'SegmentationClass' / '000003.png').unlink()
    assert input_pipeline.load(f'voc:{devkit}', 'train').info.provides == ('boxes',)
    _xml(devkit / 'Annotations' / '000003.xml', [('zebra', 0, (1, 1, 4, 4))])
    train = input_pipeline.load(f'voc:{devkit}', 'train')
    assert train.info.class_names == ('cat', 'dog', 'person', 'zebra')
    np.testing.assert_array_equal(train.read(0)['box_labels'], [2, 1])
    _write(devkit / 'names.txt', 'zebra\nperson\ncat\n')
    with pytest.raises(ValueError, match=r"000001.xml: class 'dog' is not one of those in names.txt"):
        input_pipeline.load(f'voc:{devkit}', 'train')


BOMB = """<!DOCTYPE bomb [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><annotation>&b;</annotation>"""


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (BOMB, 'is not an annotation: it declares a document type'),
        (BOMB.encode('utf-16'), 'is not an annotation: it declares a document type'),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>', 'declares a document type'),
        ('<annotation><object>', '000001.xml is not an annotation: no element found'),
        ('<annotation><object><name>a</name></object></annotation>', 'an object without a bndbox'),
        ('<annotation><object><bndbox/></object></annotation>', 'without a'),
        (XML.format(w='wide', h=3, objects=OBJECT.format(name='cat', difficult=0, x0=1, y0=1, x1=2, y1=2)),
         "width 'wide' is not a number"),
        (XML.format(w=3, h=3, objects=OBJECT.format(name='cat', difficult=0, x0='one', y0=1, x1=2, y1=2)),
         "xmin 'one' is not a number"),
    ],
)  # fmt: skip
def test_wrong_xml(devkit, text, message):
    path = devkit / 'Annotations' / '000001.xml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        input_pipeline.load(f'voc:{devkit}', 'train')
    assert str(path) in str(caught.value)


def test_other_mistakes_with_voc(devkit, tmp_path):
    (devkit / 'Annotations' / '000003.xml').unlink()
    with pytest.raises(ValueError, match=r'000003.xml is missing: each image needs one'):
        input_pipeline.load(f'voc:{devkit}', 'train')
    _write(devkit / 'ImageSets' / 'Main' / 'val.txt', '000009\n')
    with pytest.raises(ValueError, match=r"val.txt: 1 of its 1 images are not in JPEGImages, the first is '000009'"):
        input_pipeline.load(f'voc:{devkit}', 'train')
    _write(devkit / 'ImageSets' / 'Main' / 'val.txt', '../../../secret\n')
    with pytest.raises(ValueError, match='leads out of its folder'):
        input_pipeline.load(f'voc:{devkit}', 'train')
    with pytest.raises(ValueError, match='has no JPEGImages and Annotations, nor Images and Annotation'):
        input_pipeline.load(f'voc:{tmp_path}/VOCdevkit/VOC2007/JPEGImages', 'train')


def test_boxes_of_turned_photographs(tmp_path):
    """EXIF says: turn a quarter to the right. Boxes of the stored pixels and of the shown ones come out the same."""
    shown = np.zeros((40, 20, 3), np.uint8)
    shown[4:12, 10:18] = 255  # upper right as shown
    exif, stored = PIL.Image.Exif(), PIL.Image.fromarray(shown).transpose(PIL.Image.Transpose.ROTATE_90)
    exif[0x0112] = 6
    place = np.argwhere(np.asarray(stored)[..., 0] > 0)
    (y0, x0), (y1, x1) = place.min(0), place.max(0)
    for stem in ('stored', 'shown'):
        (tmp_path / 'JPEGImages').mkdir(exist_ok=True)
        stored.save(tmp_path / 'JPEGImages' / f'{stem}.jpg', exif=exif, quality=98)
    _xml(tmp_path / 'Annotations' / 'stored.xml', [('cat', 0, (x0 + 1, y0 + 1, x1 + 1, y1 + 1))], width=40, height=20)
    _xml(tmp_path / 'Annotations' / 'shown.xml', [('cat', 0, (11, 5, 18, 12))], width=20, height=40)
    source = input_pipeline.load(f'voc:{tmp_path}', 'all')
    (batch,) = input_pipeline.evaluation_batches(
        source, batch_size=2, host_transform=canvas.Letterbox((40, 20)), targets=Boxes(1)
    )
    for row in range(2):
        np.testing.assert_allclose(batch['boxes'][row, 0], [10, 4, 18, 12], atol=1e-4)
        seen = np.argwhere(batch['image'][row, ..., 0] > 127)
        np.testing.assert_array_equal([*seen.min(0), *seen.max(0) + 1], [4, 10, 12, 18])


def test_dogs_as_they_lie(shared_data):
    """The 460 photographs: their annotations read anew with ElementTree, and sizes that differ from the stated ones."""
    import xml.etree.ElementTree as ET

    root = shared_data / 'stanford_dogs'
    dogs = input_pipeline.load(f'voc:{root}', 'all')
    assert (len(dogs), dogs.info.num_classes) == (460, 14)
    assert dogs.info.provides == ('labels', 'boxes')
    assert 'ImageNet' in dogs.info.contamination
    for i in range(0, 460, 23):
        example, path = dogs.read(i), pathlib.Path(dogs.example_id(i))
        assert path.parts[-2] == dogs.info.class_names[example['label']]
        tree = ET.parse(root / 'Annotation' / path.parts[-2] / path.stem)
        width, height = (float(tree.find('size').find(side).text) for side in ('width', 'height'))
        boxes = [[float(box.find(side).text) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
                 for box in tree.iter('bndbox')]  # fmt: skip
        np.testing.assert_allclose(example['boxes'], boxes / np.array([width, height] * 2), rtol=1e-6)
        np.testing.assert_array_equal(example['box_labels'], [example['label']] * len(boxes))
    train, held = (input_pipeline.load(f'voc:{root}', split) for split in ('train', 'validation'))
    assert (len(train), len(held)) == (368, 92)
    assert len(np.unique(held.labels)) == 14
    assert not {train.example_id(i) for i in range(368)} & {held.example_id(i) for i in range(92)}


def _lists(root, **names):
    for word, files in names.items():
        cells = np.empty((len(files), 1), object)
        cells[:, 0] = files
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {'file_list': cells})
        (root / f'{word}_list.mat').write_bytes(buffer.getvalue())


def test_dogs_with_the_official_lists(tmp_path):
    for breed, stems in (('n02085620-Chihuahua', ['a', 'b', 'c']), ('n02085936-Maltese_dog', ['d', 'e'])):
        for stem in stems:
            _image(tmp_path / 'Images' / breed / f'{stem}.jpg')
            path = tmp_path / 'Annotation' / breed / stem
            _xml(path, [(breed[10:], 0, (0, 0, 20, 15)), (breed[10:], 0, (35, 20, 45, 31))])
    train = ['n02085620-Chihuahua/a.jpg', 'n02085936-Maltese_dog/d.jpg']
    _lists(tmp_path, train=train, test=['n02085620-Chihuahua/c.jpg'])
    source, test = (input_pipeline.load(f'voc:{tmp_path}', split) for split in ('train', 'test'))
    assert [source.example_id(i) for i in range(2)] == [f'Images/{name}' for name in train]
    assert (source.labels.tolist(), len(test), test.info.evaluation_split) == ([0, 1], 1, 'test')
    assert source.info.class_names == ('n02085620-Chihuahua', 'n02085936-Maltese_dog')
    # A box that leaves the image, as two of the archive do, is clipped and counted.
    pipeline = input_pipeline.Resident(
        source, batch_size=2, seed=0, host_transform=canvas.Letterbox((30, 40)), targets=Boxes(4)
    )
    np.testing.assert_allclose(pipeline.arrays['boxes'][0, :2], [[0, 0, 20, 15], [35, 20, 40, 30]], atol=1e-4)
    assert [bad.faults for bad in pipeline.faulty_examples] == [{'clipped': 1}] * 2
    _lists(tmp_path, test=['n02085620-Chihuahua/z.jpg'])
    with pytest.raises(ValueError, match='1 of its 1 images are missing, the first is n02085620-Chihuahua/z'):
        input_pipeline.load(f'voc:{tmp_path}', 'train')
    (tmp_path / 'test_list.mat').write_bytes(b'\0' * 200)
    with pytest.raises(ValueError, match=r'test_list.mat is not a list'):
        input_pipeline.load(f'voc:{tmp_path}', 'train')
    (tmp_path / 'Annotation' / 'n02085936-Maltese_dog' / 'e').unlink()
    with pytest.raises(ValueError, match=r'e.jpg has no annotation; expected'):
        input_pipeline.load(f'voc:{tmp_path}', 'train')


def test_a_path_with_dots_is_read_as_well(shared_data, monkeypatch):
    monkeypatch.chdir(shared_data / 'stanford_dogs')
    source = input_pipeline.load('coco:../coco128/object_detection', 'all')
    plain = input_pipeline.load(f'coco:{shared_data / "coco128" / "object_detection"}', 'all')
    assert len(source) == 48
    assert source.fingerprint() == plain.fingerprint()

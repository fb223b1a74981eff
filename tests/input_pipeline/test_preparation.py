"""tfds's real builders, offline and without TensorFlow, from small archives of the true layout; reading the result."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import input_pipeline
from input_pipeline import preparation, prepared
from input_pipeline.decode import decode
from input_pipeline.targets import mask_codes


def _prepared(name, archives, tmp_path):
    folder, content = archives(name)
    data_dir = str(tmp_path / 'data')
    input_pipeline.prepare(name, data_dir, str(folder))
    assert 'tensorflow' not in sys.modules
    return lambda split: input_pipeline.load(name, split, data_dir=data_dir), content


def test_stanford_dogs(archives, tmp_path):
    load, content = _prepared('stanford_dogs', archives, tmp_path)
    train, test = load('train'), load('test')
    assert (len(train), len(test)) == (7, 3)
    assert train.info.class_names == tuple(breed.lower() for breed in content['breeds'])
    files = {photo.read_bytes(): photo for photo in content['photos']}
    for source in (train, test):
        for i in range(len(source)):
            example = source.read(i)
            photo = files.pop(example['image'])
            assert source.info.class_names[example['label']] == photo.parent.name.lower()
            tree = ET.fromstring(content['annotations'][f'Annotation/{photo.parent.name}/{photo.stem}'])
            width, height = (float(tree.find('size').find(side).text) for side in ('width', 'height'))
            boxes = [[float(box.find(side).text) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
                     for box in tree.iter('bndbox')]  # fmt: skip
            np.testing.assert_allclose(example['boxes'], boxes / np.array([width, height] * 2), rtol=1e-6)
            np.testing.assert_array_equal(example['box_labels'], [example['label']] * len(boxes))
    assert not files


def test_imagenette_and_its_splits(archives, tmp_path):
    load, content = _prepared('imagenette/160px-v2', archives, tmp_path)
    train, validation = load('train'), load('validation')
    np.testing.assert_array_equal(np.bincount(train.labels), [2] * 10)
    np.testing.assert_array_equal(np.bincount(validation.labels), [1] * 10)
    assert train.info.class_names[0] == 'tench'
    originals = {data: name.split('/')[2] for name, data in content['files'].items()}
    ids = sorted(set(originals.values()))
    for i in range(len(train)):
        example = train.read(i)
        assert ids[example['label']] == originals[example['image']]
    halves = [load('train[:50%]'), load('train[50%:]')]
    assert [half.example_id(0).rpartition('#')[2] for half in halves] == ['0', '10']
    with pytest.raises(ValueError, match='30 is outside the 20 examples'):
        load('train[:30]')


def test_reads_what_tfds_reads(archives, tmp_path):
    import tensorflow_datasets as tfds

    load, _ = _prepared('imagenette/160px-v2', archives, tmp_path)
    builder = tfds.builder_from_directory(prepared.find(load('train').info, str(tmp_path / 'data')))
    theirs = builder.as_data_source('train', decoders={'image': tfds.decode.SkipDecoding()})
    ours = load('train')
    assert len(ours) == len(theirs)
    for i in range(len(theirs)):
        assert ours.read(i) == {'image': theirs[i]['image'], 'label': theirs[i]['label']}


@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_cifar_is_lossless(name, archives, tmp_path):
    load, content = _prepared(name, archives, tmp_path)
    found = {}
    for source in (load('train'), load('test')):
        for i in range(len(source)):
            example = source.read(i)
            found[decode(example['image']).tobytes()] = example['label']
    assert found == {x.tobytes(): y for x, y in zip(content['x'], content['y'], strict=True)}


def test_imagenet_from_archives_in_archives(archives, tmp_path):
    load, content = _prepared('imagenet2012', archives, tmp_path)
    train, validation = load('train'), load('validation')
    assert (len(train), len(validation)) == (3, 1)
    names = {photo.read_bytes(): photo.name.split('_')[0] for photo in content['photos']}
    for i in range(3):
        example = train.read(i)
        assert train.info.class_names[example['label']] == names[example['image']]
    # The first validation image of ILSVRC 2012 is a sea snake.
    assert validation.info.class_names[validation.read(0)['label']] == 'n01751748'


def test_imagenet_subset_keeps_the_listed_files(archives, tmp_path):
    load, content = _prepared('imagenet2012_subset/1pct', archives, tmp_path)
    train = load('train')
    found = {train.read(i)['image']: train.info.class_names[train.read(i)['label']] for i in range(len(train))}
    assert found == {photo.read_bytes(): photo.name.split('_')[0] for photo in content['photos'][1:]}
    assert len(load('validation')) == 1


def test_voc(archives, tmp_path):
    load, content = _prepared('voc/2007', archives, tmp_path)
    for split, photo in zip(('train', 'validation', 'test'), content['photos'], strict=True):
        example = load(split).read(0)
        assert example['image'] == photo.read_bytes()
        height, width = decode(example['image']).shape[:2]
        # VOC counts pixels from 1: xmin 10 is the tenth, which begins at 9; from 1 to the width is all.
        expected = [[9 / width, 19 / height, width // 2 / width, height // 2 / height], [0, 0, 1, 1]]
        np.testing.assert_allclose(example['boxes'], expected, atol=1e-6)
        np.testing.assert_array_equal(example['box_labels'], [11, 14])  # dog, person of the twenty
        np.testing.assert_array_equal(example['box_difficult'], [False, True])


def test_two_years_of_voc_are_one_training_set(archives, tmp_path):
    for year in ('voc/2007', 'voc/2012'):
        load, content = _prepared(year, archives, tmp_path)
    data_dir = str(tmp_path / 'data')
    both = input_pipeline.load('voc/2007+2012', 'train+validation', data_dir=data_dir)
    photos = [both.read(i)['image'] for i in range(len(both))]
    expected = [photo.read_bytes() for photo in content['photos'][:2]]
    assert photos == 2 * expected
    assert both.info.name == 'voc/2007+2012'
    names = [both.example_id(i) for i in range(4)]
    assert len(set(names)) == 4
    assert [name.split('/')[0] for name in names] == ['2007', '2007', '2012', '2012']
    # 2012's test images have no public labels: 2007's are what is tested on.
    test = input_pipeline.load('voc/2007+2012', 'test', data_dir=data_dir)
    assert [test.read(i)['image'] for i in range(len(test))] == [content['photos'][2].read_bytes()]
    assert [len(load(split)) for split in ('train', 'validation', 'train+validation')] == [1, 1, 2]
    with pytest.raises(ValueError, match="voc/2012 has no split 'test'; it has: train, validation"):
        load('test')
    with pytest.raises(ValueError, match='names the same examples twice'):
        load('train+train')
    with pytest.raises(ValueError, match=r'voc/2007\+2007 names the same data twice'):
        input_pipeline.load('voc/2007+2007', 'train')
    with pytest.raises(ValueError, match=r"unknown data set 'voc/2007\+2013'"):
        input_pipeline.load('voc/2007+2013', 'train')


def test_oxford_iiit_pet(archives, tmp_path):
    load, content = _prepared('oxford_iiit_pet', archives, tmp_path)
    train, test = load('train').read(0), load('test').read(0)
    assert (train['label'], test['label']) == (4, 25)
    assert test['image'] == content['photos'][1].read_bytes()
    # The head's box where there is one, of the breed's class.
    np.testing.assert_allclose(train['boxes'], [[0.1, 0.1, 0.6, 0.9]], rtol=1e-6)
    assert (train['box_labels'].tolist(), test['boxes'].shape) == ([4], (0, 4))
    trimap = decode(test['segmentation'])[..., 0]
    np.testing.assert_array_equal(trimap[:2, :4], [[1, 2, 1, 2], [3, 1, 3, 1]])
    # The odd file was encoded anew: nearly the same pixels.
    original = decode(content['photos'][0].read_bytes()).astype(int)
    assert np.abs(decode(train['image']) - original).mean() < 2
    assert load('train').info.mask_names == ('background', 'pet')
    codes, known = mask_codes(load('train').info)
    np.testing.assert_array_equal(codes[[1, 2, 3, 255]], [1, 0, 255, 255])
    assert known.sum() == 4


def test_coco(archives, tmp_path):
    load, content = _prepared('coco/2017', archives, tmp_path)
    train = load('train')
    examples = {train.read(i)['image']: train.read(i) for i in range(2)}
    boxed, empty = (examples[photo.read_bytes()] for photo in content['photos'][:2])
    height, width = decode(boxed['image']).shape[:2]
    np.testing.assert_allclose(boxed['boxes'], [[10 / width, 20 / height, 40 / width, 60 / height]], rtol=1e-6)
    assert (len(boxed['box_labels']), empty['boxes'].shape) == (1, (0, 4))


def test_imagenet_resized(archives, tmp_path):
    load, content = _prepared('imagenet_resized/8x8', archives, tmp_path)
    train = load('train')
    found = {decode(train.read(i)['image']).tobytes(): train.read(i)['label'] for i in range(2)}
    assert found == {content['images'][0].tobytes(): 6, content['images'][1].tobytes(): 7}


def test_says_what_it_will_download():
    assert preparation.archives('stanford_dogs') == {
        'images.tar': 793579520,
        'lists.tar': 481280,
        'annotation.tar': 21852160,
    }
    assert list(preparation.archives('imagenette/160px-v2')) == ['imagenette2-160.tgz']
    assert list(preparation.archives('voc/2012')) == ['VOCtrainval_11-May-2012.tar', 'VOC2012test.tar']


def test_no_network_is_said_at_once(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    cls = tfds.builder_cls('imagenette')
    monkeypatch.setattr(sys.modules[cls.__module__], '_URL_PREFIX', 'https://nowhere.invalid/')  # RFC 2606
    known = {'https://nowhere.invalid/imagenette2-160.tgz': next(iter(cls.url_infos.values()))}
    monkeypatch.setattr(cls, 'url_infos', known)
    for name in [name for name in os.environ if name.lower().endswith('_proxy')]:
        monkeypatch.delenv(name)
    message = r'nowhere\.invalid cannot be reached \(.*\); offline, put imagenette.*\.tgz into a manual_dir'
    with pytest.raises(ValueError, match=message):
        input_pipeline.prepare('imagenette/160px-v2', str(tmp_path / 'data'))


def test_a_wrong_checksum_is_refused(archives, tmp_path):
    folder, _ = archives('imagenette/160px-v2')
    with open(folder / 'imagenette2-160.tgz', 'r+b') as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ValueError, match=r'wrong checksum.*Nothing was prepared') as caught:
        input_pipeline.prepare('imagenette/160px-v2', str(tmp_path / 'data'), str(folder))
    assert '\n' not in str(caught.value)
    with pytest.raises(ValueError, match='is not prepared in'):
        input_pipeline.load('imagenette/160px-v2', 'train', data_dir=str(tmp_path / 'data'))


def test_members_never_leave_the_folder(archives, tmp_path):
    """A hostile archive: climbing, absolute and linked members."""
    folder, _ = archives('imagenette/160px-v2')
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums

    path = folder / 'imagenette2-160.tgz'
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]
    victim = tmp_path / 'victim'
    victim.mkdir()
    with tarfile.open(path, 'w:gz') as tar:
        link = tarfile.TarInfo('imagenette2-160/link')
        link.type, link.linkname = tarfile.SYMTYPE, str(victim)
        tar.addfile(link)
        for name in (f'{"../" * 20}{str(victim)[1:]}/climbed', f'{victim}/absolute', 'imagenette2-160/link/linked'):
            member = tarfile.TarInfo(name)
            member.size = members[0][0].size
            tar.addfile(member, io.BytesIO(members[0][1]))
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    cls = tfds.builder_cls('imagenette')
    cls.url_infos = {url: checksums.compute_url_info(path) for url in cls.url_infos}
    input_pipeline.prepare('imagenette/160px-v2', str(tmp_path / 'data'), str(folder))
    assert list(victim.iterdir()) == []
    assert len(input_pipeline.load('imagenette/160px-v2', 'train', data_dir=str(tmp_path / 'data'))) == 20


PREPARE = """
import os, signal, sys
sys.path.insert(0, {root!r})
import input_pipeline, tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.core.utils.lazy_imports_utils import tensorflow
folder, data, kill = sys.argv[1:]
cls = tfds.builder_cls('imagenette')
path = os.path.join(folder, 'imagenette2-160.tgz')
cls.url_infos = {{url: checksums.compute_url_info(path) for url, found in cls.url_infos.items()
                 if found.filename == 'imagenette2-160.tgz'}}
generate = cls._generate_examples
def dying(self, datapath):
    for count, example in enumerate(generate(self, datapath)):
        if count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield example
if kill == 'kill':
    cls._generate_examples = dying
print('prepared', input_pipeline.prepare('imagenette/160px-v2', data, folder))
"""


def _start(folder, data_dir, kill, request):
    script = PREPARE.format(root=str(request.config.rootpath))
    arguments = [sys.executable, '-c', script, str(folder), data_dir, kill]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_while_preparing_then_two_at_once(archives, tmp_path, request):
    folder, _ = archives('imagenette/160px-v2')
    data_dir = str(tmp_path / 'data')
    base = tmp_path / 'data' / 'imagenette' / '160px-v2'
    killed = _start(folder, data_dir, 'kill', request)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name.partition('.')[0] for path in base.iterdir()] == ['incomplete']
    with pytest.raises(ValueError, match='is not prepared in'):
        input_pipeline.load('imagenette/160px-v2', 'train', data_dir=data_dir)
    both = [_start(folder, data_dir, '', request) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert 'prepared' in out
    assert [path.name for path in base.iterdir()] == ['1.0.0']
    assert len(input_pipeline.load('imagenette/160px-v2', 'train', data_dir=data_dir)) == 20


def test_nothing_to_prepare_and_nothing_to_find(tmp_path):
    for name in ('mnist_5k', f'folder:{tmp_path}'):
        with pytest.raises(ValueError, match='needs no preparing'):
            input_pipeline.prepare(name, str(tmp_path))
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        input_pipeline.prepare('cifar1', str(tmp_path))
    with pytest.raises(ValueError, match=r'ILSVRC2012_img_train\.tar and ILSVRC2012_img_val\.tar'):
        input_pipeline.prepare('imagenet2012', str(tmp_path / 'data'), str(tmp_path))
    with pytest.raises(ValueError, match=r'not prepared in .*run --mode=prepare after putting ILSVRC2012_img_train'):
        input_pipeline.load('imagenet2012', 'train', data_dir=str(tmp_path / 'data'))

"""Shards in both formats, whole and damaged: real cut, missing and flipped files, found when a split is opened."""

import json
import pathlib
import shutil
import struct

import numpy as np
import pytest

import input_pipeline
from input_pipeline import records
from input_pipeline.source import UnreadableError

NAME = 'imagenette/160px-v2'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def data_dir(archives, tmp_path) -> pathlib.Path:
    folder, _ = archives(NAME)
    input_pipeline.prepare(NAME, str(tmp_path / 'data'), str(folder))
    return tmp_path / 'data'


def _shard(data_dir, split='train') -> pathlib.Path:
    (path,) = (data_dir / NAME / '1.0.0').glob(f'imagenette-{split}.*-00000-of-00001')
    return path


def _load(data_dir, split='train'):
    return input_pipeline.load(NAME, split, data_dir=str(data_dir))


def _crc32c(data: bytes) -> int:
    """CRC-32C bit by bit, from its definition."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _write_tfrecord(path: pathlib.Path, data: list[bytes]) -> None:
    def masked(piece: bytes) -> bytes:
        crc = _crc32c(piece)
        return struct.pack('<I', ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    with open(path, 'wb') as file:
        for record in data:
            length = struct.pack('<Q', len(record))
            file.write(length + masked(length) + record + b'\0\0\0\0')


def _as_tfrecord(data_dir: pathlib.Path) -> None:
    """Turns the prepared set into what tfds writes by default, with TensorFlow, elsewhere."""
    folder = data_dir / NAME / '1.0.0'
    for split, count in (('train', 20), ('validation', 10)):
        shard = _shard(data_dir, split)
        reader = records.ArrayRecordShard(shard, count)
        _write_tfrecord(folder / shard.name.replace('array_record', 'tfrecord'), [reader.read(i) for i in range(count)])
        shard.unlink()
    described = json.loads((folder / 'dataset_info.json').read_text())
    described['fileFormat'] = 'tfrecord'
    for split in described['splits']:
        split['filepathTemplate'] = split['filepathTemplate'].replace('array_record', 'tfrecord')
    (folder / 'dataset_info.json').write_text(json.dumps(described))


def test_crc32c_of_the_standard():
    assert _crc32c(b'123456789') == 0xE3069283  # the check value of RFC 3720's polynomial


def test_tfrecord_reads_as_array_record(data_dir):
    source = _load(data_dir)
    expected = [source.read(i) for i in range(20)]
    labels = source.labels
    _as_tfrecord(data_dir)
    source = _load(data_dir)
    assert [source.read(i) for i in (19, 0, 7)] == [expected[i] for i in (19, 0, 7)]
    np.testing.assert_array_equal(source.labels, labels)
    assert source.example_id(7) == 'imagenette-train.tfrecord-00000-of-00001#7'


def test_tfrecord_offsets_are_kept_until_the_file_changes(tmp_path, cache):
    path = tmp_path / 'a.tfrecord'
    _write_tfrecord(path, [b'one', b'', b'three'])
    expected = [[12, 3], [12 + 3 + 16, 0], [12 + 3 + 32, 5]]
    np.testing.assert_array_equal(records.cached_offsets(path), expected)
    (kept,) = cache.rglob('*.npy')
    np.testing.assert_array_equal(np.load(kept), expected)
    kept.write_bytes(b'torn')
    np.testing.assert_array_equal(records.cached_offsets(path), expected)
    _write_tfrecord(path, [b'longer now'])
    assert len(records.cached_offsets(path)) == 1


def test_tfrecord_damage_is_found_on_opening(data_dir):
    _as_tfrecord(data_dir)
    shard = _shard(data_dir)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r'00000-of-00001 is cut short: it ends within record 19'):
        _load(data_dir)
    shard.write_bytes(whole + b'abc')
    with pytest.raises(ValueError, match='ends within the header of record 20'):
        _load(data_dir)
    shard.write_bytes(bytes([whole[0] ^ 4]) + whole[1:])
    with pytest.raises(ValueError, match=r'the length of record 0 \(byte 0\) fails its checksum'):
        _load(data_dir)
    shard.unlink()
    with pytest.raises(ValueError, match='No such file'):
        _load(data_dir)
    _write_tfrecord(shard, [b'x'])
    with pytest.raises(ValueError, match='1 records, expected 20 records'):
        _load(data_dir)


@pytest.mark.parametrize('damage', ['cut', 'empty', 'missing'])
def test_array_record_damage_is_found_on_opening(data_dir, damage):
    shard = _shard(data_dir)
    if damage == 'missing':
        shard.unlink()
    else:
        whole = shard.read_bytes()
        shard.write_bytes(whole[: len(whole) - 100] if damage == 'cut' else b'')
    with pytest.raises(ValueError, match=r'imagenette-train\.array_record-00000-of-00001: .*expected 20 records'):
        _load(data_dir)
    assert len(_load(data_dir, 'validation')) == 10


def test_a_flipped_bit_costs_one_example_and_is_named(data_dir):
    shard = _shard(data_dir)
    source = _load(data_dir)
    needle = source.read(11)['image'][5000:5040]
    data = bytearray(shard.read_bytes())
    at = data.find(needle)
    data[at] ^= 1
    shard.write_bytes(data)
    source = _load(data_dir)
    with pytest.raises(UnreadableError, match=r'corrupt record: .* hash mismatch'):
        source.read(11)
    readable = [i for i in range(20) if i != 11]
    assert all(source.read(i) for i in readable)
    pipeline = input_pipeline.Streaming(
        source,
        batch_size=20,
        seed=0,
        host_transform=input_pipeline.transforms.train(16),
        max_bad_fraction=0.1,
    )
    batch = next(pipeline.batches())
    assert sorted(batch['index'].tolist()) == sorted([*readable, 12])
    assert pipeline.bad_examples[0].id == 'imagenette-train.array_record-00000-of-00001#11'


def test_a_label_outside_the_classes_names_the_example(data_dir):
    folder = data_dir / NAME / '1.0.0'
    names = (folder / 'label.labels.txt').read_text().split()
    (folder / 'label.labels.txt').write_text('\n'.join(names[:9]) + '\n')
    features = json.loads((folder / 'features.json').read_text())
    label = features['featuresDict']['features']['label']
    label['classLabel']['numClasses'] = '9'
    (folder / 'features.json').write_text(json.dumps(features))
    source = _load(data_dir)
    with pytest.raises(ValueError, match=r'label 9 of imagenette-train\.array_record-.*#\d+ is not one of the classes'):
        source.labels  # noqa: B018


def test_damaged_description(data_dir):
    folder = data_dir / NAME / '1.0.0'
    (folder / 'dataset_info.json').write_text('{"name": ')
    with pytest.raises(ValueError, match=r'the description of the data in .* is damaged') as caught:
        _load(data_dir)
    assert '\n' not in str(caught.value)


def test_the_newest_version_is_read(data_dir):
    folder = data_dir / NAME
    shutil.copytree(folder / '1.0.0', folder / '0.9.10')
    (folder / '0.9.10' / 'dataset_info.json').write_text('not this one')
    (folder / 'incomplete.ABCDEF_1.0.1').mkdir()
    assert len(_load(data_dir)) == 20

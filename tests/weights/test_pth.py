"""The restricted reader: right on real files, typed errors on damaged ones, and nothing runs on hostile ones."""

import builtins
import io
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

from cnn.weights.errors import MalformedWeightsError, UnsafeWeightsError
from cnn.weights.pth import read_pth
from cnn.weights.pth_writer import write_pth

GOLDEN = pathlib.Path(__file__).parent / 'golden'
REFUSED = (MalformedWeightsError, UnsafeWeightsError)


@pytest.mark.parametrize('name', ['torch_zip.pth', 'torch_legacy.pth'])
def test_reads_what_torch_saved(name):
    # Written by torch.save in make_goldens.py from these very numbers.
    read = read_pth(GOLDEN / name)
    state = read['state_dict']
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert read['epoch'] == 3
    assert read['arch'] == 'net'
    np.testing.assert_array_equal(state['base'], base)
    np.testing.assert_array_equal(state['transposed'], base.transpose(2, 0, 1))
    np.testing.assert_array_equal(state['slice'], base[1, ::2, 1:])
    np.testing.assert_array_equal(state['half'], np.array([0.5, -2], np.float16))
    assert state['half'].dtype == np.float16
    np.testing.assert_array_equal(state['bfloat16'].astype(np.float32), [1.5, -3])
    assert state['bfloat16'].dtype == ml_dtypes.bfloat16
    assert state['steps'].dtype == np.int64
    assert state['steps'] == 7
    np.testing.assert_array_equal(state['mask'], [True, False])
    assert state['empty'].shape == (0, 3)
    np.testing.assert_array_equal(state['parameter'], [1, 2])


@pytest.mark.parametrize(
    ('name', 'parameters', 'accuracy'),
    [('resnet20-12fca82f.th', 269_722, 91.78), ('resnet56-4bfd9763.th', 853_018, 93.62)],
)
def test_reads_published_files(shared_data, name, parameters, accuracy):
    # Counts of REFERENCES.md; the accuracy is what the authors stored.
    read = read_pth(shared_data / 'cifar_resnets' / name)
    trainable = {k: v for k, v in read['state_dict'].items() if 'running' not in k}
    assert sum(v.size for v in trainable.values()) == parameters
    assert read['best_prec1'] == pytest.approx(accuracy, abs=1e-4)
    assert all(np.isfinite(v).all() for v in trainable.values())


@pytest.mark.parametrize('name', ['torch_zip.pth', 'torch_legacy.pth'])
def test_damaged_bytes_raise_typed_errors_or_read(tmp_path, name):
    blob = (GOLDEN / name).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / 'damaged.pth'
    refused = 0
    for _ in range(400):
        damaged = bytearray(blob)
        for position in rng.integers(len(blob), size=rng.integers(1, 4)):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_pth(path)
        except REFUSED:
            refused += 1
    assert refused > 100


def test_damaged_structure_behind_right_checksums(tmp_path):
    # Bytes changed, removed and inserted in the pickle, packed again: the archive itself is sound.
    with zipfile.ZipFile(GOLDEN / 'torch_zip.pth') as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    structure = next(name for name in members if name.endswith('data.pkl'))
    path = tmp_path / 'damaged.pth'
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(members[structure])
        for position in rng.integers(len(damaged), size=rng.integers(1, 4)):
            length = rng.integers(3)
            damaged[position : position + length] = rng.integers(256, size=rng.integers(3), dtype=np.uint8).tobytes()
        with zipfile.ZipFile(path, 'w') as archive:
            for name, blob in members.items():
                archive.writestr(name, damaged if name == structure else blob)
        try:
            read_pth(path)
        except REFUSED:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize('name', ['torch_zip.pth', 'torch_legacy.pth'])
def test_truncated_files_are_refused(tmp_path, name):
    blob = (GOLDEN / name).read_bytes()
    path = tmp_path / 'short.pth'
    for end in [*range(0, len(blob), 23), len(blob) - 1]:
        path.write_bytes(blob[:end])
        with pytest.raises(REFUSED):
            read_pth(path)


def test_flipped_data_of_a_zip_is_noticed(tmp_path):
    # The archive's checksum covers the storages.
    blob = bytearray((GOLDEN / 'torch_zip.pth').read_bytes())
    position = blob.index(np.arange(24, dtype=np.float32).tobytes())
    blob[position + 9] ^= 1
    path = tmp_path / 'flipped.pth'
    path.write_bytes(blob)
    with pytest.raises(MalformedWeightsError, match='CRC'):
        read_pth(path)


class Call:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def hostile(marker):
    """Objects whose unpickling creates the file `marker`, by different roads."""
    command = f'open({str(marker)!r}, "w").close()'
    return {
        'os.system': Call(os.system, f'touch {marker}'),
        'eval': Call(eval, command),
        'exec': Call(exec, command),
        'open': Call(open, str(marker), 'w'),
        'getattr': Call(getattr, builtins.dict, 'mro'),
        'import': Call(__import__, 'antigravity'),
        'nested': {'state_dict': [1, (2, Call(os.system, f'touch {marker}'))]},
    }


KINDS = ['os.system', 'eval', 'exec', 'open', 'getattr', 'import', 'nested']


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('kind', KINDS)
def test_hostile_pickles_do_not_run(tmp_path, kind, protocol):
    marker = tmp_path / 'ran'
    blob = pickle.dumps(hostile(marker)[kind], protocol)
    zipped, legacy = tmp_path / 'zip.pth', tmp_path / 'legacy.pth'
    with zipfile.ZipFile(zipped, 'w') as archive:
        archive.writestr('archive/data.pkl', blob)
    header = [0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}]
    legacy.write_bytes(b''.join(pickle.dumps(part, 2) for part in header) + blob + pickle.dumps([], 2))
    for path in (zipped, legacy):
        with pytest.raises(UnsafeWeightsError, match='names'):
            read_pth(path)
    assert not marker.exists()
    assert 'antigravity' not in sys.modules


class Storage:
    """Stands in for a storage when the standard pickler writes the structure of a file."""

    def __init__(self, kind, key, count):
        self.pid = ('storage', kind, key, 'cpu', count)


class Tensor:
    def __init__(self, rebuild, *args):
        self.rebuild, self.args = rebuild, args

    def __reduce__(self):
        return self.rebuild, self.args


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, Storage) else None


@pytest.fixture
def craft(tmp_path, monkeypatch):
    """Writes a zip file with one float storage of `count` declared and `held` present elements and the given tensor."""
    torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
    torch.FloatStorage = type('FloatStorage', (), {'__module__': 'torch'})
    exec('def _rebuild_tensor_v2(*args): raise AssertionError', utils.__dict__)
    monkeypatch.setitem(sys.modules, 'torch', torch)
    monkeypatch.setitem(sys.modules, 'torch._utils', utils)

    def write(offset, size, stride, *, count=6, held=6, key='0', compression=zipfile.ZIP_STORED, extra=()):
        storage = Storage(torch.FloatStorage, key, count)
        stream = io.BytesIO()
        Pickler(stream, 2).dump({'w': Tensor(utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})})
        path = tmp_path / 'crafted.pth'
        with zipfile.ZipFile(path, 'w', compression) as archive:
            archive.writestr('archive/data.pkl', stream.getvalue())
            archive.writestr('archive/data/0', np.arange(held, dtype=np.float32).tobytes())
            for name, blob in extra:
                archive.writestr(name, blob)
        return path

    return write


def test_crafted_file_reads(craft):
    np.testing.assert_array_equal(read_pth(craft(1, (2, 2), (2, 1)))['w'], [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ('offset', 'size', 'stride', 'options'),
    [
        (0, (7,), (1,), {}),
        (1, (6,), (1,), {}),
        (6, (1,), (1,), {}),
        (0, (2, 3), (4, 1), {}),
        (-1, (2,), (1,), {}),
        (0, (-2,), (1,), {}),
        (2, (2,), (-1,), {}),
        (0, (2, 3), (1,), {}),
        (0, (10**9, 10**9), (0, 0), {}),
        (0, (7,), (0,), {}),
        (0, (2**62,), (1,), {}),
        (0, (0, 2**39, 2**39), (1, 1, 1), {}),
        (0, (2.0,), (1,), {}),
        (0, (True,), (1,), {}),
        (0, [2], [1], {}),
        (0, (6,), (1,), {'held': 5}),
        (0, (6,), (1,), {'held': 7}),
        (0, (6,), (1,), {'count': 2**39}),
        (0, (6,), (1,), {'key': '1'}),
        (0, (6,), (1,), {'key': '../../etc/passwd'}),
        (0, (6,), (1,), {'compression': zipfile.ZIP_DEFLATED}),
        (0, (6,), (1,), {'extra': [('archive/byteorder', b'big')]}),
        (0, (6,), (1,), {'extra': [('other/data.pkl', b'N.')]}),
        (0, (6,), (1,), {'extra': [('archive/constants.pkl', b'N.')]}),
    ],
)
def test_crafted_windows_are_checked(craft, offset, size, stride, options):
    with pytest.raises(MalformedWeightsError):
        read_pth(craft(offset, size, stride, **options))


def nested_tuples(depth):
    """`x = (x, x)`, `depth` times: a few bytes that take 2^depth steps to walk, print or hash."""
    return b'\x80\x02N' + b'2\x86' * depth


@pytest.mark.parametrize(
    'blob',
    [
        nested_tuples(60) + b'.',
        b'\x80\x02}' + nested_tuples(60)[2:] + b'Ns.',
        b'\x80\x02' + b']' * 5000 + b'a' * 4999 + b'.',
        b'\x80\x02]q\x00h\x00a.',
        b'\x80\x02Nr\xff\xff\xff\x7f.',
        b'\x80\x02B\xff\xff\xff\x7f.',
        b'\x80\x02\x8b\xff\xff\xff\x7f.',
        b'\x80\x02(.',
        b'\x80\x02NN.',
        b'\x80\x02N',
        b'',
        nested_tuples(60) + b'Q.',
        b'\x80\x04' + nested_tuples(60)[2:] + nested_tuples(60)[2:] + b'\x93.',
        b'\x80\x02NNb.',
        b'\x80\x02N)R.',
    ],
)
def test_pickle_bombs_end_at_once(tmp_path, blob):
    path = tmp_path / 'bomb.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', blob)
    try:
        tree = read_pth(path)
    except REFUSED:
        return
    # What reads must be a plain object that shares its parts.
    assert isinstance(tree, tuple | list | type(None))


@pytest.mark.parametrize('blob', [b'', b'PK\x03\x04', b'<html>404</html>', pickle.dumps({'a': 1}, 2), b'\x80\x02'])
def test_other_files_are_named(tmp_path, blob):
    path = tmp_path / 'other.pth'
    path.write_bytes(blob)
    with pytest.raises(MalformedWeightsError, match=r'other\.pth'):
        read_pth(path)


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pth(tmp_path / 'none.pth')


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        'a.weight': rng.standard_normal((2, 3, 1, 4)).astype(np.float32),
        'b': np.float64(3),
        'c': np.zeros((0, 5), np.int64),
        'd': np.arange(6, dtype=np.int16).reshape(2, 3).T,
        'e': np.ones(2, ml_dtypes.bfloat16),
        'f': np.arange(3, dtype='>f4'),
        'ü': np.array([True]),
    }
    path = tmp_path / 'out.pth'
    write_pth(path, arrays)
    read = read_pth(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == np.asarray(array).dtype.newbyteorder('=')
    write_pth(tmp_path / 'again.pth', arrays)
    assert (tmp_path / 'again.pth').read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['again.pth', 'out.pth']


def test_writer_refuses_unknown_dtypes_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match='words'):
        write_pth(tmp_path / 'out.pth', {'words': np.array(['a'])})
    assert not list(tmp_path.iterdir())


def test_written_pickle_is_what_the_standard_pickler_understands(tmp_path):
    # The structure holds the calls torch makes, read here by the standard unpickler with recording stand-ins.
    path = tmp_path / 'out.pth'
    write_pth(path, {'w': np.zeros((2, 3), np.float32)})

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            return dict if name == 'OrderedDict' else (lambda *args: (name, *args))

        def persistent_load(self, pid):
            return pid[0], pid[2:]

    with zipfile.ZipFile(path) as archive:
        read = Unpickler(io.BytesIO(archive.read('archive/data.pkl'))).load()
        assert archive.read('archive/version') == b'3\n'
        assert archive.read('archive/data/0') == struct.pack('<6f', *[0] * 6)
    assert read == {'w': ('_rebuild_tensor_v2', ('storage', ('0', 'cpu', 6)), 0, (2, 3), (3, 1), False, {})}

"""Pickles of arrays, read without running them."""

import os
import pickle

import numpy as np
import pytest

from cnn.weights.errors import MalformedWeightsError, UnsafeWeightsError
from cnn.weights.numpy_pickle import read_numpy_pickle

TREE = {
    'kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'fortran': np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    'big_endian': np.arange(3, dtype='>i4'),
    'mask': np.array([True, False]),
    'pair': [np.zeros((0, 2)), (np.float32(1.5), 'text', None)],
}


@pytest.mark.parametrize('protocol', range(6))
def test_reads_every_protocol(tmp_path, protocol):
    path = tmp_path / 'weights.pkl'
    path.write_bytes(pickle.dumps(TREE, protocol))
    read = read_numpy_pickle(path)
    for name in ('kernel', 'fortran', 'big_endian', 'mask'):
        np.testing.assert_array_equal(read[name], TREE[name])
        assert read[name].dtype == TREE[name].dtype.newbyteorder('=')
    assert read['pair'][0].shape == (0, 2)
    assert read['pair'][1] == (1.5, 'text', None)


def test_reads_the_published_squeezenet(shared_data):
    # 1,235,496 parameters: the count of SqueezeNet 1.1 (torchvision's metadata).
    weights = read_numpy_pickle(shared_data / 'squeezenet11' / 'squeezenet_weights.pkl')
    arrays = [array for pair in weights.values() for array in pair]
    assert sum(array.size for array in arrays) == 1_235_496
    assert weights['conv1'][0].shape == (3, 3, 3, 64)
    assert all(np.isfinite(array).all() for array in arrays)


class Call:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize('protocol', [0, 2, 5])
@pytest.mark.parametrize('function', [os.system, eval, getattr, __import__])
def test_hostile_pickles_do_not_run(tmp_path, function, protocol):
    path, marker = tmp_path / 'weights.pkl', tmp_path / 'ran'
    path.write_bytes(pickle.dumps({**TREE, 'x': Call(function, f'touch {marker}')}, protocol))
    with pytest.raises(UnsafeWeightsError, match=function.__name__):
        read_numpy_pickle(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    'value', [np.array([object()]), np.array(['text']), np.zeros(2, 'f4,i4'), np.array(['2020'], 'M8[D]')]
)
def test_only_numbers(tmp_path, value):
    path = tmp_path / 'weights.pkl'
    path.write_bytes(pickle.dumps(value, 2))
    with pytest.raises(UnsafeWeightsError):
        read_numpy_pickle(path)


def test_damaged_bytes_raise_typed_errors_or_read(tmp_path):
    path = tmp_path / 'weights.pkl'
    rng = np.random.default_rng(0)
    refused = 0
    for protocol in (0, 2, 4, 5):
        blob = pickle.dumps(TREE, protocol)
        for _ in range(150):
            damaged = bytearray(blob)
            for position in rng.integers(len(blob), size=2):
                damaged[position] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                read_numpy_pickle(path)
            except (MalformedWeightsError, UnsafeWeightsError):
                refused += 1
    assert refused > 200


def test_truncated_and_trailing_bytes_are_refused(tmp_path):
    path = tmp_path / 'weights.pkl'
    blob = pickle.dumps(TREE, 3)
    for damaged in (*(blob[:end] for end in range(0, len(blob), 17)), blob + b'x'):
        path.write_bytes(damaged)
        with pytest.raises(MalformedWeightsError, match=r'weights\.pkl'):
            read_numpy_pickle(path)

"""Names, checksums and differences of leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.training import leaves


def test_names_follow_keys_and_positions():
    tree = {'params': {'conv1': {'kernel': 1}}, 'opt_state': ({'mu': 2}, (), None, [3])}
    assert leaves.flatten(tree) == {'params/conv1/kernel': 1, 'opt_state/0/mu': 2, 'opt_state/3/0': 3}
    assert leaves.unflatten(tree, {name: -leaf for name, leaf in leaves.flatten(tree).items()}) == {
        'params': {'conv1': {'kernel': -1}},
        'opt_state': ({'mu': -2}, (), None, [-3]),
    }
    assert leaves.part('params/conv1/kernel') == 'params'


def test_two_leaves_of_one_name_are_refused():
    with pytest.raises(ValueError, match='both named a/b'):
        leaves.flatten({'a': {'b': 1}, 'a/b': 2})


def test_checksum_is_crc_32_of_the_bytes_in_row_order():
    # The check value of CRC-32 (the one of zip and PNG) for the nine digits.
    digits = np.frombuffer(b'123456789', np.uint8)
    assert leaves.describe(digits) == {'crc32': 0xCBF43926, 'dtype': 'uint8', 'shape': [9]}
    square = digits.reshape(3, 3)
    assert leaves.describe(np.asfortranarray(square))['crc32'] == 0xCBF43926
    assert leaves.describe(square.T)['crc32'] != 0xCBF43926
    assert leaves.describe(np.zeros((0, 3), np.float32)) == {'crc32': 0, 'dtype': 'float32', 'shape': [0, 3]}
    assert leaves.describe(np.float32(1)) == leaves.describe(np.asarray(1, np.float32))


def test_host_copies_are_their_own():
    source = np.arange(4.0)
    copy = leaves.to_host(source)
    source[:] = 0
    assert copy.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert leaves.to_host(jnp.ones(2, jnp.bfloat16)).dtype == leaves.dtype('bfloat16')


def test_shapes_dtypes_and_names_that_differ_are_listed():
    shapes = {'a': (2,), 'b': (3,), 'c': ()}
    saved = {name: leaves.describe(np.zeros(shape, np.float32)) for name, shape in shapes.items()}
    shape = jax.ShapeDtypeStruct
    assert leaves.mismatches({name: shape(sizes, 'float32') for name, sizes in shapes.items()}, saved) == []
    template = {'a': shape((2,), 'float32'), 'b': shape((3, 1), 'float32'), 'd': shape((), 'float32')}
    assert leaves.mismatches(template, saved) == [
        '1 missing: d',
        '1 unexpected: c',
        '1 mismatched: b (saved float32[3], expected float32[3, 1])',
    ]

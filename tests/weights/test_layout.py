"""Axis orders, against PyTorch's layers and by hand."""

import pathlib

import numpy as np
import pytest

from cnn.models import layers
from cnn.weights import layout
from tests.weights import rule

# Made by make_goldens.py with torch.nn.Conv2d and ConvTranspose2d.
GOLDEN = np.load(pathlib.Path(__file__).parent / 'golden' / 'layers.npz')


@pytest.mark.parametrize(
    ('name', 'layer', 'theirs', 'ours'),
    [
        ('grouped', layers.Conv(6, 3, 2, 1, groups=2), (6, 2, 3, 3), (3, 3, 2, 6)),
        ('depthwise', layers.Depthwise(8, 3, padding=1), (8, 1, 3, 3), (3, 3, 1, 8)),
        ('dilated', layers.Conv(5, (3, 2), padding=0, dilation=2), (5, 4, 3, 2), (3, 2, 4, 5)),
        ('transposed', layers.ConvTranspose(5, 3, 2, 1, output_padding=1), (4, 5, 3, 3), (3, 3, 5, 4)),
    ],
)
def test_layers_equal_pytorch(name, layer, theirs, ours):
    weight = rule.fill(f'{name}.weight', theirs)
    kernel = layout.from_theirs(weight, ours, (1, 1))
    bias = rule.fill(f'{name}.bias', GOLDEN[name].shape[-1:])
    y = layer.apply({'params': {'kernel': kernel, 'bias': bias}}, rule.uniform(name, (2, 7, 6, 4)))
    np.testing.assert_allclose(y, GOLDEN[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layout.to_theirs(kernel, (1, 1)), weight)


def test_dense_over_a_map_by_hand():
    # A 2x1 map of two channels: ours flattens (r0 k0, r0 k1, r1 k0, r1 k1), PyTorch (k0 r0, k0 r1, k1 r0, k1 r1).
    theirs = np.array([[10, 11, 20, 21]], np.float32)
    ours = layout.from_theirs(theirs, (4, 1), (2, 1))
    np.testing.assert_array_equal(ours[:, 0], [10, 20, 11, 21])
    np.testing.assert_array_equal(layout.to_theirs(ours, (2, 1)), theirs)
    np.testing.assert_array_equal(layout.to_theirs(ours, (2, 1), 'conv'), [[[[10], [11]], [[20], [21]]]])


def test_sizes_that_do_not_fit():
    assert layout.from_theirs(np.zeros((5, 4, 3, 3)), (3, 3, 4, 6), (1, 1)) is None
    assert layout.from_theirs(np.zeros((5, 36)), (36, 6), (3, 3)) is None
    assert layout.from_theirs(np.zeros(5), (36, 5), (3, 3)) is None
    with pytest.raises(ValueError, match='square'):
        layout.grid(4 * 6 * 16, 16)
    assert layout.grid(36 * 16, 16) == (6, 6)

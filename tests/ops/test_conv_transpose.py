"""Transposed convolution by the law that defines it: the adjoint of the convolution with the same arguments."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops.conv_transpose import conv_transpose
from tests.ops import loops

CASES = [
    {},
    {'strides': (2, 2), 'padding': ((1, 1), (1, 1))},
    {'strides': (2, 3), 'padding': ((0, 1), (2, 0))},
    {'strides': (1, 2), 'dilation': (2, 1), 'padding': ((2, 2), (1, 1))},
]


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('size', [(7, 8), (8, 9)])
def test_is_the_adjoint_of_the_convolution(case, size):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, *size, 3)), rng.standard_normal((3, 2, 3, 4))
    forward = loops.conv(x, kernel, **case)
    y = rng.standard_normal(forward.shape)
    # What the last stride left unread has to be given back as output padding.
    bare = conv_transpose(jnp.asarray(y, jnp.float32), jnp.asarray(kernel, jnp.float32), **case)
    rest = tuple(n - m for n, m in zip(size, bare.shape[1:3], strict=True))
    back = conv_transpose(jnp.asarray(y, jnp.float32), jnp.asarray(kernel, jnp.float32), output_padding=rest, **case)
    assert back.shape == x.shape
    assert np.vdot(x, np.asarray(back, np.float64)) == pytest.approx(np.vdot(forward, y), rel=1e-5)


def test_output_size_is_the_formulas():
    # (4 - 1) * 2 - 1 - 1 + 3 - 1 + 1 = 7, and one more with output padding.
    x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 5, 2))
    arguments = {'strides': (2, 2), 'padding': ((1, 1), (1, 1))}
    assert conv_transpose(x, kernel, **arguments).shape == (1, 7, 7, 5)
    assert conv_transpose(x, kernel, output_padding=(1, 1), **arguments).shape == (1, 8, 8, 5)


def test_one_pixel_paints_the_kernel():
    kernel = np.arange(9.0).reshape(3, 3, 1, 1)
    y = conv_transpose(jnp.ones((1, 1, 1, 1)), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_array_equal(y[0, :, :, 0], kernel[:, :, 0, 0])


def test_does_not_undo_the_convolution():
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal((1, 6, 6, 1)), rng.standard_normal((3, 3, 1, 1))
    back = conv_transpose(jnp.asarray(loops.conv(x, kernel), jnp.float32), jnp.asarray(kernel, jnp.float32))
    assert back.shape == x.shape
    assert np.abs(np.asarray(back) - x).max() > 1

"""Closed forms against the shapes that JAX infers and the tables of the papers."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from cnn.analysis import arithmetic
from cnn.analysis.arithmetic import Layer
from cnn.models import layers

quick = settings(max_examples=60, deadline=None)

small = st.integers(1, 5)
paddings = st.tuples(st.integers(0, 4), st.integers(0, 4))


def inferred(function, *shapes):
    return jax.eval_shape(function, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)).shape


@quick
@given(st.integers(1, 40), small, small, paddings, small)
def test_output_size_is_the_shape_of_a_convolution(size, kernel, stride, padding, dilation):
    def conv(x, k):
        return lax.conv_general_dilated(x, k, (stride,), [padding], rhs_dilation=(dilation,))

    try:
        cells = arithmetic.output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    except ValueError:
        cells = 0
    assert (1, 1, cells) == inferred(conv, (1, 1, size), (1, 1, kernel))


@quick
@given(st.integers(1, 40), small, small, st.integers(0, 2))
def test_pooling_sizes(size, window, stride, padding):
    assume(size + 2 * padding >= window and 2 * padding <= window)
    x = (1, size, size, 1)
    floor = inferred(lambda x: nn.max_pool(x, (window,) * 2, (stride,) * 2, ((padding,) * 2,) * 2), x)
    assert floor[1] == arithmetic.output_size(size, window, stride=stride, padding=padding)
    ceil = inferred(lambda x: layers.max_pool(x, window, stride, padding, ceil_mode=True), x)
    assert ceil[1] == arithmetic.output_size(size, window, stride=stride, padding=padding, ceil_mode=True)


def test_ceil_mode_by_hand():
    # GoogLeNet's 3x3/2 pools: 112 -> 56 -> 28 -> 14 -> 7 without padding, where rounding down gives 55.
    assert [arithmetic.output_size(n, 3, stride=2, ceil_mode=True) for n in (112, 56, 28, 14)] == [56, 28, 14, 7]
    assert arithmetic.output_size(112, 3, stride=2) == 55
    # PyTorch drops a last window that would start in the padding: 3 cells, window 2, stride 2, padding 1.
    assert arithmetic.output_size(3, 2, stride=2, padding=1, ceil_mode=True) == 2


@quick
@given(st.integers(1, 40), small, small, small)
def test_same_padding_is_that_of_xla(size, kernel, stride, dilation):
    window = (arithmetic.effective_kernel(kernel, dilation),)
    assert [arithmetic.same_padding(size, kernel, stride=stride, dilation=dilation)] == lax.padtype_to_pads(
        (size,), window, (stride,), 'SAME'
    )


@quick
@given(st.integers(1, 12), small, small, st.integers(0, 3), small)
def test_transposed_size_is_undone_by_the_convolution(size, kernel, stride, padding, dilation):
    reach = arithmetic.effective_kernel(kernel, dilation)
    assume((size - 1) * stride + reach - 2 * padding >= 1)
    geometry = {'stride': stride, 'padding': padding, 'dilation': dilation}
    cells = arithmetic.transposed_output_size(size, kernel, **geometry)
    module = layers.ConvTranspose(1, kernel, stride, padding, dilation)
    shape = jax.eval_shape(lambda x: module.init_with_output(jax.random.key(0), x)[0],
                           jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)).shape  # fmt: skip
    assert shape == (1, cells, cells, 1)
    for extra in range(stride):
        padded = arithmetic.transposed_output_size(size, kernel, output_padding=extra, **geometry)
        assert arithmetic.output_size(padded, kernel, **geometry) == size


# Weights of 3x3, 128 -> 64, from REFERENCES: counted by hand from the definitions of the kinds.
WEIGHTS = {
    ('standard', 64): 73_728,
    ('dilated', 64): 73_728,
    ('transposed', 64): 73_728,
    ('grouped', 64): 18_432,
    ('depthwise', 128): 1_152,
    ('pointwise', 64): 8_192,
    ('depthwise_separable', 64): 9_344,
    ('spatially_separable', 64): 36_864,
    ('deformable', 64): 94_464,
    ('modulated_deformable', 64): 104_832,
}


def test_every_kind_of_the_layers_is_known():
    assert set(arithmetic.KINDS) == set(layers.CONVOLUTIONS) == {kind for kind, _ in WEIGHTS}


@pytest.mark.parametrize(('kind', 'outputs'), WEIGHTS)
def test_weights_of_each_kind(kind, outputs):
    cost = arithmetic.cost(kind, 3, 128, outputs, groups=4)
    assert cost.weights == cost.parameters == WEIGHTS[kind, outputs]
    # One MAC for each weight and position.
    assert cost.macs(14, 14) == 196 * WEIGHTS[kind, outputs]


@quick
@given(st.sampled_from(arithmetic.KINDS), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_parameters_are_those_of_the_layers(kind, kernel, inputs, outputs, bias):
    inputs, outputs = 4 * inputs, 4 * outputs
    outputs = inputs * 2 if kind == 'depthwise' else outputs
    module = layers.make_conv(kind, features=outputs, kernel_size=kernel, use_bias=bias)()
    x = jax.ShapeDtypeStruct((1, 9, 9, inputs), jnp.float32)
    params = jax.eval_shape(module.init, jax.eval_shape(lambda: jax.random.key(0)), x)['params']
    cost = arithmetic.cost(kind, kernel, inputs, outputs, groups=4, bias=bias)
    kernels = [leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(params) if path[-1].key == 'kernel']
    assert sum(kernels) == cost.weights
    # The first step of the separable layers has no bias, the convolution that makes offsets always has one.
    total = sum(leaf.size for leaf in jax.tree.leaves(params)) - cost.weights
    spared = {'depthwise_separable': inputs, 'spatially_separable': outputs}.get(kind, 0)
    offsets = {'deformable': 2, 'modulated_deformable': 3}.get(kind, 0) * kernel**2
    assert total == (cost.biases - spared if bias else offsets)


def test_receptive_field_of_a_chain():
    # VGG-16 to pool5: 212 at stride 32; one dense layer of 7x7 more: 404.
    chain = [layer for n in (2, 2, 3, 3, 3) for layer in [Layer(3, padding=1)] * n + [Layer(2, 2)]]
    seen = arithmetic.receptive_field(chain)
    assert (seen.size, seen.jump, seen.start) == (212, 32, -90)
    assert arithmetic.receptive_field([*chain, Layer(7)]).size == 404
    # The closed form of the docstring, on a chain without padding.
    chain = [Layer(3, 2, 0, 2), Layer(5, 3), Layer(2, 1, 0, 4)]
    assert arithmetic.receptive_field(chain).size == 1 + 2 * 2 + 4 * 2 + 1 * 4 * 6
    # A convolution and the transposed one of the same sizes: back at stride one, wider by both.
    pair = arithmetic.receptive_field([Layer(4, 2, 1), Layer(4, 2, 1, transposed=True)])
    assert (pair.jump, pair.size) == (1, 6)


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: arithmetic.output_size(4, 7), 'does not fit'),
        (lambda: arithmetic.output_size(4, 3, stride=0), 'stride=0'),
        (lambda: arithmetic.transposed_output_size(1, 1, padding=1), 'crops everything'),
        (lambda: arithmetic.transposed_output_size(3, 3, stride=2, output_padding=2), 'output_padding=2'),
        (lambda: arithmetic.cost('octave', 3, 4, 4), 'octave'),
        (lambda: arithmetic.cost('grouped', 3, 6, 4, groups=4), 'do not divide'),
        (lambda: arithmetic.cost('depthwise', 3, 6, 4), 'multiple'),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()

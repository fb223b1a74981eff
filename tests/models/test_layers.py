"""The layers: every kind of convolution, norms, pooling, against NumPy loops, hand-made figures and laws."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import layers
from tests.models.networks import count, shapes
from tests.ops import loops

# 3x3, 128 -> 64 channels, weights only.
WEIGHTS = {
    'standard': 73_728,
    'dilated': 73_728,
    'transposed': 73_728,
    'spatially_separable': 36_864,
    'grouped': 18_432,
    'pointwise': 8_192,
    'depthwise': 1_152,
    'depthwise_separable': 9_344,
    'deformable': 94_464,
    'modulated_deformable': 104_832,
}
OPTIONS = {
    'plain': {},
    'strided': {'strides': (2, 1), 'padding': (1, 2)},
    'dilated': {'dilation': (2, 1), 'padding': ((2, 1), (0, 1))},
}


def image(channels=4, seed=0, size=(7, 6)):
    return np.random.default_rng(seed).standard_normal((2, *size, channels)).astype(np.float32)


def build(kind, features, x, **options):
    """The module and its variables, with every parameter random so that none hides behind a zero."""
    module = layers.make_conv(kind, **options)(features)
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.asarray(x))['params']
    rng = np.random.default_rng(1)
    return module, jax.tree.map(lambda leaf: (0.3 * rng.standard_normal(leaf.shape)).astype(np.float32), params)


def numpy(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def spatial(options, size=(3, 3)):
    dilation = layers.pair(options.get('dilation', 1))
    padding = layers.padding_pairs(options.get('padding', 'same'), size, dilation)
    return {'strides': layers.pair(options.get('strides', 1)), 'padding': padding, 'dilation': dilation}


def separable(p, x, where):
    rows, columns = where['padding']
    (sh, sw), (dh, dw) = where['strides'], where['dilation']
    y = loops.conv(x, p['vertical']['kernel'], (sh, 1), (rows, (0, 0)), (dh, 1))
    return loops.conv(y, p['horizontal']['kernel'], (1, sw), ((0, 0), columns), (1, dw)) + p['horizontal']['bias']


def deformed(p, x, where):
    placed = loops.conv(x, p['offset']['kernel'], **where) + p['offset']['bias']
    mask = 1 / (1 + np.exp(-placed[..., 18:])) if placed.shape[-1] > 18 else None
    return loops.deformable_conv(x, placed[..., :18], p['kernel'], mask, **where) + p['bias']


def depthwise_separable(p, x, where):
    y = loops.conv(x, p['depthwise']['kernel'], **where, groups=x.shape[-1])
    return y @ p['pointwise']['kernel'][0, 0] + p['pointwise']['bias']


ORACLES = {
    'standard': lambda p, x, w: loops.conv(x, p['kernel'], **w) + p['bias'],
    'spatially_separable': separable,
    'grouped': lambda p, x, w: loops.conv(x, p['kernel'], **w, groups=4) + p['bias'],
    'depthwise': lambda p, x, w: loops.conv(x, p['kernel'], **w, groups=x.shape[-1]) + p['bias'],
    'depthwise_separable': depthwise_separable,
    'deformable': deformed,
    'modulated_deformable': deformed,
}


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('kind', ORACLES)
def test_each_kind_matches_its_definition_in_loops(kind, options):
    x = image()
    module, params = build(kind, 8, x, **OPTIONS[options])
    y = module.apply({'params': params}, x)
    expected = ORACLES[kind](numpy(params), x.astype(np.float64), spatial(OPTIONS[options]))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_dilated_reads_every_other_pixel_and_keeps_the_size():
    x = image()
    module, params = build('dilated', 3, x)
    p = numpy(params)
    expected = loops.conv(x, p['kernel'], padding=((2, 2), (2, 2)), dilation=(2, 2)) + p['bias']
    np.testing.assert_allclose(module.apply({'params': params}, x), expected, rtol=1e-4, atol=1e-4)


def test_pointwise_is_a_matrix_product_at_every_pixel():
    x = image()
    module, params = build('pointwise', 5, x, kernel_size=3, padding=1, strides=2)
    p = numpy(params)
    expected = x[:, ::2, ::2] @ p['kernel'][0, 0] + p['bias']
    np.testing.assert_allclose(module.apply({'params': params}, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('options', OPTIONS)
def test_transposed_is_the_adjoint_of_the_standard_kind_with_the_same_kernel(options):
    x = image(3)
    forward, params = build('standard', 4, x, use_bias=False, **OPTIONS[options])
    y = np.random.default_rng(2).standard_normal(jax.eval_shape(forward.apply, {'params': params}, x).shape)
    backward = layers.make_conv('transposed', use_bias=False, **OPTIONS[options])(3)
    back = backward.apply({'params': params}, jnp.asarray(y, jnp.float32))
    rest = [n - m for n, m in zip(x.shape[1:3], back.shape[1:3], strict=True)]
    back = np.pad(back, ((0, 0), (0, rest[0]), (0, rest[1]), (0, 0)))
    there = np.vdot(loops.conv(x, numpy(params)['kernel'], **spatial(OPTIONS[options])), y)
    # Output padding adds what no window read, which is zero unless padding was to be cut there.
    back_exact = backward.clone(output_padding=tuple(rest)).apply({'params': params}, jnp.asarray(y, jnp.float32))
    assert np.vdot(x.astype(np.float64), np.asarray(back_exact, np.float64)) == pytest.approx(there, rel=1e-4)
    assert back_exact.shape == back.shape == x.shape


@pytest.mark.parametrize('kind', layers.CONVOLUTIONS)
def test_each_kind_has_the_weights_that_its_arithmetic_says(kind):
    module = layers.make_conv(kind)(0 if kind == 'depthwise' else 64)
    made = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 128), jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made) if leaf.ndim == 4) == WEIGHTS[kind]


@pytest.mark.parametrize('kind', layers.CONVOLUTIONS)
def test_each_kind_keeps_the_size_and_agrees_with_differences_along_a_random_direction(kind):
    x = image(4, seed=3, size=(5, 5))
    module, params = build(kind, 8, x)
    if 'offset' in params:
        # Samples are only piecewise smooth: keep every tap near 0.4 pixels from its place, between two pixels.
        kernel, bias = params['offset']['kernel'], params['offset']['bias']
        params['offset'] = {'kernel': 0.02 * kernel, 'bias': np.full_like(bias, 0.4)}

    def loss(params, x):
        return jnp.sin(module.apply({'params': params}, x)).sum()

    differentiate = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    value, grads = jax.tree.map(np.asarray, differentiate(params, x))
    assert jax.eval_shape(module.apply, {'params': params}, x).shape == (2, 5, 5, 8)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(grads))
    rng = np.random.default_rng(4)
    step = jax.tree.map(lambda leaf: 1e-3 * rng.standard_normal(leaf.shape).astype(np.float32), (params, x))
    ends = [differentiate(*jax.tree.map(lambda a, d, s=s: a + s * d, (params, x), step))[0] for s in (1, -1)]
    slope = sum(np.vdot(g, d) for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(step), strict=True))
    assert float(ends[0] - ends[1]) / 2 == pytest.approx(slope, rel=0.02, abs=2e-3 * abs(float(value)))


def test_deformable_starts_as_the_plain_convolution_and_modulated_at_half_of_it():
    x = image()
    plain = layers.make_conv('standard', use_bias=False)(3)
    kernel = plain.init(jax.random.key(5), jnp.asarray(x))['params']['kernel']
    expected = loops.conv(x, np.asarray(kernel), padding=((1, 1), (1, 1)))
    for kind, factor in (('deformable', 1.0), ('modulated_deformable', 0.5)):
        module = layers.make_conv(kind, use_bias=False)(3)
        params = module.init(jax.random.key(0), jnp.asarray(x))['params'] | {'kernel': kernel}
        np.testing.assert_allclose(module.apply({'params': params}, x), factor * expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', layers.CONVOLUTIONS)
def test_resnet_takes_every_kind_by_name(kind):
    for sizes in ({'depth': 8, 'stem': 'cifar'}, {'depth': 11, 'stem': 'cifar', 'bottleneck': True}):
        usual, other = (shapes('resnet', size=32, conv=c, **sizes) for c in ('standard', kind))
        assert usual.keys() == other.keys()
        assert usual['params'].keys() == other['params'].keys()
    smaller = {'spatially_separable', 'grouped', 'pointwise', 'depthwise', 'depthwise_separable'}
    larger = {'deformable', 'modulated_deformable'}
    difference = count(other['params']) - count(usual['params'])
    assert (difference < 0) == (kind in smaller)
    assert (difference > 0) == (kind in larger)


def test_channels_that_do_not_divide_are_refused_with_the_way_out():
    x = jnp.ones((1, 4, 4, 6))
    with pytest.raises(ValueError, match='6 -> 8 channels do not divide by 4 groups'):
        layers.make_conv('grouped')(8).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="6 channels into 8, which is no multiple; use 'depthwise_separable'"):
        layers.make_conv('depthwise')(8).init(jax.random.key(0), x)


def test_batch_norm_in_training_matches_numpy_and_keeps_pytorchs_statistics():
    x = image(3, seed=6) * 3 + 1
    module = layers.BatchNorm(momentum=0.9)
    variables = module.init(jax.random.key(0), x)
    y, state = module.apply(variables, x, True, mutable=['batch_stats'])
    x64 = x.astype(np.float64)
    mean, var = x64.mean((0, 1, 2)), x64.var((0, 1, 2))
    np.testing.assert_allclose(y, (x64 - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(state['batch_stats']['mean'], 0.1 * mean, rtol=1e-4, atol=1e-5)
    n = x.size // 3
    np.testing.assert_allclose(state['batch_stats']['var'], 0.9 + 0.1 * var * n / (n - 1), rtol=1e-4)
    y = module.apply({'params': variables['params'], **state}, x, False)
    kept = numpy(state['batch_stats'])
    np.testing.assert_allclose(y, (x64 - kept['mean']) / np.sqrt(kept['var'] + 1e-5), rtol=1e-4, atol=1e-4)


def test_still_norms_normalise_by_their_statistics_in_training():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = layers.BatchNorm(name='first')(x, train)
            return layers.BatchNorm(name='second')(x, train)

    x = jax.random.normal(jax.random.key(0), (4, 3, 3, 2)) + 5
    variables = Two().init(jax.random.key(1), x, False)
    with layers.still({('first',)}):
        y, state = Two().apply(variables, x, True, mutable=['batch_stats'])
    # The first, at mean 0 and variance 1, is the identity; the second normalises by the batch.
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_array_equal(state['batch_stats']['first']['mean'], 0)
    np.testing.assert_allclose(state['batch_stats']['second']['mean'], 0.1 * x.mean((0, 1, 2)), rtol=1e-4)
    with layers.still({('first',), ('second',)}):
        y, _ = Two().apply(variables, x, True, mutable=['batch_stats'])
    np.testing.assert_allclose(y, Two().apply(variables, x, False), rtol=1e-6)


def test_synchronised_batch_norm_on_two_halves_is_batch_norm_on_the_whole():
    x = image(3, seed=7)
    whole, halves = layers.BatchNorm(), layers.BatchNorm(axis_name='replicas')
    variables = whole.init(jax.random.key(0), x)
    expected, state = whole.apply(variables, x, True, mutable=['batch_stats'])

    def run(half):
        return halves.apply(variables, half, True, mutable=['batch_stats'])

    y, spread = jax.vmap(run, axis_name='replicas')(x.reshape(2, 1, *x.shape[1:]))
    np.testing.assert_allclose(y.reshape(x.shape), expected, rtol=1e-4, atol=1e-5)
    for name in ('mean', 'var'):
        for replica in (0, 1):
            kept = spread['batch_stats'][name][replica]
            np.testing.assert_allclose(kept, state['batch_stats'][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('channels', 'groups'), [(64, 32), (12, 4), (3, 1)])
def test_group_norm_matches_numpy_group_by_group(channels, groups):
    x = image(channels, seed=8) * 2 + 1
    module = layers.GroupNorm(groups=32)
    y = module.apply(module.init(jax.random.key(0), x), x)
    # The largest number that divides both 32 and the channels.
    grouped = x.astype(np.float64).reshape(2, -1, groups, channels // groups)
    mean, var = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    np.testing.assert_allclose(y, ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ('size', 'window', 'stride', 'padding', 'floor', 'ceil'),
    [(112, 3, 2, 0, 55, 56), (55, 3, 2, 0, 27, 27), (28, 2, 2, 0, 14, 14), (7, 2, 2, 0, 3, 4), (5, 2, 3, 1, 2, 2)],
)
def test_pooling_rounds_down_or_up_as_caffe_does(size, window, stride, padding, floor, ceil):
    # In the last case rounding up would start a third window at 6, past the image and its padding: Caffe drops it.
    x = jnp.asarray(-np.arange(1.0, 1 + size * size).reshape(1, size, size, 1), jnp.float32)
    down = layers.max_pool(x, window, stride, padding)
    up = layers.max_pool(x, window, stride, padding, ceil_mode=True)
    assert down.shape == (1, floor, floor, 1)
    assert up.shape == (1, ceil, ceil, 1)
    # Values fall along the rows, so each window's maximum is its first real pixel.
    starts = np.maximum(np.arange(ceil) * stride - padding, 0)
    np.testing.assert_array_equal(up[0, :, :, 0], np.asarray(x)[0, starts[:, None], starts, 0])


def test_average_pooling_counts_padded_zeros():
    y = layers.avg_pool(jnp.ones((1, 2, 2, 1)), 2, 2, padding=1)
    np.testing.assert_allclose(y[0, :, :, 0], np.full((2, 2), 0.25))


@pytest.mark.parametrize(('n', 'cells'), [(7, 7), (14, 7), (10, 4), (3, 7), (1, 6)])
def test_adaptive_pooling_averages_pytorchs_cells(n, cells):
    x = image(2, seed=9, size=(n, n))
    expected = np.empty((2, cells, cells, 2))
    for i in range(cells):
        for j in range(cells):
            a, b = int(np.floor(i * n / cells)), int(np.ceil((i + 1) * n / cells))
            c, d = int(np.floor(j * n / cells)), int(np.ceil((j + 1) * n / cells))
            expected[:, i, j] = x[:, a:b, c:d].mean((1, 2))
    np.testing.assert_allclose(layers.adaptive_avg_pool(jnp.asarray(x), cells), expected, rtol=1e-5, atol=1e-6)


def test_padding_in_every_spelling():
    assert layers.padding_pairs('valid', 3) == ((0, 0), (0, 0))
    assert layers.padding_pairs('same', (5, 2)) == ((2, 2), (0, 1))
    assert layers.padding_pairs('same', 3, 2) == ((2, 2), (2, 2))
    assert layers.padding_pairs(1, 3) == ((1, 1), (1, 1))
    assert layers.padding_pairs((1, 2), 3) == ((1, 1), (2, 2))
    assert layers.padding_pairs(((1, 2), (3, 4)), 3) == ((1, 2), (3, 4))

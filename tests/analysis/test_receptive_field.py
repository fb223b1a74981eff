"""Declared receptive fields against the cells from which a gradient comes back, cell by cell."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.analysis.receptive_field import receptive_field
from cnn.models import layers
from cnn.models.resnet import subsample_and_pad

conv = layers.Conv


class Net(nn.Module):
    """A function of named layers as a module."""

    body: object

    @nn.compact
    def __call__(self, x, train: bool = False):
        return self.body(x)


def chain(x):
    x = nn.relu(conv(2, 3, 2, 1)(x))
    x = layers.max_pool(x, 2, 1, 1)
    return layers.avg_pool(conv(2, 3, dilation=2)(x), 2, 1)


def skips(x):
    y = nn.relu(layers.BatchNorm()(conv(4, 3, 2, 1)(x)))
    y = conv(4, 3)(y) + subsample_and_pad(x, 2, 4)
    branches = [conv(1, 1)(y), conv(1, 5)(y), layers.max_pool(y, 3, 1, 1)]
    return conv(1, 1)(jnp.concatenate(branches, -1))


def rectangles(x):
    x = layers.SpatiallySeparable(2, (5, 3), (1, 2))(x)
    return conv(1, (1, 4), (2, 1), ((0, 0), (1, 2)), (1, 2))(x)


def hourglass(x):
    deep = conv(2, 3, 2, 1)(x)
    deep = conv(2, 3, 2, 1)(deep)
    up = layers.ConvTranspose(2, 4, 2, 1)(deep)
    return layers.ConvTranspose(1, 4, 2, 1)(up)[:, 1:-1, 1:-1] + x[:, 1:-1, 1:-1].sum(-1, keepdims=True)


def fully_convolutional(x):
    """Pad much, crop back, skip across strides: FCN in little."""
    y = layers.max_pool(conv(2, 3, padding=4)(x), 2, 2)
    z = layers.max_pool(conv(2, 3)(y), 2, 2)
    up = layers.ConvTranspose(2, 4, 2, 0)(z)
    fused = up[:, 1 : 1 + y.shape[1], 1 : 1 + y.shape[2]][:, : y.shape[1], : y.shape[2]]
    fused = fused + y[:, : fused.shape[1], : fused.shape[2]]
    return layers.ConvTranspose(1, 4, 2, 0)(fused)[:, 4:16, 4:16]


def enlarged(x):
    y = conv(2, 3, 2)(x)
    return conv(2, 3)(jnp.repeat(jnp.repeat(y, 2, 1), 2, 2) + x)


def holes(x):
    """A transposed kernel smaller than its stride: some cells see nothing."""
    return layers.ConvTranspose(1, 2, 3, 0, use_bias=False)(conv(1, 3, 2, 1)(x))


def rearranged(x):
    b, h, w, c = x.shape
    x = x[:, ::-1].reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)
    left, right = jnp.split(conv(4, 1)(x), 2, -1)
    return jnp.pad(left * right, ((0, 0), (1, 0), (0, 1), (0, 0)))


def grouped_kinds(x):
    x = layers.DepthwiseSeparable(4, 3, dilation=2)(x)
    return conv(4, 3, 2, groups=2)(x)


def gated(x):
    y = conv(3, 3)(x)
    return y * nn.sigmoid(layers.Dense(3)(layers.global_avg_pool(y)) * 0.01)[:, None, None]


def normalised(x):
    return layers.GroupNorm(1)(conv(2, 3, 2)(x))


NETS = [chain, skips, rectangles, hourglass, fully_convolutional, holes, rearranged, enlarged, grouped_kinds]
NETS += [gated, normalised]
# Before a dilated kernel's first tap that is not in the padding lie cells that it passes over.
GAPS = {chain, rectangles}
SIZE = 16


def supports(body, size):
    """`[rows out, columns out, rows in, columns in]`: from which cells of the image a gradient reaches each output.

    Weights are positive; several images, because a maximum passes its gradient to one cell only.
    """
    net = Net(body)
    variables = jax.eval_shape(net.init, jax.random.key(0), jnp.ones((1, size, size, 2)))
    flat, tree = jax.tree.flatten(variables)
    numbers = np.random.default_rng(0)
    variables = tree.unflatten([jnp.asarray(numbers.uniform(0.5, 1.5, leaf.shape), jnp.float32) for leaf in flat])
    images = jnp.asarray(numbers.uniform(0.5, 1.5, (16, size, size, 2)), jnp.float32)
    output = jax.eval_shape(net.apply, variables, images[:1])

    @jax.jit
    def gradients(images):
        """One image at a time, one pull-back for each cell of the output."""
        _, pull = jax.vjp(lambda x: net.apply(variables, x).sum(-1), images)
        basis = jnp.eye(output.shape[1] * output.shape[2]).reshape(-1, 1, *output.shape[1:3])
        return jax.vmap(lambda seed: pull(jnp.broadcast_to(seed, (16, *seed.shape[1:])))[0])(basis)

    seen = (np.asarray(gradients(images)) != 0).any((1, -1))
    return seen.reshape(*output.shape[1:3], size, size)


@pytest.mark.parametrize('body', NETS, ids=lambda body: body.__name__)
def test_gradients_come_from_the_declared_cells_only_and_from_all_of_them(body):
    declared = receptive_field(Net(body), (SIZE, SIZE, 2))['output']
    seen, whole = supports(body, SIZE), 0
    for axis, (out_rest, in_rest) in enumerate(((1, 3), (0, 2))):
        along = seen.any((out_rest, in_rest))
        for index, cells in enumerate(along):
            low, high = declared.interval(index, axis) or (0, -1)
            inside = [i for i in range(SIZE) if low <= i <= high]
            found = list(np.flatnonzero(cells))
            assert set(found) <= set(inside), (axis, index)
            if body not in GAPS or (low >= 0 and high < SIZE):
                assert found[:1] + found[-1:] == inside[:1] + inside[-1:], (axis, index)
                whole += low >= 0 and high < SIZE
    assert whole or body in (gated, normalised)


def test_data_dependent_layers_say_so_and_keep_their_stride():
    def body(x):
        return conv(2, 3, 2)(layers.Deformable(2, 3, 2)(x))

    declared = receptive_field(Net(body), (16, 16, 2))
    assert declared['output'].size == (None, None)
    assert declared['output'].stride == (4, 4)
    assert declared['output'].interval(0, 0) is None


def test_operations_without_a_rule_are_unknown():
    declared = receptive_field(Net(lambda x: jnp.fft.fft(x).real), (8, 8, 2))['output']
    assert declared.size == declared.stride == (None, None)


def test_unequal_strides_have_no_window():
    assert receptive_field(Net(lambda x: x[:, :4, :4] + conv(2, 3, 2)(x)), (8, 8, 2))['output'].size == (None, None)


def test_series_have_one_axis():
    class Causal(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(4, (3,), padding=[(2, 0)], name='first')(x)
            return nn.Conv(4, (3,), padding=[(4, 0)], kernel_dilation=2, name='second')(x)

    declared = receptive_field(Causal(), (20, 3), spatial_axes=1)
    assert declared['first'].interval(9, 0) == (7, 9)
    assert declared['second'].interval(9, 0) == (3, 9)
    assert declared['second'].size == (7,)


def test_offset_is_the_centre_of_the_first_cell():
    # Valid 3x3 at stride 2 centres cell 0 over input cell 1; with padding 1 over input cell 0.
    assert receptive_field(conv(1, 3, 2, 'valid'), (9, 9, 1))['output'].offset == (1, 1)
    assert receptive_field(conv(1, 3, 2, 1), (9, 9, 1))['output'].offset == (0, 0)


def test_a_wrong_shape_is_named():
    with pytest.raises(ValueError, match='input_shape'):
        receptive_field(conv(1, 3), (9, 9))

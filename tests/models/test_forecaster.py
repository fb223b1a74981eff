"""The forecaster sees the whole past and nothing else: causality, receptive field, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.analysis.receptive_field import receptive_field as analysed
from cnn.models import forecaster
from tests.models.networks import count

TIMES, HORIZON = 13, 3
KINDS = [('gated', 2), ('tcn', 2), ('gated', 3)]


def net(**sizes):
    return models.create('forecaster', num_classes=HORIZON, **{'width': 4, **sizes})


def grown(module, times=TIMES):
    """Variables none of which is zero, so that nothing hides behind a zero weight."""
    shapes = jax.eval_shape(lambda key: module.init(key, jnp.zeros((1, times, 2))), jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda p: rng.normal(0.0, 0.4, p.shape).astype(np.float32), shapes)


@pytest.mark.parametrize(('block', 'kernel_size'), KINDS)
def test_no_output_depends_on_what_comes_later(block, kernel_size):
    module = net(block=block, kernel_size=kernel_size, width=12)
    variables = grown(module)

    def at_every_time(series):
        return module.apply(variables, series[None])[1]['every'][0].sum(-1)

    series = jnp.asarray(np.random.default_rng(2).normal(size=(TIMES, 2)), jnp.float32)
    jacobian = np.asarray(jax.jit(jax.jacrev(at_every_time))(series))  # [output time, input time, feature]
    later = np.triu(np.ones((TIMES, TIMES), bool), 1)
    assert not jacobian[later].any()
    # And the last output reads every past value.
    assert (np.abs(jacobian[-1]).max(-1) > 0).all()
    changed = series.at[7:].set(100.0)
    before, after = jax.jit(at_every_time)(series), jax.jit(at_every_time)(changed)
    np.testing.assert_array_equal(before[:7], after[:7])
    assert not np.isclose(before[7:], after[7:]).any()


@pytest.mark.parametrize(('block', 'kernel_size'), KINDS)
def test_the_receptive_field_is_what_moving_an_input_shows(block, kernel_size):
    # By hand: WaveNet's figure 3 (kernel 2, dilations 1, 2, 4) sees 8; two convolutions a block see 15.
    known = {('gated', 2): (2, 4, 8), ('tcn', 2): (3, 7, 15), ('gated', 3): (3, 7, 15)}[block, kernel_size]
    assert tuple(forecaster.receptive_field(block, kernel_size, blocks) for blocks in (1, 2, 3)) == known
    blocks, seen = 3, known[2]
    module = net(block=block, kernel_size=kernel_size, blocks=blocks, width=12)
    variables = grown(module, seen)
    # Longer series than it may be given are refused, so the reach shows at an inner time of the longest it takes.
    series = jnp.asarray(np.random.default_rng(3).normal(size=(seen, 2)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda s: module.apply(variables, s[None])[0].sum()))(series)
    assert (np.abs(np.asarray(gradient)).max(-1) > 0).all()
    field = analysed(module, (seen, 2), spatial_axes=1)[f'block{blocks}']
    assert (field.size, field.start) == ((seen,), (1 - seen,))
    with pytest.raises(ValueError, match=rf'see {seen} of {seen + 1} past values; use blocks={blocks + 1}'):
        module.init(jax.random.key(0), jnp.zeros((1, seen + 1, 2)))


def test_depth_follows_from_the_past():
    assert [net().depth(t) for t in (1, 2, 3, 16, 17)] == [1, 1, 2, 4, 5]
    assert [net(block='tcn').depth(t) for t in (3, 4, 15, 16)] == [1, 2, 3, 4]


def test_shapes_parameters_and_the_first_forecast():
    module = net()
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 16, 1))))
    # input 1x4+4; four blocks of (2*4*8+8) + 2 (4*4+4); head 4*4+4; forecast 4*3+3.
    assert count(shapes['params']) == 8 + 4 * (72 + 40) + 20 + 15
    output, endpoints = jax.eval_shape(lambda v: module.apply(v, jnp.zeros((2, 16, 1))), shapes)
    assert (output.shape, output.dtype) == ((2, HORIZON), jnp.float32)
    assert (endpoints['every'].shape, endpoints['pre_logits'].shape) == ((2, 16, HORIZON), (2, 4))
    half = net(dtype=jnp.bfloat16)
    output, endpoints = jax.eval_shape(lambda v: half.apply(v, jnp.zeros((2, 16, 1))), shapes)
    assert (output.dtype, endpoints['block4'].dtype) == (jnp.float32, jnp.bfloat16)


def test_weight_norm_makes_the_kernel_independent_of_the_directions_length():
    module = forecaster.CausalConv(3, 2, 1, weight_norm=True)
    x = jnp.asarray(np.random.default_rng(4).normal(size=(1, 6, 2)), jnp.float32)
    variables = module.init(jax.random.key(0), x)
    longer = {'params': variables['params'] | {'direction': 7 * variables['params']['direction']}}
    np.testing.assert_allclose(module.apply(longer, x), module.apply(variables, x), rtol=1e-4, atol=1e-5)
    direction, scale = variables['params']['direction'], variables['params']['scale']
    last = (x[0, 4] @ direction[0] + x[0, 5] @ direction[1]) * scale / np.sqrt((direction**2).sum((0, 1)))
    np.testing.assert_allclose(module.apply(variables, x)[0, 5], last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'block': 'gatd'}, "unknown forecaster block 'gatd'; did you mean 'gated'"),
        ({'kernel_size': 1}, 'kernels of 2 or more'),
        ({'widht': 3}, "forecaster has no size 'widht'; did you mean 'width'"),
    ],
)
def test_wrong_sizes_are_one_line(sizes, message):
    with pytest.raises(ValueError, match=message):
        net(**sizes)

"""AlexNet's towers: two devices give what the grouped net gives, and cross only where the paper says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.models import alexnet, alexnet_towers
from cnn.ops.lrn import local_response_norm
from tests.models.networks import shapes
from tests.ops import loops

SIZES = {'num_classes': 3, 'stem': 'small', 'width': 0.05, 'dropout': 0.0}


@pytest.fixture(scope='module')
def grouped():
    module = models.create('alexnet', **SIZES)
    images = jax.random.normal(jax.random.key(1), (2, 28, 28, 3))
    variables = module.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct(images.shape, images.dtype))
    return module, variables, images


def test_two_devices_give_the_grouped_nets_outputs_and_gradients(grouped):
    module, variables, images = grouped
    apply = alexnet_towers.two_device_apply(module, jax.devices()[:2])

    def step(run):
        def loss(variables):
            logits, endpoints = run(variables, images)
            return jnp.square(logits - 1).sum(), endpoints

        return jax.jit(jax.grad(loss, has_aux=True))

    expected, expected_endpoints = step(module.apply)(variables)
    grads, endpoints = step(apply)(variables)
    assert endpoints.keys() == expected_endpoints.keys()
    for name, value in endpoints.items():
        np.testing.assert_allclose(value, expected_endpoints[name], rtol=1e-4, atol=1e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(b).max()))


def test_each_device_holds_half_of_the_parameters_and_they_meet_four_times(grouped):
    module, variables, images = grouped
    apply = alexnet_towers.two_device_apply(module, jax.devices()[:2])
    jaxpr = str(jax.make_jaxpr(apply)(variables, images))
    # Gathers before conv3, fc6 and fc7; one sum at fc8.
    assert jaxpr.count('all_gather[') == 3
    assert jaxpr.count('psum') == 1
    specs = alexnet_towers.tower_specs(variables['params'])
    whole = [path for path, spec in jax.tree.leaves_with_path(specs) if 'tower' not in spec]
    assert [jax.tree_util.keystr(path, simple=True, separator='/') for path in whole] == ['fc8/bias']


def test_towers_cross_at_conv3_and_the_dense_layers_only(grouped):
    """Silencing the second tower's conv1 leaves the first tower as it was until conv3."""
    module, variables, images = grouped
    half = variables['params']['conv1']['kernel'].shape[-1] // 2
    silenced = jax.tree.map(lambda leaf: leaf, variables)
    silenced['params']['conv1']['kernel'] = variables['params']['conv1']['kernel'].at[..., half:].set(0)
    run = jax.jit(lambda v: module.apply(v, images)[1])
    before, after = run(variables), run(silenced)
    for name in ('conv1', 'pool1', 'conv2', 'pool2'):
        first = before[name].shape[-1] // 2
        np.testing.assert_array_equal(after[name][..., :first], before[name][..., :first])
        assert jnp.any(after[name][..., first:] != before[name][..., first:])
    first = before['conv3'].shape[-1] // 2
    assert jnp.any(after['conv3'][..., :first] != before['conv3'][..., :first])


def test_the_towers_drop_different_units(grouped):
    _, variables, images = grouped
    module = models.create('alexnet', **SIZES | {'dropout': 0.5})
    apply = alexnet_towers.two_device_apply(module, jax.devices()[:2])
    run = jax.jit(lambda key: apply(variables, images, True, key)[0])
    a, b = run(jax.random.key(1)), run(jax.random.key(2))
    assert jnp.any(a != b)
    np.testing.assert_array_equal(a, run(jax.random.key(1)))


def test_what_cannot_be_split_is_refused():
    single = models.create('alexnet', **SIZES, towers=1)
    caffe = models.create('alexnet', **SIZES, lrn='caffe')
    for module in (single, caffe):
        with pytest.raises(ValueError, match='two devices need a net of towers=2'):
            alexnet_towers.two_device_apply(module, jax.devices()[:2])
    with pytest.raises(ValueError, match='two towers need two devices, got 1'):
        alexnet_towers.two_device_apply(models.create('alexnet', **SIZES), jax.devices()[:1])


@pytest.mark.parametrize('size', [224, 227])
def test_maps_have_the_papers_sizes(size):
    module = models.create('alexnet', num_classes=10)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    endpoints = jax.eval_shape(module.init_with_output, jax.random.key(0), images)[0][1]
    sizes = {name: leaf.shape[1:] for name, leaf in endpoints.items() if leaf.ndim == 4}
    # 227 pixels give 55 and exact pooling; 224 give 54 and pooling rounds up: one less at conv1, then the same.
    assert sizes['conv1'] == ((55, 55, 96) if size == 227 else (54, 54, 96))
    assert [sizes[n] for n in ('pool1', 'pool2', 'pool5')] == [(27, 27, 96), (13, 13, 256), (6, 6, 256)]


def test_the_papers_biases_start_at_one_where_it_says_so():
    module = models.create('alexnet', **SIZES, init='paper')
    params = module.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct((1, 28, 28, 3), jnp.float32))['params']
    ones = {name for name, leaf in params.items() if jnp.all(leaf['bias'] == 1)}
    zeros = {name for name, leaf in params.items() if jnp.all(leaf['bias'] == 0)}
    assert ones == {'conv2', 'conv4', 'conv5', 'fc6', 'fc7'}
    assert zeros == {'conv1', 'conv3', 'fc8'}
    assert float(params['fc6']['kernel'].std()) == pytest.approx(0.01, rel=0.05)


def test_unit_lrn_divides_images_of_deviation_one_as_the_papers_divides_raw_ones():
    kinds = {kind: alexnet.LRN[kind] for kind in ('paper', 'unit')}
    x = 57 * np.random.default_rng(0).normal(size=(2, 3, 3, 16)).astype(np.float32)
    raw, unit = (local_response_norm(jnp.asarray(x / s), **kinds[kind]) for s, kind in ((1, 'paper'), (57, 'unit')))
    np.testing.assert_allclose(57 * unit, raw, rtol=1e-5)
    # Each by itself: there it does something, and the paper's alpha beside small numbers does nothing.
    assert np.std(np.asarray(raw) / x) > 0.01
    assert np.std(np.asarray(local_response_norm(jnp.asarray(x / 57), **kinds['paper'])) / x * 57) < 1e-4
    assert models.create('alexnet', num_classes=10, stem='small').lrn == 'unit'
    assert models.create('alexnet', num_classes=10).lrn == 'paper'


@pytest.mark.parametrize(('lrn', 'k', 'alpha'), [('paper', 2, 1e-4), ('unit', 2, 0.3249), ('caffe', 1, 2e-5)])
def test_lrn_stays_in_the_tower_in_the_paper_and_crosses_in_caffe(grouped, lrn, k, alpha):
    _, variables, images = grouped
    module = models.create('alexnet', **SIZES | {'lrn': lrn})
    images = 300 * images  # large enough for the sum of squares to count
    endpoints = jax.jit(lambda v: {n: e for n, e in module.apply(v, images)[1].items() if n in ('conv1', 'pool1')})
    endpoints = endpoints(variables)
    conv1 = np.asarray(endpoints['conv1'], np.float64)
    channels = conv1.shape[-1]
    groups = np.arange(channels) * 2 // channels if lrn != 'caffe' else np.zeros(channels)
    near = (abs(np.subtract.outer(np.arange(channels), np.arange(channels))) <= 2) & (groups[:, None] == groups)
    normalised = conv1 / (k + alpha * (conv1**2 @ near)) ** 0.75
    expected = loops.max_pool(normalised, 3, 2, ceil_mode=True)
    assert normalised.max() < 0.7 * conv1.max() / k**0.75
    np.testing.assert_allclose(endpoints['pool1'], expected, rtol=1e-4, atol=1e-5)


def test_torchvisions_net_pools_any_size_to_six_cells():
    usual, larger = (shapes('alexnet', variant='torchvision', size=size) for size in (224, 300))
    assert jax.tree.map(jnp.shape, usual) == jax.tree.map(jnp.shape, larger)


@pytest.mark.parametrize(('stem', 'side'), [('imagenet', 227), ('imagenet', 224), ('small', 14), ('small', 24),
                                            ('small', 15)])  # fmt: skip
def test_pooling_with_and_without_overlap_leaves_the_same_maps(stem, side):
    """Section 3.4 of the paper compares windows of 3 with windows of 2 of "output of equivalent dimensions"."""
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)

    def maps(overlapping):
        model = models.create('alexnet', num_classes=10, stem=stem, overlapping=overlapping)
        (_, endpoints), _ = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x), images)
        return {name: value.shape for name, value in endpoints.items()}

    assert maps(overlapping=False) == maps(overlapping=True)


def test_padded_its_cells_lie_over_every_sixteenth_pixel():
    """Fast R-CNN's release pools regions from cell round(x / 16)."""
    padded, plain = (models.create('alexnet', num_classes=0, padded=own) for own in (True, False))
    assert padded.endpoint_offsets['conv5'] == 0
    assert plain.endpoint_offsets['conv5'] == 17
    images = jax.ShapeDtypeStruct((1, 600, 1000, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: padded.init(jax.random.key(0), x), images)
    _, endpoints = jax.eval_shape(padded.apply, variables, images)
    # Caffe: (600 + 10 - 11) / 4 + 1 = 150, then ceil((150 + 2 - 3) / 2) + 1 = 76 and ceil((76 + 2 - 3) / 2) + 1 = 39.
    assert endpoints['pool1'].shape[1] == 76
    assert endpoints['conv5'].shape[1] == 39
    assert jax.tree.map(lambda x: x.shape, variables) == jax.tree.map(
        lambda x: x.shape, jax.eval_shape(lambda x: plain.init(jax.random.key(0), x), images)
    )
    with pytest.raises(ValueError, match="padded=True is of variant='paper'"):
        models.create('alexnet', num_classes=0, stem='small', padded=True)

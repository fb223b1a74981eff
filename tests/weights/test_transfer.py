"""Loading and saving: names, axis orders, honest errors, new heads."""

import logging

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn import models, weights
from cnn.weights import names
from cnn.weights.files import read_arrays, write_arrays
from cnn.weights.pth import read_pth
from cnn.weights.pth_writer import write_pth

TINY = models.create('resnet', num_classes=10, depth=8, stem='cifar', width=4)


@pytest.fixture(scope='module')
def variables():
    """Of TINY, with statistics that are not the initial ones."""
    fresh = jax.jit(TINY.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    leaves, tree = jax.tree.flatten(fresh)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [rng.uniform(0.5, 1, leaf.shape).astype(np.float32) for leaf in leaves])


def assert_same(got, expected):
    got, expected = flatten_dict(got), flatten_dict(dict(expected))
    assert set(got) == set(expected)
    for path, leaf in expected.items():
        np.testing.assert_array_equal(got[path], leaf)
        assert got[path].dtype == leaf.dtype


def their_shape(shape):
    """PyTorch's for ours: OIHW for HWIO, [out, in] for [in, out]."""
    return {4: lambda h, w, i, o: (o, i, h, w), 2: lambda i, o: (o, i)}.get(len(shape), lambda *same: same)(*shape)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('style', ['torchvision', 'timm', 'akamaster', 'native'])
def test_round_trip(tmp_path, variables, style, suffix):
    path = tmp_path / f'weights{suffix}'
    weights.save(path, TINY, variables, style=style)
    assert_same(weights.load(path, TINY), variables)


def test_torchvision_names_and_axis_orders(tmp_path, variables):
    path = tmp_path / 'weights.pth'
    weights.save(path, TINY, variables)
    arrays = read_arrays(path)
    params, stats = variables['params'], variables['batch_stats']
    for key, array in (
        ('conv1.weight', np.moveaxis(params['conv1']['kernel'], (3, 2), (0, 1))),
        ('layer2.0.conv2.weight', np.moveaxis(params['conv3_1']['conv2']['kernel'], (3, 2), (0, 1))),
        ('layer1.0.bn1.weight', params['conv2_1']['norm1']['scale']),
        ('layer1.0.bn1.bias', params['conv2_1']['norm1']['bias']),
        ('layer1.0.bn1.running_mean', stats['conv2_1']['norm1']['mean']),
        ('layer3.0.bn2.running_var', stats['conv4_1']['norm2']['var']),
        ('fc.weight', params['fc']['kernel'].T),
        ('fc.bias', params['fc']['bias']),
    ):
        np.testing.assert_array_equal(arrays[key], array)


@pytest.mark.parametrize(
    ('network', 'sizes', 'style', 'keys'),
    [
        ('resnet', {'depth': 50}, 'torchvision', ['layer4.2.conv3.weight', 'layer1.0.downsample.1.running_var']),
        ('resnet', {'depth': 50}, 'akamaster', ['layer1.0.shortcut.0.weight', 'linear.bias']),
        ('vgg', {'variant': '16'}, 'torchvision', ['features.28.weight', 'classifier.6.bias']),
        ('vgg', {'variant': '16', 'batch_norm': True}, 'torchvision', ['features.40.bias', 'features.41.running_mean']),
        ('vgg', {'variant': '16'}, 'timm', ['features.28.weight', 'pre_logits.fc1.weight', 'head.fc.weight']),
        ('alexnet', {}, 'torchvision', ['features.10.weight', 'classifier.1.weight']),
        ('googlenet', {}, 'torchvision', ['conv2.conv.bias', 'inception5b.branch4.1.conv.weight']),
        (
            'densenet',
            {'depth': 201},
            'torchvision',
            ['features.denseblock3.denselayer48.conv2.weight', 'features.conv0.weight'],
        ),
        ('densenet', {}, 'timm', ['features.transition3.norm.bias', 'features.norm5.running_var', 'classifier.bias']),
        ('googlenet', {'auxiliary': True}, 'torchvision', ['aux1.conv.conv.weight', 'aux2.fc2.bias']),
    ],
)
def test_keys_of_networks(network, sizes, style, keys):
    # Written down from the state dicts of torchvision 0.29, timm 1.0 and pytorch_resnet_cifar10.
    model = models.create(network, num_classes=10, **sizes)
    shapes = jax.eval_shape(lambda: model.init({'params': jax.random.key(0)}, jnp.zeros((1, 224, 224, 3))))
    entries = names.entries(model, shapes, style)
    assert len({entry.key for entry in entries}) == len(entries)
    assert set(keys) <= {entry.key for entry in entries}


def test_first_dense_layer_is_permuted():
    # The input that row r, column c, channel k of a 6x6x16 map meets in ours is k * 36 + r * 6 + c in PyTorch's.
    model = models.create('alexnet', num_classes=3, variant='torchvision', width=1 / 16)
    shapes = jax.eval_shape(lambda: model.init({'params': jax.random.key(0)}, jnp.zeros((1, 64, 64, 3))))
    arrays = {e.key: np.zeros(their_shape(e.shape), np.float32) for e in names.entries(model, shapes, 'torchvision')}
    hidden = shapes['params']['fc6']['kernel'].shape[1]
    arrays['classifier.1.weight'] = np.tile(np.arange(576, dtype=np.float32), (hidden, 1))
    loaded = weights.from_arrays(arrays, model, template=shapes)['params']['fc6']['kernel']
    row, column, channel = np.unravel_index(np.arange(576), (6, 6, 16))
    np.testing.assert_array_equal(loaded[:, 0], channel * 36 + row * 6 + column)


@pytest.mark.parametrize('source', ['dense', 'conv'])
@pytest.mark.parametrize('style', ['torchvision', 'timm'])
def test_either_classifier_of_vgg_reads_either_form(tmp_path, source, style):
    sizes = {'variant': '11', 'width': 1 / 64, 'dropout': 0.0}
    dense, conv = (models.create('vgg', num_classes=3, classifier=c, **sizes) for c in ('dense', 'conv'))
    by_name = {'dense': dense, 'conv': conv}
    images = np.random.default_rng(0).standard_normal((2, 224, 224, 3)).astype(np.float32)
    start = jax.jit(by_name[source].init)({'params': jax.random.key(0)}, images[:1])
    start = jax.tree.map(lambda x: x * 30 if x.ndim > 1 else x, start)
    path = tmp_path / 'vgg.pth'
    weights.save(path, by_name[source], start, style=style)
    arrays = read_arrays(path)
    first = 'pre_logits.fc1.weight' if style == 'timm' else 'classifier.0.weight'
    assert arrays[first].shape == ((64, 8, 7, 7) if style == 'timm' else (64, 392))
    outputs = [jax.jit(model.apply)(weights.load(path, model), images)[0] for model in (dense, conv)]
    assert np.abs(outputs[0]).max() > 1e-3
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.module.'])
@pytest.mark.parametrize('wrapper', [None, 'state_dict', 'model'])
def test_wrapped_state_dicts(variables, tmp_path, wrapper, prefix):
    path = tmp_path / 'w.safetensors'
    weights.save(path, TINY, variables)
    arrays = {prefix + key: array for key, array in read_arrays(path).items()}
    arrays[prefix + 'bn1.num_batches_tracked'] = np.array(7)
    tree = {wrapper: arrays, 'epoch': 3, 'best_prec1': 0.5} if wrapper else arrays
    assert_same(weights.from_arrays(tree, TINY), variables)


def test_older_spelling_of_densenet(tmp_path):
    model = models.create('densenet', num_classes=3, depth=10, growth_rate=4, stem='cifar')
    fresh = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    weights.save(tmp_path / 'w.pth', model, fresh)
    arrays = read_arrays(tmp_path / 'w.pth')
    old = {}
    for key, array in arrays.items():
        for name in ('norm1', 'norm2', 'conv1', 'conv2'):
            key = key.replace(f'denselayer1.{name}.', f'denselayer1.{name[:4]}.{name[4]}.')
        old[key] = array
    assert 'features.denseblock1.denselayer1.norm.2.running_mean' in old
    assert_same(weights.from_arrays(old, model), fresh)


def test_saved_files_have_what_pytorch_modules_count(tmp_path, variables):
    path = tmp_path / 'w.pth'
    weights.save(path, TINY, variables)
    raw = read_pth(path)
    counters = [key for key in raw if key.endswith('num_batches_tracked')]
    # One for each norm: the stem's and two in each of three units.
    assert len(counters) == 7
    assert raw['bn1.num_batches_tracked'].dtype == np.int64


def test_half_precision_files_become_float32(tmp_path, variables):
    path = tmp_path / 'w.pth'
    weights.save(path, TINY, variables)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        write_pth(path, {key: array.astype(dtype) for key, array in read_arrays(path).items()})
        loaded = weights.load(path, TINY)
        assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
        np.testing.assert_allclose(loaded['params']['fc']['kernel'], variables['params']['fc']['kernel'], rtol=1e-2)


def test_channels_come_from_the_file(tmp_path):
    fresh = jax.jit(TINY.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    for style in ('torchvision', 'native'):
        weights.save(tmp_path / 'gray.pth', TINY, fresh, style=style)
        loaded = weights.load(tmp_path / 'gray.pth', TINY)
        assert loaded['params']['conv1']['kernel'].shape == (3, 3, 1, 4)
    with pytest.raises(weights.MismatchedWeightsError, match=r'params/conv1/kernel \(3, 3, 1, 4\) for \(3, 3, 3, 4\)'):
        weights.load(tmp_path / 'gray.pth', TINY, image_shape=(32, 32, 3))


def test_partial_loads_list_every_kind(tmp_path, variables):
    path = tmp_path / 'w.pth'
    weights.save(path, TINY, variables)
    arrays = dict(read_arrays(path))
    del arrays['bn1.bias'], arrays['layer1.0.conv1.weight']
    arrays['extra.weight'] = np.zeros(3, np.float32)
    arrays['fc.weight'] = np.zeros((10, 7), np.float32)
    write_arrays(tmp_path / 'odd.safetensors', arrays)
    with pytest.raises(weights.MismatchedWeightsError) as caught:
        weights.load(tmp_path / 'odd.safetensors', TINY)
    message = str(caught.value)
    assert '2 missing: ' in message
    assert '1 unexpected: extra.weight' in message
    assert '1 mismatched: fc.weight (10, 7) for (10, 16)' in message
    assert 'odd.safetensors' in message
    assert '\n' not in message


def test_long_lists_are_capped(variables, tmp_path):
    weights.save(tmp_path / 'w.pth', TINY, variables)
    deeper = models.create('resnet', num_classes=10, depth=32, stem='cifar', width=4)
    # 12 units more, each with two convolutions and two norms of four arrays.
    with pytest.raises(weights.MismatchedWeightsError, match=r'120 missing: .* \.\.\. and 112 more'):
        weights.load(tmp_path / 'w.pth', deeper)


def test_replaced_head_is_fresh_and_said(tmp_path, variables, caplog):
    path = tmp_path / 'w.pth'
    weights.save(path, TINY, variables)
    other = models.create('resnet', num_classes=7, depth=8, stem='cifar', width=4)
    with pytest.raises(weights.MismatchedWeightsError, match='replace_head'):
        weights.load(path, other)
    with caplog.at_level(logging.WARNING):
        loaded = weights.load(path, other, replace_head=True)
    assert 'params/fc/kernel' in caplog.text
    assert loaded['params']['fc']['kernel'].shape == (16, 7)
    # PyTorch's initialisation of a dense layer: uniform within 1 / sqrt(16).
    kernel = np.asarray(loaded['params']['fc']['kernel'])
    assert 0.1 < kernel.std() < 0.25 / 3**0.5 * 1.3
    np.testing.assert_array_equal(loaded['params']['conv1']['kernel'], variables['params']['conv1']['kernel'])
    fresh = jax.jit(other.init)(jax.random.key(1), jnp.zeros((1, 32, 32, 3)))
    kept = weights.load(path, other, template=fresh, replace_head=True)
    np.testing.assert_array_equal(kept['params']['fc']['kernel'], fresh['params']['fc']['kernel'])


def test_head_of_the_same_size_is_loaded(tmp_path, variables, caplog):
    weights.save(tmp_path / 'w.pth', TINY, variables)
    assert_same(weights.load(tmp_path / 'w.pth', TINY, replace_head=True), variables)
    assert not caplog.text


def test_replace_head_spares_no_other_mismatch(tmp_path, variables):
    weights.save(tmp_path / 'w.pth', TINY, variables)
    wider = models.create('resnet', num_classes=7, depth=8, stem='cifar', width=8)
    with pytest.raises(weights.MismatchedWeightsError, match='mismatched'):
        weights.load(tmp_path / 'w.pth', wider, replace_head=True)


def test_lenient_load_takes_what_fits_and_says_the_rest(tmp_path, variables, caplog):
    weights.save(tmp_path / 'w.pth', TINY, variables)
    arrays = dict(read_arrays(tmp_path / 'w.pth'))
    del arrays['layer1.0.bn1.weight']
    arrays['extra'] = np.zeros(1)
    with caplog.at_level(logging.WARNING):
        loaded = weights.from_arrays(arrays, TINY, strict=False)
    assert 'layer1.0.bn1.weight' in caplog.text
    assert 'extra' in caplog.text
    np.testing.assert_array_equal(loaded['params']['conv2_1']['norm1']['scale'], np.ones(4))
    with pytest.raises(weights.MismatchedWeightsError):
        weights.from_arrays(arrays | {'fc.bias': np.zeros(3)}, TINY, strict=False)


def test_published_auxiliary_heads_may_go_unused():
    heads = models.create('googlenet', num_classes=5, variant='torchvision', auxiliary=True, width=1 / 16)
    plain = models.create('googlenet', num_classes=5, variant='torchvision', width=1 / 16)
    shapes = jax.eval_shape(lambda: heads.init({'params': jax.random.key(0)}, jnp.zeros((1, 64, 64, 3))))
    arrays = {e.key: np.ones(their_shape(e.shape), np.float32) for e in names.entries(heads, shapes, 'torchvision')}
    assert any(key.startswith('aux1.') for key in arrays)
    loaded = weights.from_arrays(arrays, plain)
    assert 'aux1' not in loaded['params']


def test_unknown_suffix_style_and_damaged_file(tmp_path, variables):
    with pytest.raises(ValueError, match=r'\.safetensors'):
        weights.save(tmp_path / 'w.npz', TINY, variables)
    with pytest.raises(ValueError, match='torchvision, timm, akamaster, native'):
        weights.save(tmp_path / 'w.pth', TINY, variables, style='keras')
    (tmp_path / 'w.safetensors').write_bytes(b'\x10\0\0\0\0\0\0\0{"a":')
    with pytest.raises(weights.MalformedWeightsError, match=r'w\.safetensors'):
        weights.load(tmp_path / 'w.safetensors', TINY)
    write_pth(tmp_path / 'empty.pth', {})
    with pytest.raises(weights.MalformedWeightsError, match='no named arrays'):
        weights.load(tmp_path / 'empty.pth', TINY)
    with pytest.raises(FileNotFoundError):
        weights.load(tmp_path / 'none.pth', TINY)
    with pytest.raises(ValueError, match=r'\.safetensors, \.pth'):
        weights.load(tmp_path / 'w.h5', TINY)


@pytest.mark.parametrize(('file', 'depth'), [('resnet20-12fca82f.th', 20), ('resnet56-4bfd9763.th', 56)])
def test_published_cifar_networks_classify(shared_data, file, depth):
    # Both were trained on these images: 99.8 and 100 % of a larger sample (SOURCES/cifar10_lossless4000.txt).
    with np.load(shared_data / 'cifar10_lossless' / 'cifar10_train1000_lossless.npz') as data:
        pixels, labels = data['x'][:200], data['y'][:200]
    images = (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    model = models.create('resnet', num_classes=10, depth=depth, stem='cifar')
    variables = weights.load(shared_data / 'cifar_resnets' / file, model)
    logits, _ = jax.jit(model.apply)(variables, images.astype(np.float32))
    assert np.mean(np.argmax(logits, -1) == labels) >= 0.99

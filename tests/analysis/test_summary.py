"""Summaries: published totals, rows by hand, agreement with XLA."""

import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn.analysis import summary
from cnn.models import layers


class Tiny(nn.Module):
    """Two convolutions (one of them called twice), poolings, a gate; a head that only training uses."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = layers.Conv(8, 3, 2, 1, name='conv1')(x)
        x = layers.BatchNorm(name='norm1')(x, train)
        endpoints = {'pool1': layers.max_pool(nn.relu(x), 2, 2)}
        shared = layers.Conv(8, 3, use_bias=False, name='shared')
        x = shared(shared(endpoints['pool1']))
        if train or self.is_initializing():
            layers.Dense(5, name='auxiliary')(layers.global_avg_pool(x))
        x = layers.avg_pool(x, 2, 2)
        endpoints['pre_logits'] = x = layers.global_avg_pool(x)
        return layers.Dense(10, name='fc')(x), endpoints


def test_rows_by_hand():
    result = summary.summarize(Tiny(), (2, 16, 16, 3))
    rows = {row.name: row for row in result.layers}
    # name, kind, shape, parameters, MACs of a batch of two, stride, what it sees.
    expected = [
        ('conv1', 'conv', (2, 8, 8, 8), 3 * 3 * 3 * 8 + 8, 2 * 64 * 216, 2, 3),
        ('norm1', 'batch_norm', (2, 8, 8, 8), 16, 0, 2, 3),
        ('pool1', 'max_pool', (2, 4, 4, 8), 0, 0, 4, 5),
        ('shared', 'conv', (2, 4, 4, 8), 576, 2 * 16 * 576, 4, 13),
        ('shared (2)', 'conv', (2, 4, 4, 8), 0, 2 * 16 * 576, 4, 21),
        ('avg_pool_1', 'avg_pool', (2, 2, 2, 8), 0, 0, 8, 25),
        ('pre_logits', 'global_avg_pool', (2, 8), 0, 0, None, 33),
        ('fc', 'dense', (2, 10), 90, 2 * 80, None, 33),
        ('auxiliary', 'training_only', (), 45, 0, None, None),
    ]
    assert list(rows) == [row[0] for row in expected]
    for name, kind, shape, parameters, macs, stride, sees in expected:
        row = rows[name]
        assert (row.kind, row.output_shape, row.parameters) == (kind, shape, parameters), name
        assert (row.macs, row.stride, row.receptive_field) == (macs, stride, sees), name
        assert row.activation_bytes == (4 * math.prod(shape) if shape else 0)
    assert result.parameters == 224 + 16 + 576 + 90 + 45
    assert result.macs == sum(row[4] for row in expected)
    assert result.depth == 4


def test_json_and_table():
    result = summary.summarize(Tiny(), (16, 16, 3))
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content['input_shape'] == [1, 16, 16, 3]
    assert {'parameters', 'macs', 'layers', 'activation_bytes'} <= set(content)
    keys = {'name', 'kind', 'output_shape', 'parameters', 'macs', 'stride', 'receptive_field'}
    assert all(keys <= set(row) for row in content['layers'])
    assert content['parameters'] == sum(row['parameters'] for row in content['layers'])
    assert content['xla']['agrees'] is True
    text = result.table()
    assert all(name in text for name in ('conv1', 'max_pool', 'shared (2)', 'training_only', '951'))
    assert max(map(len, text.splitlines())) <= 120


def test_long_names_still_fit():
    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x):
            return layers.Conv(3, 1, name='a_convolution_of_a_very_long_name_' * 4 + 'end')(x)

    lines = summary.summarize(Deep(), (8, 8, 3)).table().splitlines()
    assert max(map(len, lines)) <= 120
    assert 'name_end' in lines[2]


def test_wrapped_and_repeated_modules_keep_their_rows():
    class Rematerialised(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.remat(layers.Conv)(4, 3, name='kept')(x)
            return layers.Conv(4, 3, name='last', dtype=jnp.bfloat16)(x)

    first, last = summary.summarize(Rematerialised(), (8, 8, 4)).layers
    assert (first.name, first.parameters, first.macs) == ('kept', 148, 64 * 144)
    assert (last.activation_bytes, last.receptive_field) == (2 * 256, 5)


# 3x3 over 8x8, 16 -> 16 channels, stride 1; MACs by hand. The separable kinds and offsets add their own steps.
MACS = {
    'standard': 64 * 9 * 256,
    'dilated': 64 * 9 * 256,
    'transposed': 64 * 9 * 256,
    'grouped': 64 * 9 * 64,
    'pointwise': 64 * 256,
    'depthwise': 64 * 9 * 16,
    'depthwise_separable': 64 * (9 * 16 + 256),
    'spatially_separable': 64 * 6 * 256,
    'deformable': 64 * 9 * (256 + 16 * 18),
    'modulated_deformable': 64 * 9 * (256 + 16 * 27),
}


@pytest.mark.parametrize('kind', layers.CONVOLUTIONS)
def test_every_kind_of_convolution(kind):
    result = summary.summarize(layers.make_conv(kind, features=16)(), (8, 8, 16))
    assert result.macs == MACS[kind]
    assert result.check.agrees
    shown = {row.kind for row in result.layers}
    named = {'standard': 'conv', 'depthwise_separable': 'pointwise_conv', 'spatially_separable': 'conv',
             'modulated_deformable': 'deformable'}  # fmt: skip
    assert named.get(kind, f'{kind}_conv' if kind != 'deformable' else kind) in shown


# GMACs of torchvision's model metadata, rounded there to three digits; parameters to the digit (REFERENCES).
PUBLISHED = [
    ('resnet', {'depth': 18}, 11_689_512, 1.814),
    ('resnet', {'depth': 34}, 21_797_672, 3.664),
    ('resnet', {'depth': 50}, 25_557_032, 4.089),
    ('resnet', {'depth': 101}, 44_549_160, 7.801),
    ('resnet', {'depth': 152}, 60_192_808, 11.514),
    ('alexnet', {'variant': 'torchvision'}, 61_100_840, 0.714),
    ('vgg', {'variant': '11'}, 132_863_336, 7.609),
    ('vgg', {'variant': '13'}, 133_047_848, 11.308),
    ('vgg', {'variant': '16'}, 138_357_544, 15.47),
    ('vgg', {'variant': '19'}, 143_667_240, 19.632),
    ('googlenet', {'variant': 'torchvision'}, 6_624_904, 1.498),
    ('densenet', {'depth': 121}, 7_978_856, 2.834),
    ('densenet', {'depth': 169}, 14_149_480, 3.36),
    ('densenet', {'depth': 201}, 20_013_928, 4.291),
    ('densenet', {'depth': 161}, 28_681_000, 7.728),
]


@pytest.mark.parametrize(('name', 'sizes', 'parameters', 'gmacs'), PUBLISHED)
def test_published_totals(traced, name, sizes, parameters, gmacs):
    graph = traced(name, 224, **sizes)
    shallowest = sizes.get('depth') in (18, 50, 121, None)
    result = summary.of_graph(graph, check=shallowest)
    assert result.parameters == parameters
    assert round(result.macs / 1e9, 3) == gmacs
    # Networks of ordinary layers agree with XLA far better than the tolerance for index arithmetic.
    assert not shallowest or result.check.difference < 1e-4
    assert result.parameters == sum(leaf.size for leaf in jax.tree.leaves(graph.variables['params']))

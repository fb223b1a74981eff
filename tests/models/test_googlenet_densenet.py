"""GoogLeNet's heads and branches, DenseNet's growth: what their papers state beyond the counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models


def endpoints_of(name, size, train=False, **sizes):
    module = models.create(name, num_classes=10, **sizes)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    # Variables first: auxiliary heads exist at initialisation whatever the mode.
    variables = jax.eval_shape(lambda x: module.init(keys, x), images)
    apply = jax.eval_shape(
        lambda v, x: module.apply(v, x, train=train, mutable=['batch_stats'], rngs=keys)[0][1], variables, images
    )
    return apply


@pytest.mark.parametrize('variant', ['paper', 'torchvision'])
def test_googlenet_has_the_sizes_of_the_papers_table_1(variant):
    endpoints = endpoints_of('googlenet', 224, variant=variant)
    table = {
        'conv1': (112, 112, 64),
        'pool1': (56, 56, 64),
        'conv2': (56, 56, 192),
        'pool2': (28, 28, 192),
        'inception_3a': (28, 28, 256),
        'inception_3b': (28, 28, 480),
        'pool3': (14, 14, 480),
        'inception_4a': (14, 14, 512),
        'inception_4b': (14, 14, 512),
        'inception_4c': (14, 14, 512),
        'inception_4d': (14, 14, 528),
        'inception_4e': (14, 14, 832),
        'pool4': (7, 7, 832),
        'inception_5a': (7, 7, 832),
        'inception_5b': (7, 7, 1024),
    }
    assert {name: leaf.shape[1:] for name, leaf in endpoints.items() if leaf.ndim == 4} == table


def test_auxiliary_heads_speak_in_training_only_and_only_where_asked_for():
    heads = {'aux1_logits', 'aux2_logits'}
    assert heads <= endpoints_of('googlenet', 224, train=True, auxiliary=True).keys()
    assert not heads & endpoints_of('googlenet', 224, train=False, auxiliary=True).keys()
    assert not heads & endpoints_of('googlenet', 224, train=True, auxiliary=False).keys()


@pytest.mark.parametrize('depth', [121, 161])
def test_densenet_channels_grow_linearly_inside_a_block_and_halve_between(depth):
    # k0 + k l: 64 + 6 * 32 = 256, halved 128, + 12 * 32 = 512 ...; with k = 48: 96 + 6 * 48 = 384 ...
    expected = {
        121: [256, 128, 512, 256, 1024, 512, 1024],
        161: [384, 192, 768, 384, 2112, 1056, 2208],
    }[depth]
    endpoints = endpoints_of('densenet', 224, depth=depth)
    names = ['dense1', 'transition1', 'dense2', 'transition2', 'dense3', 'transition3', 'dense4']
    assert [endpoints[name].shape[-1] for name in names] == expected
    assert [endpoints[name].shape[1] for name in names] == [56, 28, 28, 14, 14, 7, 7]


def test_rematerialisation_changes_no_number():
    sizes = {'num_classes': 3, 'depth': 10, 'growth_rate': 2, 'stem': 'cifar'}
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    results = []
    for remat in (False, True):
        module = models.create('densenet', remat=remat, **sizes)
        variables = module.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct(images.shape, images.dtype))

        def loss(params, module=module, rest=variables['batch_stats']):
            (logits, _), state = module.apply(
                {'params': params, 'batch_stats': rest}, images, train=True, mutable=['batch_stats']
            )
            return jnp.square(logits).sum(), state

        results.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(variables['params']))
    for a, b in zip(*(jax.tree.leaves(r) for r in results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

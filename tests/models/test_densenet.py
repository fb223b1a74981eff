"""DenseNet: linear growth inside a block, half between, and rematerialisation that changes no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from tests.models.networks import endpoints


@pytest.mark.parametrize('depth', [121, 161])
def test_densenet_channels_grow_linearly_inside_a_block_and_halve_between(depth):
    # k0 + k l: 64 + 6 * 32 = 256, halved 128, + 12 * 32 = 512 ...; with k = 48: 96 + 6 * 48 = 384 ...
    expected = {
        121: [256, 128, 512, 256, 1024, 512, 1024],
        161: [384, 192, 768, 384, 2112, 1056, 2208],
    }[depth]
    made = endpoints('densenet', 224, depth=depth)
    names = ['dense1', 'transition1', 'dense2', 'transition2', 'dense3', 'transition3', 'dense4']
    assert [made[name].shape[-1] for name in names] == expected
    assert [made[name].shape[1] for name in names] == [56, 28, 28, 14, 14, 7, 7]


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

"""Networks as trunks: without a classifier, and with the place in the image of every endpoint's cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.analysis.receptive_field import receptive_field
from tests.models.networks import TINY, count, shapes

TRUNKS = {
    **TINY,
    'alexnet-large': ('alexnet', {'width': 0.05}, 227),
    'alexnet-torchvision-large': ('alexnet', {'width': 0.05, 'variant': 'torchvision'}, 227),
    'googlenet-large': ('googlenet', {'width': 0.05}, 97),
    'googlenet-torchvision-large': ('googlenet', {'width': 0.05, 'variant': 'torchvision'}, 97),
    'zf-large': ('zf', {'width': 0.05}, 97),
    'zf-m-large': ('zf', {'width': 0.05, 'variant': 'M'}, 97),
    'zf-spp-large': ('zf', {'width': 0.05, 'variant': 'SPP'}, 97),
    'darknet-large': ('darknet', {'width': 0.02}, 64),
    'densenet-large': ('densenet', {'growth_rate': 4}, 64),
}
# Heads of the networks, which trunks lack.
CLASSIFIERS = {'resnet': {'fc'}, 'densenet': {'fc'}, 'googlenet': {'fc'}, 'squeezenet': {'conv10'},
               'vgg': {'fc6', 'fc7', 'fc8'}, 'alexnet': {'fc6', 'fc7', 'fc8'}, 'zf': {'fc6', 'fc7', 'fc8'},
               'darknet': {'fc'}}  # fmt: skip


@pytest.mark.parametrize('case', TRUNKS)
def test_cells_lie_where_their_receptive_fields_are_centred(case):
    name, sizes, size = TRUNKS[case]
    module = models.create(name, num_classes=0, **sizes)
    fields = receptive_field(module, (size, size, 3))
    assert module.endpoint_strides.keys() == module.endpoint_offsets.keys()
    for endpoint, stride in module.endpoint_strides.items():
        assert fields[endpoint].stride == (stride, stride), endpoint
        # The window alone: a norm over groups lets every cell see the whole image besides.
        centres = [sum(axis.window.interval(0)) / 2 for axis in fields[endpoint].axes]
        assert centres == [module.endpoint_offsets[endpoint]] * 2, endpoint


def test_a_convolutional_classifier_says_where_its_cells_lie():
    module = models.create('vgg', num_classes=2, variant='11', width=0.02, classifier='conv')
    fields = receptive_field(module, (288, 288, 3))
    for endpoint, offset in module.endpoint_offsets.items():
        assert fields[endpoint].offset == (offset, offset), endpoint


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_a_trunk_lacks_the_classifier_alone(name):
    _, sizes, size = TINY[next(case for case, (network, _, _) in TINY.items() if network == name)]
    sizes = {key: value for key, value in sizes.items() if key != 'auxiliary'}
    whole, trunk = (shapes(name, num_classes=n, size=size, **sizes)['params'] for n in (3, 0))
    assert whole.keys() - trunk.keys() == CLASSIFIERS[name]
    assert count(trunk) == count({key: leaf for key, leaf in whole.items() if key not in CLASSIFIERS[name]})
    module = models.create(name, num_classes=0, **sizes)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    (output, endpoints), _ = jax.eval_shape(lambda x: module.init_with_output(jax.random.key(0), x), images)
    assert 'logits' not in endpoints
    assert output.shape[:3] == (1, *(np.array([size, size]) // max(module.endpoint_strides.values())))

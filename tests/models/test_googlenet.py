"""GoogLeNet: the sizes of the paper's table, and heads that speak in training only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from tests.models.networks import endpoints


@pytest.mark.parametrize('variant', ['paper', 'torchvision'])
def test_googlenet_has_the_sizes_of_the_papers_table_1(variant):
    made = endpoints('googlenet', 224, variant=variant)
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
    assert {name: leaf.shape[1:] for name, leaf in made.items() if leaf.ndim == 4} == table


def test_auxiliary_heads_speak_in_training_only_and_only_where_asked_for():
    heads = {'aux1_logits', 'aux2_logits'}
    assert heads <= endpoints('googlenet', 224, train=True, auxiliary=True).keys()
    assert not heads & endpoints('googlenet', 224, train=False, auxiliary=True).keys()
    assert not heads & endpoints('googlenet', 224, train=True, auxiliary=False).keys()


def test_biases_are_the_releases():
    """bvlc_googlenet: 0.2 but in the classifiers."""
    module = models.create('googlenet', num_classes=4, width=1 / 16, auxiliary=True)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = module.lazy_init(jax.random.key(0), images)['params']
    biases = {name: float(np.unique(params[head][name]['bias']).item()) for head in ('aux1', 'aux2')
              for name in ('conv', 'fc1', 'fc2')}  # fmt: skip
    assert biases == pytest.approx({'conv': 0.2, 'fc1': 0.2, 'fc2': 0})
    assert float(params['fc']['bias'].max()) == 0


def test_response_normalisation_is_there_unless_another_norm_is_or_as_asked_for():
    found = {(norm, lrn): models.create('googlenet', num_classes=4, norm=norm, lrn=lrn).lrn
             for norm in ('none', 'batch') for lrn in ('', 'paper', 'none')}  # fmt: skip
    assert found == {('none', ''): True, ('none', 'paper'): True, ('none', 'none'): False,
                     ('batch', ''): False, ('batch', 'paper'): True, ('batch', 'none'): False}  # fmt: skip
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        models.create('googlenet', num_classes=4, lrn='papers')

"""A classifier's weights give YOLO its trunk: darknet's own pretraining net, and torchvision's files of any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn import models, weights
from cnn.models import detectors

SIZE = 32


def made(module, seed):
    """Variables of distinct numbers, without running the network."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3))))
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(tree, [rng.uniform(0.5, 1, leaf.shape).astype(np.float32) for leaf in leaves])


@pytest.mark.parametrize(
    ('trunk', 'sizes', 'style'),
    [
        ('darknet', {'variant': 'tiny', 'width': 0.05, 'stages': 5, 'norm': 'batch'}, 'native'),
        ('resnet', {'depth': 18, 'width': 4}, 'torchvision'),
        ('resnet', {'depth': 18, 'width': 4}, 'native'),
        ('vgg', {'variant': '11', 'width': 0.02, 'norm': 'batch'}, 'torchvision'),
    ],
)
def test_the_trunk_is_the_classifiers_and_the_head_stays(tmp_path, trunk, sizes, style):
    source = models.create(trunk, num_classes=7, **sizes)
    given = made(source, 0)
    weights.save(tmp_path / 'classifier.safetensors', source, given, style=style)
    own = {'trunk_variant' if key == 'variant' else key: value for key, value in sizes.items()}
    module = detectors.create('yolo', num_classes=3, trunk=trunk, variant='small', **{'norm': 'batch'} | own)
    template = made(module, 1)
    found = weights.load(tmp_path / 'classifier.safetensors', module, template=template, replace_head=True)
    for kind in ('params', 'batch_stats'):
        trunk_found, theirs = flatten_dict(found[kind]['trunk']), flatten_dict(given[kind])
        assert len(trunk_found) > 4
        for path, leaf in trunk_found.items():
            np.testing.assert_array_equal(leaf, theirs[path], err_msg=str(path))
        for path, leaf in flatten_dict(template[kind]['head']).items():
            np.testing.assert_array_equal(flatten_dict(found[kind]['head'])[path], leaf)


def test_another_trunk_is_refused_by_name(tmp_path):
    source = models.create('resnet', num_classes=7, depth=18, width=4)
    weights.save(tmp_path / 'classifier.safetensors', source, made(source, 0), style='native')
    module = detectors.create('yolo', num_classes=3, trunk='resnet', depth=18, width=8, variant='small', norm='batch')
    with pytest.raises(weights.MismatchedWeightsError, match='mismatched'):
        weights.load(tmp_path / 'classifier.safetensors', module, template=made(module, 1), replace_head=True)

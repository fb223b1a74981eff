"""What the tests of networks share: shapes without numbers, parameter counts, and a tiny net of every variant."""

import functools

import jax
import jax.numpy as jnp

from cnn import models


def shapes(name: str, *, num_classes: int = 1000, size: int = 224, **sizes):
    """The variables' shapes of a network for images of `size` pixels, without computing anything."""
    module = models.create(name, num_classes=num_classes, **sizes)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), images)


def count(tree) -> int:
    """Numbers in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def parameters(name: str, **sizes) -> int:
    """Trainable parameters; running statistics are not among them."""
    return count(shapes(name, **sizes)['params'])


def endpoints(name: str, size: int, train: bool = False, **sizes):
    """The endpoints' shapes of a network of ten classes for images of `size` pixels."""
    module = models.create(name, num_classes=10, **sizes)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    # Variables first: auxiliary heads exist at initialisation whatever the mode.
    variables = jax.eval_shape(lambda x: module.init(keys, x), images)

    def apply(variables, images):
        return module.apply(variables, images, train=train, mutable=['batch_stats'], rngs=keys)[0][1]

    return jax.eval_shape(apply, variables, images)


# Every network and variant, small enough to differentiate in a moment: (name, sizes, image size). Options that do not
# touch each other share a net.
CIFAR = {'stem': 'cifar', 'width': 4, 'depth': 8}
SMALL = {'stem': 'small', 'width': 0.1}
TINY = {
    'resnet': ('resnet', CIFAR, 16),
    'resnet-imagenet': ('resnet', {'depth': 18, 'width': 4}, 64),
    'resnet-plain': ('resnet', CIFAR | {'residual': False}, 16),
    'resnet-bn_after_add-c': ('resnet', CIFAR | {'order': 'bn_after_add', 'shortcut': 'C'}, 16),
    'resnet-relu_before_add-dilated': ('resnet', CIFAR | {'order': 'relu_before_add', 'output_stride': 2}, 16),
    'resnet-relu_only_preact-b': ('resnet', CIFAR | {'order': 'relu_only_preact', 'shortcut': 'B'}, 16),
    'resnet-full_preact-bottleneck-b': (
        'resnet',
        CIFAR | {'order': 'full_preact', 'shortcut': 'B', 'depth': 11, 'bottleneck': True, 'stride_on': '1x1'},
        16,
    ),
    'resnet-no-norm': ('resnet', CIFAR | {'norm': 'none'}, 16),
    'resnet-group-norm': ('resnet', CIFAR | {'norm': 'group'}, 16),
    'alexnet': ('alexnet', SMALL | {'width': 0.05}, 28),
    'alexnet-torchvision': (
        'alexnet',
        SMALL | {'width': 0.05, 'variant': 'torchvision', 'overlapping': False},
        28,
    ),
    'vgg-11': ('vgg', SMALL | {'variant': '11'}, 32),
    'vgg-c-lrn': ('vgg', SMALL | {'variant': 'C', 'lrn': True}, 32),
    'vgg-bn-conv': ('vgg', SMALL | {'variant': '11', 'batch_norm': True, 'classifier': 'conv'}, 32),
    'googlenet': ('googlenet', SMALL | {'auxiliary': True, 'norm': 'none'}, 32),
    'googlenet-torchvision': ('googlenet', SMALL | {'variant': 'torchvision'}, 32),
    'squeezenet': ('squeezenet', SMALL, 28),
    'squeezenet-paper-linear': ('squeezenet', SMALL | {'variant': '1.0', 'stem': 'imagenet', 'relu_last': False}, 48),
    'zf': ('zf', SMALL, 32),
    'zf-m': ('zf', SMALL | {'variant': 'M'}, 32),
    'darknet': ('darknet', SMALL | {'width': 0.05}, 32),
    'densenet-bc': ('densenet', {'depth': 10, 'growth_rate': 4, 'stem': 'cifar'}, 16),
    'densenet-plain': ('densenet', {'depth': 7, 'growth_rate': 4, 'stem': 'cifar', 'bottleneck': False}, 16),
    'densenet-remat-no-norm': (
        'densenet',
        {'depth': 10, 'growth_rate': 4, 'stem': 'cifar', 'remat': True, 'norm': 'none'},
        16,
    ),
}

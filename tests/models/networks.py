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


# Every network and variant, small enough to differentiate in a moment: (name, sizes, image size).
TINY = {
    'resnet-cifar': ('resnet', {'depth': 8, 'stem': 'cifar', 'width': 4}, 16),
    'resnet-imagenet': ('resnet', {'depth': 18, 'width': 4}, 64),
    'resnet-bottleneck': ('resnet', {'depth': 11, 'stem': 'cifar', 'width': 4, 'bottleneck': True}, 16),
    'resnet-plain': ('resnet', {'depth': 8, 'stem': 'cifar', 'width': 4, 'residual': False}, 16),
    'resnet-projections': ('resnet', {'depth': 8, 'stem': 'cifar', 'width': 4, 'shortcut': 'C'}, 16),
    'resnet-dilated': ('resnet', {'depth': 8, 'stem': 'cifar', 'width': 4, 'output_stride': 2}, 16),
    'alexnet-towers': ('alexnet', {'stem': 'small', 'width': 0.05}, 28),
    'alexnet-single': ('alexnet', {'stem': 'small', 'width': 0.05, 'towers': 1, 'overlapping': False}, 28),
    'alexnet-torchvision': ('alexnet', {'stem': 'small', 'width': 0.05, 'variant': 'torchvision'}, 28),
    'vgg-11': ('vgg', {'variant': '11', 'stem': 'small', 'width': 0.1}, 32),
    'vgg-c-lrn': ('vgg', {'variant': 'C', 'stem': 'small', 'width': 0.1, 'lrn': True}, 32),
    'vgg-bn': ('vgg', {'variant': '11', 'stem': 'small', 'width': 0.1, 'batch_norm': True}, 32),
    'vgg-conv': ('vgg', {'variant': '11', 'stem': 'small', 'width': 0.1, 'classifier': 'conv'}, 32),
    'googlenet-paper': ('googlenet', {'stem': 'small', 'width': 0.1, 'auxiliary': True}, 32),
    'googlenet-torchvision': ('googlenet', {'variant': 'torchvision', 'stem': 'small', 'width': 0.1}, 32),
    'densenet-bc': ('densenet', {'depth': 10, 'growth_rate': 4, 'stem': 'cifar'}, 16),
    'densenet-plain': ('densenet', {'depth': 7, 'growth_rate': 4, 'stem': 'cifar', 'bottleneck': False}, 16),
    'densenet-remat': ('densenet', {'depth': 10, 'growth_rate': 4, 'stem': 'cifar', 'remat': True}, 16),
}
TINY |= {
    f'resnet-{order}': ('resnet', {'depth': 8, 'stem': 'cifar', 'width': 4, 'order': order, 'shortcut': 'B'}, 16)
    for order in ('bn_after_add', 'relu_before_add', 'relu_only_preact', 'full_preact')
}
TINY |= {
    f'{name}-{norm}': (name, sizes | {'norm': norm}, size)
    for norm in ('group', 'none')
    for name, sizes, size in (TINY['resnet-cifar'], TINY['densenet-bc'])
}

"""AlexNet's two towers on two devices, which talk only where the paper's did: before conv3 and the dense layers.

The variables are those of the grouped net, laid over the devices by `tower_specs`: nothing is converted, and both ways
of running give the same outputs and gradients.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from cnn.models import initializers
from cnn.models.alexnet import AlexNet

AXIS = 'tower'
# Before these layers the towers exchange their outputs.
CROSSING = ('conv3', 'fc6', 'fc7')


class Tower(AlexNet):
    """One half of the net, inside a mapped axis `AXIS` of size two."""

    def _share(self, features: int) -> int:
        return features // 2

    def _exchange(self, name: str, x: jax.Array) -> jax.Array:
        return lax.all_gather(x, AXIS, axis=x.ndim - 1, tiled=True) if name in CROSSING else x

    def _classify(self, x: jax.Array) -> jax.Array:
        return _SharedDense(self.num_classes, name='fc8')(x)


class _SharedDense(nn.Module):
    """fc8 with its inputs spread over the towers: each multiplies its half, and the halves are summed."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param('kernel', initializers.zeros, (x.shape[-1], self.features), jnp.float32)
        bias = self.param('bias', initializers.zeros, (self.features,), jnp.float32)
        return lax.psum(x @ kernel, AXIS) + bias


def tower_specs(params: dict[str, Any]) -> dict[str, Any]:
    """How the grouped net's parameters lie over the axis: outputs halved, fc8's inputs halved, its bias whole."""
    specs = jax.tree.map(lambda leaf: P(*[None] * (leaf.ndim - 1), AXIS), params)
    return specs | {'fc8': {'kernel': P(AXIS, None), 'bias': P()}}


def two_device_apply(model: AlexNet, devices: list[jax.Device]) -> Callable:
    """`apply(variables, images, train=False, key=None) -> (logits, endpoints)` of `model`, a tower on each device.

    Equal to `model.apply` but for the dropout draws, which `key` gives each tower of its own. Differentiable; jit it.

    Raises:
      ValueError: unless the model has two towers whose normalisation stays within each, and there are two devices.
    """
    if model.towers != 2 or model.lrn == 'caffe':
        raise ValueError("two devices need a net of towers=2 with lrn='paper' or 'none' (Caffe's crosses the towers)")
    if len(devices) != 2:
        raise ValueError(f'two towers need two devices, got {len(devices)}')
    mesh = Mesh(devices, (AXIS,))
    fields = {name: getattr(model, name) for name in AlexNet.__dataclass_fields__ if name not in ('parent', 'name')}
    tower = Tower(**fields | {'towers': 1})

    def apply(variables, images, train: bool = False, key: jax.Array | None = None):
        def run(params, images, key):
            rngs = {'dropout': jax.random.fold_in(key, lax.axis_index(AXIS))} if train else {}
            return tower.apply({'params': params}, images, train=train, rngs=rngs)

        shapes = jax.eval_shape(lambda: model.apply(variables, images)[1])
        endpoints = {name: P(*[None] * (leaf.ndim - 1), AXIS) for name, leaf in shapes.items()} | {'logits': P()}
        in_specs = (tower_specs(variables['params']), P(), P())
        # Unchecked: foreign calls inside (the CPU's convolutions) do not say along which axes their results vary.
        sharded = jax.shard_map(run, mesh=mesh, in_specs=in_specs, out_specs=(P(), endpoints), check_vma=False)
        return sharded(variables['params'], images, jax.random.key(0) if key is None else key)

    return apply

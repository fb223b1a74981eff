"""First values of parameters, drawn on the host.

Flax's own initialisers compile a random kernel for every parameter shape, which costs XLA's CPU backend 1.5 s each:
more than a minute for GoogLeNet before anything has started. These draw with NumPy's Philox from the parameter's JAX
key: the same values on every backend, inside `jit` or not, and nothing to compile. They are called as Flax calls its
own, `initializer(key, shape, dtype)`.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Initializer = Callable[..., jax.Array]

zeros, ones, constant = nn.initializers.zeros, nn.initializers.ones, nn.initializers.constant


def _drawn(sample: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Initializer:
    """The initialiser that calls `sample(generator, shape)` with a generator seeded by the key."""

    def initializer(key: jax.Array, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
        shape = tuple(shape)

        def draw(data) -> np.ndarray:
            data = np.asarray(data)
            seeds = data.reshape(-1, data.shape[-1]).tolist()
            values = [sample(np.random.Generator(np.random.Philox(seed)), shape) for seed in seeds]
            return np.stack(values).reshape(*data.shape[:-1], *shape).astype(np.float32)

        data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        if isinstance(data, jax.core.Tracer):
            result = jax.ShapeDtypeStruct(shape, jnp.float32)
            return jax.pure_callback(draw, result, data, vmap_method='expand_dims').astype(dtype)
        return jnp.asarray(draw(data), dtype)

    return initializer


def normal(deviation: float) -> Initializer:
    """Normal of mean zero."""
    return _drawn(lambda generator, shape: deviation * generator.standard_normal(shape, np.float32))


def uniform(bound: float) -> Initializer:
    """Uniform from -bound to bound."""
    return _drawn(lambda generator, shape: bound * (2 * generator.random(shape, np.float32) - 1))


def variance_scaling(scale: float, mode: str, distribution: str) -> Initializer:
    """Variance `scale` / fan, for `mode` 'fan_in' or 'fan_out', 'normal' or 'uniform'.

    Of a kernel `[..., inputs, outputs]` the fans are inputs and outputs times the window.
    """

    def initializer(key: jax.Array, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
        fan = math.prod(shape[:-2]) * shape[-2 if mode == 'fan_in' else -1]
        deviation = math.sqrt(scale / max(fan, 1))
        draw = normal(deviation) if distribution == 'normal' else uniform(math.sqrt(3) * deviation)
        return draw(key, shape, dtype)

    return initializer


# He et al. 2015 (arXiv:1502.01852); fan-out as in torchvision's ResNet.
he_fan_in = variance_scaling(2.0, 'fan_in', 'normal')
he_fan_out = variance_scaling(2.0, 'fan_out', 'normal')
# Glorot and Bengio 2010 as Caffe's 'xavier' has it, by the fan-in alone.
caffe_xavier = variance_scaling(1.0, 'fan_in', 'uniform')
# Uniform within 1 / sqrt(fan_in): PyTorch's default for the kernels of convolutions and dense layers.
torch_uniform = variance_scaling(1 / 3, 'fan_in', 'uniform')


def torch_default(fan_in: int) -> dict[str, Initializer]:
    """PyTorch's default for a layer of this fan-in: kernel and bias uniform within 1 / sqrt(fan_in)."""
    return {'kernel_init': torch_uniform, 'bias_init': uniform(1 / math.sqrt(fan_in))}

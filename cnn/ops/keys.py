"""Random keys: derived from a key and a name or a row, never stored.

One key per step is the same on every device; what is drawn for an example depends on its row in the global batch alone,
so a run on four devices sees the images that a run on one device sees.
"""

import zlib

import jax
import jax.numpy as jnp


def stream(key: jax.Array, name: str) -> jax.Array:
    """A key of its own for the purpose `name`; two names do not share random numbers."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)


def per_example(key: jax.Array, row: jax.Array) -> jax.Array:
    """A key for each example, `[B]`, from its row int32 `[B]` in the global batch."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, row)


def uniforms(key: jax.Array, row: jax.Array, count: int) -> jax.Array:
    """`count` numbers in [0, 1) for each example: float32 `[B, count]`."""
    return jax.vmap(lambda k: jax.random.uniform(k, (count,), jnp.float32))(per_example(key, row))


def normals(key: jax.Array, row: jax.Array, count: int) -> jax.Array:
    """`count` standard normal numbers for each example: float32 `[B, count]`."""
    return jax.vmap(lambda k: jax.random.normal(k, (count,), jnp.float32))(per_example(key, row))

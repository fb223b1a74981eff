"""Parallelism behind one seam, and the only file that names `jax.pmap`.

*Replicas*: one model on every device, the global batch split over them, sums reduced over the named axis `batch`. The
state is placed replicated once by a `NamedSharding`, so the step compiles once and nothing is ever unreplicated; with
several processes each feeds its own rows. One device needs no axis, and plain `jit` dispatches ten times faster there.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = 'batch'


def psum(tree: Any, axis_name: str | None) -> Any:
    """Sums a pytree over the replicas; the identity where there is one."""
    return tree if axis_name is None else lax.psum(tree, axis_name)


def pmean(tree: Any, axis_name: str | None) -> Any:
    """Averages a pytree over the replicas; the identity where there is one."""
    return tree if axis_name is None else lax.pmean(tree, axis_name)


def gather_rows(tree: Any, axis_name: str | None) -> Any:
    """Joins every replica's rows `[b, ...]` to the global batch `[B, ...]`, in the order of the rows."""
    return tree if axis_name is None else lax.all_gather(tree, axis_name, tiled=True)


class Replicas:
    """The devices that share one model.

    Args:
      device_count: how many of this process's devices take part; 0 for all of them.
      compiler_options: for what is compiled on one device; several take none.

    Raises:
      ValueError: where fewer devices are at hand, or several processes are not to use all of theirs.
    """

    members = None  # one model; `members.Members` says how many

    def __init__(self, device_count: int = 0, compiler_options: dict[str, Any] | None = None):
        self._compiler_options = compiler_options
        local = jax.local_devices()
        if device_count > len(local):
            raise ValueError(f'devices={device_count}, but there are {len(local)}; set config.devices to 0 for all')
        if jax.process_count() > 1 and device_count not in (0, len(local)):
            raise ValueError('with several processes every local device takes part; set config.devices to 0')
        self.local_devices = local[: device_count or len(local)]
        self.process_index, self.process_count = jax.process_index(), jax.process_count()
        self.count = len(self.local_devices) * self.process_count
        self.axis_name = AXIS if self.count > 1 else None
        devices = jax.devices() if self.process_count > 1 else self.local_devices
        self._replicated = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec())
        # Un-awaited collectives deadlock XLA's virtual CPU devices after some hundred steps (JAX 0.10).
        self._block = self.axis_name is not None and local[0].platform == 'cpu'

    def check_batch(self, batch_size: int, what: str = 'batch_size', parts: int = 1) -> None:
        """Raises a one-line ValueError unless `batch_size` divides over the devices, and each share into `parts`."""
        unit = self.count * parts
        if batch_size % unit:
            below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
            pieces = f'{self.count} devices' + (f' x {parts} accumulated parts' if parts > 1 else '')
            near = f'{below} or {above}' if below else f'{above}'
            raise ValueError(f'{what}={batch_size} does not divide over {pieces}; use {near}')

    def replicate(self, tree: Any) -> Any:
        """Places a host pytree on every device; what was on devices is copied, so that donation cannot free it."""
        if self.axis_name is None:
            return jax.device_put(jax.tree.map(jnp.array, tree), self.local_devices[0])
        if self.process_count == 1:
            return jax.device_put(self.to_host(tree), self._replicated)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self._replicated, x, x.shape), self.to_host(tree)
        )

    # A model's own state and what models share lie alike here; for `members.Members` they do not.
    place = replicate

    def shard(self, batch: Any) -> Any:
        """Splits this process's rows over its devices: `[b, ...] -> [devices, b / devices, ...]`, or as they are."""
        if self.axis_name is None:
            return batch
        count = len(self.local_devices)
        return jax.tree.map(lambda x: x.reshape(count, x.shape[0] // count, *x.shape[1:]), batch)

    def shard_steps(self, batches: Any) -> Any:
        """`[steps, b, ...] -> [devices, steps, b / devices, ...]`: several steps' batches for one dispatch."""
        if self.axis_name is None:
            return batches
        count = len(self.local_devices)

        def split(x):
            return np.moveaxis(x.reshape(x.shape[0], count, x.shape[1] // count, *x.shape[2:]), 1, 0)

        return jax.tree.map(split, batches)

    @staticmethod
    def to_host(tree: Any) -> Any:
        """NumPy copies of a replicated pytree, read from this process's first device."""

        def read(x):
            # Indexing or `device_get` of a replicated array gathers; its first shard is already the whole.
            return np.array(x.addressable_shards[0].data) if isinstance(x, jax.Array) else np.asarray(x)

        return jax.tree.map(read, tree)

    def compile(
        self,
        function: Callable,
        *,
        batched: tuple[int, ...],
        arguments: int,
        donate: tuple[int, ...] = (),
        shared: tuple[int, ...] = (),
    ):
        """Compiles `function(*arguments)` over the replicas; its outputs are equal on all of them.

        Args:
          batched: positions of the arguments made by `shard`; the others are replicated.
          arguments: how many there are.
          donate: positions whose buffers the outputs may take.
          shared: of no meaning here, where there is one model.
        """
        if self.axis_name is None:
            return jax.jit(function, donate_argnums=donate, compiler_options=self._compiler_options)
        in_axes = tuple(0 if i in batched else None for i in range(arguments))
        devices = None if self.process_count > 1 else self.local_devices
        compiled = mapped(function, in_axes=in_axes, out_axes=None, donate=donate, devices=devices, axis_name=AXIS)
        return compiled if not self._block else lambda *args: jax.block_until_ready(compiled(*args))


def mapped(function: Callable, *, in_axes, out_axes, donate=(), devices=None, axis_name: str | None = None):
    """`function` on each device with its part of the arguments: the one place where pmap is named."""
    names = {} if axis_name is None else {'axis_name': axis_name}
    return jax.pmap(function, in_axes=in_axes, out_axes=out_axes, donate_argnums=donate, devices=devices, **names)

"""Several models at once: folds, seeds or settings on a leading axis, stacked on a device and spread over devices.

`Members` has the same doors as `parallel.Replicas`, so that the loop and the experiments need not know which of the two
they hold. What belongs to a model (state, batch, key, settings) carries the axis `[E, ...]` on the host; what all share
(the resident data) does not. Members never talk to each other: no collective, no shared randomness.

A stacked step is either `vmap`, which turns convolutions into grouped ones, or the members' steps side by side in one
program. XLA's CPU runs a grouped convolution's gradient ten to forty times slower, so there they stand side by side.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnn.training import parallel

AXIS = 'members'
FORMS = ('vmap', 'unrolled')


class Members:
    """The devices that train `members` models at once.

    Args:
      members: how many models, E.
      device_count: devices that they are spread over, each taking E / device_count of them, rounded up.
      form: how those on one device share a program: 'vmap', 'unrolled', or 'auto' for the better on this backend.
      compiler_options: for what is compiled on one device; several take none.

    Raises:
      ValueError: for no members, more devices than there are, an unknown form, or several processes.
    """

    axis_name = None  # each model's batch lies on one device
    count = 1
    process_index, process_count = 0, 1

    def __init__(
        self, members: int, *, device_count: int = 1, form: str = 'auto', compiler_options: dict[str, Any] | None = None
    ):
        local = jax.local_devices()
        if members < 1 or not 1 <= device_count <= len(local):
            raise ValueError(f'{members} members on {device_count} devices; there are {len(local)} devices')
        if form not in ('auto', *FORMS):
            raise ValueError(f'members are stacked by {form!r}; there are {", ".join(FORMS)}')
        if jax.process_count() > 1:
            raise ValueError('members live in one process; with several, set config.folds.layout=sequential')
        self.members = members
        self.local_devices = local[:device_count]
        self.form = form if form != 'auto' else 'unrolled' if local[0].platform == 'cpu' else 'vmap'
        self._compiler_options = compiler_options
        self._each = -(-members // device_count)
        mesh = Mesh(np.array(self.local_devices), (AXIS,))
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._whole = NamedSharding(mesh, PartitionSpec())

    @property
    def spread(self) -> bool:
        """Whether several devices take part."""
        return len(self.local_devices) > 1

    def check_batch(self, batch_size: int, what: str = 'batch_size', parts: int = 1) -> None:
        """Raises a one-line ValueError unless a member's batch divides into `parts`."""
        if batch_size % parts:
            raise ValueError(f'{what}={batch_size} does not divide into {parts} accumulated parts')

    def replicate(self, tree: Any) -> Any:
        """Places what all members share on every device."""
        tree = jax.tree.map(jnp.array, tree)
        return jax.device_put(tree, self._whole if self.spread else self.local_devices[0])

    def place(self, tree: Any) -> Any:
        """Places a host tree `[E, ...]`, each member's part where it is trained; always a copy."""
        if not self.spread:
            return jax.device_put(jax.tree.map(jnp.array, tree), self.local_devices[0])
        return jax.device_put(self.shard(self.to_host(tree)), self._split)

    def shard(self, batch: Any) -> Any:
        """`[E, ...]` as the compiled function takes it: `[devices, members on each, ...]`, or as it is on one."""
        if not self.spread:
            return batch
        padding = self._each * len(self.local_devices) - self.members

        def split(x):
            # Where E does not divide, the last member is trained more than once, and once kept.
            x = np.concatenate([x, np.repeat(x[-1:], padding, 0)]) if padding else np.asarray(x)
            return x.reshape(len(self.local_devices), self._each, *x.shape[1:])

        return jax.tree.map(split, batch)

    def shard_steps(self, batches: Any) -> Any:
        """`[steps, E, ...]`: several steps' batches for one dispatch."""
        return self.shard(jax.tree.map(lambda x: np.moveaxis(x, 0, 1), batches))

    def to_host(self, tree: Any) -> Any:
        """NumPy copies `[E, ...]` of what carries the members' axis."""

        def read(x):
            placed = isinstance(x, jax.Array) and self.spread
            array = np.array(x)
            return array.reshape(-1, *array.shape[2:])[: self.members] if placed else array

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
        """Compiles `function`, written for one model, for all of them.

        Args:
          batched: of no meaning here: a member's batch is not divided.
          arguments: how many there are; all but those at `shared` carry the members' axis, as do the results.
          donate: positions whose buffers the outputs may take.
        """
        axes = tuple(None if i in shared else 0 for i in range(arguments))
        stacked = jax.vmap(function, in_axes=axes) if self.form == 'vmap' else _side_by_side(function, axes, self._each)
        if not self.spread:
            return jax.jit(stacked, donate_argnums=donate, compiler_options=self._compiler_options)
        return parallel.mapped(stacked, in_axes=axes, out_axes=0, donate=donate, devices=self.local_devices)


def _side_by_side(function: Callable, axes: tuple[int | None, ...], members: int) -> Callable:
    """As `vmap(function, in_axes=axes)`, with each member's operations its own."""

    def run(*arguments):
        results = []
        for e in range(members):
            own = [
                x if axis is None else jax.tree.map(lambda leaf, e=e: leaf[e], x)
                for x, axis in zip(arguments, axes, strict=True)
            ]
            results.append(function(*own))
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return run

"""Whether a run has several processes, by its flags or by what the cluster says, and how they find each other."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnn.experiments.errors import UserError

# Modes in which several processes are one run; in the others each process that a cluster starts is a run of its own,
# as the workers of a sweep are, unless flags say otherwise.
TOGETHER = ('train', 'evaluate')
# What a cluster sets for each process that it starts, when it starts several: (of whom, variable, whether it says so).
SIGNS = (
    ('JAX_COORDINATOR_ADDRESS', 'JAX_COORDINATOR_ADDRESS', bool),
    ('SLURM', 'SLURM_STEP_NUM_TASKS', lambda text: text.isdigit() and int(text) > 1),
    ('Open MPI', 'OMPI_COMM_WORLD_SIZE', lambda text: text.isdigit() and int(text) > 1),
    ('the TPU pod', 'TPU_WORKER_HOSTNAMES', lambda text: ',' in text),
)


class Cluster(NamedTuple):
    """The processes of one run.

    Attributes:
      coordinator: host:port of process 0; '' where JAX finds it.
      count, index: how many there are and which this is; None where JAX finds them.
      heartbeat: seconds without a sign of life after which a process counts as gone.
      patience: seconds that the first to come wait for the last.
      told_by: who says that there are several.
    """

    coordinator: str
    count: int | None
    index: int | None
    heartbeat: int
    patience: int
    told_by: str

    def name(self) -> str:
        """`process 1 of 2`, as far as it is known."""
        if self.index is None:
            return 'this process'
        return f'process {self.index}' + (f' of {self.count}' if self.count else '')


def of(flags: Any, environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """The cluster that the flags or the environment tell of; None for a run of one process.

    Raises:
      UserError: flags that contradict each other, or are out of range.
    """
    if flags.heartbeat_seconds < 2 or flags.join_seconds < 1:
        raise UserError('--heartbeat_seconds must be at least 2, --join_seconds at least 1')
    waits = flags.heartbeat_seconds, flags.join_seconds
    if flags.coordinator in ('', 'none'):
        if flags.process_count != 1:
            raise UserError('--process_count needs --coordinator=HOST:PORT of process 0')
        told_by = '' if flags.coordinator or flags.mode not in TOGETHER else _told_by(environment)
        return _by_environment(environment, waits, told_by) if told_by else None
    if flags.coordinator == 'auto':
        return _by_environment(environment, waits, _told_by(environment) or '--coordinator=auto')
    if not re.fullmatch(r'.+:\d+', flags.coordinator):
        raise UserError(f'--coordinator={flags.coordinator} is not HOST:PORT, auto or none')
    if not 0 <= flags.process_id < flags.process_count:
        raise UserError(f'--process_id={flags.process_id} must lie in 0..{flags.process_count - 1}')
    return Cluster(flags.coordinator, flags.process_count, flags.process_id, *waits, 'the flags')


def _told_by(environment: Mapping[str, str]) -> str:
    return next((who for who, name, several in SIGNS if several(environment.get(name, ''))), '')


def _by_environment(environment: Mapping[str, str], waits: tuple[int, int], told_by: str) -> Cluster:
    def number(*names: str) -> int | None:
        return next((int(environment[n]) for n in names if environment.get(n, '').isdigit()), None)

    address = environment.get('JAX_COORDINATOR_ADDRESS', '')
    count = number('JAX_NUM_PROCESSES', 'SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
    index = number('JAX_PROCESS_ID', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', 'TPU_WORKER_ID')
    return Cluster(address, count, index, *waits, told_by)


def join(cluster: Cluster) -> None:
    """Meets the other processes, before JAX looks at the devices.

    Raises:
      UserError: JAX finds no coordinator, number of processes or number of this one.
    """
    import jax

    found = {'coordinator_address': cluster.coordinator or None, 'num_processes': cluster.count,
             'process_id': cluster.index}  # fmt: skip
    if not cluster.coordinator:
        # JAX reads all three together where the cluster is one that it knows.
        found = {}
    try:
        jax.distributed.initialize(
            **found, heartbeat_timeout_seconds=cluster.heartbeat, initialization_timeout=cluster.patience
        )
    except ValueError as error:
        raise UserError(
            f'{cluster.told_by}: no way to the other processes is found ({error}); give --coordinator=HOST:PORT, '
            '--process_count and --process_id'
        ) from None

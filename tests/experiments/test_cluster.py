"""Which runs have several processes, by flags and by what clusters set."""

import types

import pytest

from cnn.experiments import cluster
from cnn.experiments.errors import UserError

SLURM = {'SLURM_STEP_NUM_TASKS': '4', 'SLURM_PROCID': '3', 'SLURM_JOB_ID': '7'}


def flags(**given):
    usual = {'coordinator': '', 'process_count': 1, 'process_id': 0, 'mode': 'train', 'heartbeat_seconds': 100,
             'join_seconds': 300}  # fmt: skip
    return types.SimpleNamespace(**usual | given)


def test_one_process_is_no_cluster():
    assert cluster.of(flags(), {}) is None
    # `salloc` and a step of one task set these too.
    assert cluster.of(flags(), {**SLURM, 'SLURM_STEP_NUM_TASKS': '1'}) is None
    assert cluster.of(flags(), {'TPU_WORKER_HOSTNAMES': 'localhost'}) is None


def test_flags_say_all_of_it():
    found = cluster.of(flags(coordinator='host0:1234', process_count=2, process_id=1, heartbeat_seconds=9), SLURM)
    assert found == cluster.Cluster('host0:1234', 2, 1, 9, 300, 'the flags')
    assert found.name() == 'process 1 of 2'


@pytest.mark.parametrize(
    ('environment', 'coordinator', 'count', 'index', 'told_by'),
    [
        (SLURM, '', 4, 3, 'SLURM'),
        ({'OMPI_COMM_WORLD_SIZE': '2', 'OMPI_COMM_WORLD_RANK': '0'}, '', 2, 0, 'Open MPI'),
        ({'TPU_WORKER_HOSTNAMES': 'a,b', 'TPU_WORKER_ID': '1'}, '', None, 1, 'the TPU pod'),
        (
            {'JAX_COORDINATOR_ADDRESS': 'h:1', 'JAX_NUM_PROCESSES': '2', 'JAX_PROCESS_ID': '1'}, 'h:1', 2, 1,
            'JAX_COORDINATOR_ADDRESS',
        ),
    ],
)  # fmt: skip
def test_the_environment_says_so_in_training_and_evaluation(environment, coordinator, count, index, told_by):
    for mode in ('train', 'evaluate'):
        found = cluster.of(flags(mode=mode), environment)
        assert (found.coordinator, found.count, found.index, found.told_by) == (coordinator, count, index, told_by)
    # A sweep's workers under srun are many runs; flags can say otherwise, and a user can say no.
    assert cluster.of(flags(mode='sweep'), environment) is None
    assert cluster.of(flags(mode='sweep', coordinator='auto'), environment).told_by == told_by
    assert cluster.of(flags(coordinator='none'), environment) is None


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({'process_count': 2}, '--process_count needs --coordinator=HOST:PORT of process 0'),
        ({'coordinator': 'host0'}, '--coordinator=host0 is not HOST:PORT, auto or none'),
        ({'coordinator': 'h:1', 'process_count': 2, 'process_id': 2}, '--process_id=2 must lie in 0..1'),
        ({'heartbeat_seconds': 1}, '--heartbeat_seconds must be at least 2'),
    ],
)
def test_flags_that_make_no_sense_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        cluster.of(flags(**given), {})

"""Two processes of one run on one machine: saving, keeping, restoring, logging, and stopping at one step."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnn.training import processes
from cnn.training.checkpoint import Checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]

WORK = """
import json, os, signal, sys
import jax, numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

folder, port, index = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.config.update('jax_num_cpu_devices', 1)
jax.distributed.initialize(f'localhost:{port}', 2, index)
from cnn.training import log, processes
from cnn.training.checkpoint import Checkpoints
from cnn.training.interrupt import Interrupt
from cnn.training.lock import WorkdirLock

mesh = Mesh(np.array(jax.devices()), ('x',))

def place(array, spec):
    return jax.make_array_from_callback(array.shape, NamedSharding(mesh, spec), lambda where: array[where])

def refusal(call):
    try:
        call()
    except ValueError as error:
        return str(error)

def refuse():
    raise ValueError(f'refused by {index}')

out = {'chosen': processes.from_first(lambda: {'index': index, 'nan': float('nan')})['index']}
out['refused'] = refusal(lambda: processes.from_first(refuse))
out['agree'] = [processes.all_agree(True), processes.all_agree(index == 0)]
with (
    WorkdirLock(folder),
    Checkpoints(folder + '/checkpoints', keep=2, fingerprint={'seed': 1}) as checkpoints,
    Interrupt() as interrupt,
):
    template = {'members': np.zeros((4, 2), np.float32), 'replicas': np.zeros(8, np.float32), 'step': np.int32(0)}
    step, restored, metrics = checkpoints.restore(template)
    out['start'] = step
    state = {
        'members': place(restored['members'] + 1, PartitionSpec('x')),
        'replicas': place(restored['replicas'] + 1, PartitionSpec()),
        'step': np.int32(step + 1),
    }
    writer = log.MetricsWriter(folder, start_step=step)
    out['saved'] = checkpoints.save(step + 1, state, {'accuracy': 0.75 if index == 0 else 0.25})
    out['earlier'] = bool(refusal(lambda: checkpoints.save(step, {'a': np.zeros(3)})))
    out['metrics'] = checkpoints.metrics(step + 1)
    out['stopped'] = None
    for now in range(step + 3, step + 3000, 3):
        if now == step + 15 and index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        multihost_utils.sync_global_devices('step')
        writer.write(now, 'train', {'loss': 1.0})
        if interrupt.reached(now):
            out['stopped'] = now
            writer.flush()
            checkpoints.save(now, {**state, 'step': np.int32(now)})
            break
    writer.close()
print(json.dumps(out))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('localhost', 0))
        return listener.getsockname()[1]


def test_two_processes_keep_one_run(tmp_path):
    members = np.arange(8, dtype=np.float32).reshape(4, 2)
    replicas = np.arange(8, dtype=np.float32)
    mesh = Mesh(np.array(jax.devices()), ('x',))
    spread = jax.device_put(members, NamedSharding(mesh, PartitionSpec('x')))
    # Four devices of one process save, two processes of one device go on.
    with Checkpoints(tmp_path / 'checkpoints', fingerprint={'seed': 1}) as checkpoints:
        checkpoints.save(7, {'members': spread, 'replicas': replicas, 'step': np.int32(7)}, {'accuracy': 0.5})

    command = [sys.executable, '-W', 'ignore', '-c', WORK, str(tmp_path), str(free_port())]
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    run = [
        subprocess.Popen(
            [*command, str(index)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in (0, 1)
    ]
    try:
        ends = [process.communicate(timeout=300) for process in run]
    finally:
        for process in run:
            process.kill()
    assert [process.returncode for process in run] == [0, 0], '\n'.join(errors for _, errors in ends)
    first, second = (json.loads(output.splitlines()[-1]) for output, _ in ends)

    assert first == second
    assert first['chosen'] == 0
    assert first['refused'] == 'refused by 0'
    assert first['agree'] == [True, False]
    assert first['start'] == 7
    assert first['saved']
    assert first['earlier']
    assert first['metrics'] == {'accuracy': 0.75}, 'process 0 decides'
    stopped = first['stopped']
    assert stopped >= 7 + 15
    assert (stopped - 7) % 3 == 0

    template = {'members': members, 'replicas': replicas, 'step': np.int32(0)}
    checkpoints = Checkpoints(tmp_path / 'checkpoints', fingerprint={'seed': 1})
    assert checkpoints.steps() == [8, stopped]
    assert checkpoints.best_step() == 8
    step, restored, _ = checkpoints.restore(template)
    assert step == stopped
    np.testing.assert_array_equal(restored['members'], members + 1)
    np.testing.assert_array_equal(restored['replicas'], replicas + 1)
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert [line['step'] for line in lines] == list(range(10, stopped + 1, 3)), 'one process writes'


def test_one_process_decides_alone():
    assert processes.is_first()
    assert processes.from_first(lambda: (1, 'as it is')) == (1, 'as it is')
    assert processes.all_agree(True)
    assert not processes.all_agree(False)

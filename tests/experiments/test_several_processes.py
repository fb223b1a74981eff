"""Two processes on one machine are one run: they train, evaluate, save, stop together, go on, and notice a death."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.experiments import runs

# 28 steps, saved every four, the batch normalised over all devices; slow, so that rounding stays as small as it is.
MORE = ('--config.optimizer.learning_rate=0.001', '--config.model.width=2', '--config.epochs=1.75',
        '--config.evaluation.every_epochs=1.75',
        '--config.checkpoint.every_epochs=0.25', '--config.log_every_steps=2', '--config.batch_norm.synchronised=True',
        '--heartbeat_seconds=4', '--join_seconds=100')  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('compiled')


def pair(workdir, cache, *more, of=lambda index: ({}, ())):
    """Two processes of two devices, each with the environment and the flags that `of` has for it."""
    options = '--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2'
    env = {**os.environ, 'XLA_FLAGS': options, 'JAX_COMPILATION_CACHE_DIR': str(cache), 'PYTHONUNBUFFERED': '1',
           'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1'}  # fmt: skip
    env.pop('JAX_NUM_CPU_DEVICES', None)
    command = [sys.executable, 'main.py', *runs.SMALL, *MORE, f'--workdir={workdir}', *more]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    return [subprocess.Popen([*command, *of(i)[1]], cwd=runs.ROOT, env=env | of(i)[0], **pipes) for i in (0, 1)]


def by_flags(port):
    return lambda index: ({}, (f'--coordinator=localhost:{port}', '--process_count=2', f'--process_id={index}'))


def by_slurm(index):
    """What srun sets for the tasks of a step on this machine; the port follows from the job's number."""
    own = {'JOB_ID': os.getpid() % 4096, 'STEP_NODELIST': 'localhost', 'NTASKS': 2, 'PROCID': index, 'LOCALID': index,
           'STEP_NUM_TASKS': 2, 'STEP_NUM_NODES': 1}  # fmt: skip
    return {f'SLURM_{name}': str(value) for name, value in own.items()}, ()


def wait_for(workdir, step, processes):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        records = runs.records(workdir) if (workdir / 'metrics.jsonl').exists() else []
        if records and records[-1]['step'] >= step:
            return
        ended = [p for p in processes if p.poll() is not None]
        assert not ended, ended[0].communicate()[1][-3000:]
        time.sleep(0.02)
    raise AssertionError(f'no step {step} in time')


def end(processes, *codes):
    ends = [process.communicate(timeout=300) for process in processes]
    found = [process.returncode for process in processes]
    assert found == list(codes), '\n'.join(errors[-2000:] for _, errors in ends)
    return [errors for _, errors in ends]


def test_a_run_of_two_stops_together_goes_on_survives_a_death_and_equals_one_that_nothing_happened_to(tmp_path, cache):
    workdir = tmp_path / 'run'
    # SLURM's variables alone start it; SIGTERM to one ends both at the same step, after saving.
    both = pair(workdir, cache, of=by_slurm)
    wait_for(workdir, 6, both)
    both[1].send_signal(signal.SIGTERM)
    first, second = end(both, 0, 0)
    assert 'the same command goes on from there' in first
    assert 'step' not in second.replace('stopped', '').split('WARNING')[0], 'one process speaks'
    stopped = int(runs.arrays(workdir)['step'])
    assert 6 <= stopped < 16

    # It goes on, by flags; the death of one ends the other within its heartbeat, with one line.
    both = pair(workdir, cache, of=by_flags(free_port()))
    wait_for(workdir, 18, both)
    killed = time.monotonic()
    both[1].kill()
    (errors, _) = end(both, 1, -signal.SIGKILL)
    assert time.monotonic() - killed < 60, 'JAX alone waits for minutes'
    last = errors.rstrip().splitlines()[-1]
    assert last.startswith('error: process 1 has gone: no sign of life for 4 seconds; process 0 of 2 ends too; start')
    assert 'Terminating process because the JAX distributed service' in (workdir / 'process_0.log').read_text()
    assert 'Terminating' not in errors
    assert not (workdir / 'result.json').exists()

    # And to its end.
    end(pair(workdir, cache, of=by_flags(free_port())), 0, 0)
    result = json.loads((workdir / 'result.json').read_text())
    assert (result['devices']['count'], result['devices']['processes'], result['steps']) == (4, 2, 28)
    steps = [record['step'] for record in runs.records(workdir) if record['split'] == 'train']
    assert steps == list(range(2, 29, 2)), 'no line twice, none lost'

    # One device, undisturbed, comes to the same numbers, and both score every example once.
    alone = tmp_path / 'alone'
    runs.finish(runs.start(alone, *MORE, cache=cache))
    ours, theirs = runs.arrays(workdir), runs.arrays(alone)
    for name, array in theirs.items():
        if name.startswith(('params', 'model_state')):
            np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-5, err_msg=name)
    metrics = runs.result(alone)['metrics']
    for name in ('accuracy', 'top5_accuracy', 'mean_class_accuracy'):
        assert result['metrics'][name] == pytest.approx(metrics[name], abs=1e-12)


def test_whom_the_others_leave_alone_says_so(tmp_path):
    alone = (f'--coordinator=localhost:{free_port()}', '--process_count=2', '--process_id=1', '--join_seconds=1')
    command = [sys.executable, 'main.py', *runs.SMALL, f'--workdir={tmp_path}', *alone]
    done = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert done.stderr.startswith('error: process 1 of 2 waited 1 seconds in vain for the others at localhost:')
    assert done.stderr.count('\n') == 1

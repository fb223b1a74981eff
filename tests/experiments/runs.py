"""Runs of main.py in processes of their own, small enough for a test: a quarter of the digits, a narrow ResNet-8."""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from cnn.training import step_folder
from cnn.training.checkpoint import Checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = (
    '--config=configs/resnet.py',
    '--config.input.train_split=train[:512]',
    '--config.evaluation.split=test[:200]',
    '--config.model.width=4',
    '--config.batch_size=32',
    '--config.epochs=2.5',
    '--config.evaluation.every_epochs=0.6',
    '--config.checkpoint.every_epochs=0.25',
    '--config.log_every_steps=3',
)


def start(workdir: pathlib.Path, *more: str, devices: int = 1, cache: pathlib.Path | None = None) -> subprocess.Popen:
    """Starts main.py on SMALL; compiled programs are shared through `cache`."""
    flags = f'--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={devices}'
    env = {**os.environ, 'XLA_FLAGS': flags, 'PYTHONUNBUFFERED': '1'}
    env.pop('JAX_NUM_CPU_DEVICES', None)
    if cache is not None:
        env |= {'JAX_COMPILATION_CACHE_DIR': str(cache), 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1'}
    command = [sys.executable, 'main.py', *SMALL, f'--workdir={workdir}', *more]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen, code: int = 0) -> str:
    """Waits for a run and returns what it printed."""
    output, _ = process.communicate(timeout=500)
    assert process.returncode == code, output[-3000:]
    return output


def stop_at(process: subprocess.Popen, workdir: pathlib.Path, step: int, number: int, delay: float = 0) -> None:
    """Sends a signal once the record has passed `step`, `delay` seconds later."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None:
        lines = records(workdir) if (workdir / 'metrics.jsonl').exists() else []
        if lines and lines[-1]['step'] >= step:
            time.sleep(delay)
            process.send_signal(number)
            return
        time.sleep(0.02)
    raise AssertionError(f'the run ended before step {step}: {process.communicate()[0][-3000:]}')


def records(workdir: pathlib.Path) -> list[dict]:
    """The complete lines of the record."""
    lines = (workdir / 'metrics.jsonl').read_bytes().split(b'\n')[:-1]
    return [json.loads(line) for line in lines]


def arrays(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Every leaf of the newest checkpoint by name."""
    folder = workdir / 'checkpoints' / str(Checkpoints(workdir / 'checkpoints').latest_step())
    return step_folder.read_state(folder, step_folder.read(folder))


def result(workdir: pathlib.Path) -> dict:
    """result.json without what differs from run to run: times."""
    found = json.loads((workdir / 'result.json').read_text())
    return {key: value for key, value in found.items() if key not in ('wall_seconds', 'images_per_second')}

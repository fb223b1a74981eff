"""Two runs on one workdir, and a holder that is killed, its worker outliving it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from cnn.training.lock import WorkdirLock

ROOT = pathlib.Path(__file__).resolve().parents[2]

HOLD = """
import os, sys, time
from cnn.training.lock import WorkdirLock

with WorkdirLock(sys.argv[1]):
    # The worker speaks for itself, once it runs: until then it has not let go of its copy of the lock.
    if not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_and_a_killed_one_blocks_nobody(tmp_path):
    workdir = tmp_path / 'run'
    command = [sys.executable, '-W', 'ignore', '-c', HOLD, str(workdir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        worker = int(holder.stdout.readline())
        try:
            with pytest.raises(ValueError, match='is in use by') as caught, WorkdirLock(workdir):
                pass
            message = str(caught.value)
            assert f'{workdir} is in use by process {holder.pid} on {socket.gethostname()}: ' in message
            assert '--workdir' in message
            assert '\n' not in message
            holder.kill()
            holder.wait()
            os.kill(worker, 0)
            with WorkdirLock(workdir):
                assert json.loads((workdir / '.lock').read_text())['pid'] == os.getpid()
        finally:
            os.kill(worker, signal.SIGKILL)
            holder.kill()


def test_one_process_cannot_take_it_twice_but_one_after_the_other(tmp_path):
    with WorkdirLock(tmp_path):
        with pytest.raises(ValueError, match=f'process {os.getpid()} '), WorkdirLock(tmp_path):
            pass
        # The refusal has not let go of the first one.
        with pytest.raises(ValueError, match='in use'), WorkdirLock(tmp_path):
            pass
    with WorkdirLock(tmp_path):
        pass


def test_other_workdirs_are_free(tmp_path):
    with WorkdirLock(tmp_path / 'a'), WorkdirLock(tmp_path / 'b'):
        pass


def test_an_unreadable_holder_is_still_a_holder(tmp_path):
    with WorkdirLock(tmp_path):
        (tmp_path / '.lock').write_text('')
        with pytest.raises(ValueError, match='in use by another run'), WorkdirLock(tmp_path):
            pass

"""A watched process: whose loss its last words tell, and what becomes of its output, its signals and its parent."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from cnn.experiments import guard
from cnn.experiments.cluster import Cluster

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAIR = Cluster('host0:1234', 2, 0, 5, 60, 'the flags')
# Last words of real processes whose peer was killed, or never came; JAX 0.10.2 and, the last, 0.12.0.1.
LAST_WORDS = {
    'F1124 13:13:49.499188 22389 client.h:80] Terminating process because the JAX distributed service detected fatal '
    'errors. absl::Status: INTERNAL: Shutdown barrier has failed.\nBarrier result: \'INTERNAL: Barrier failed because: '
    'task is set to ERROR: UNAVAILABLE: Task 1 heartbeat timeout.': 'process 1 has gone: no sign of life for 5 seco',
    'E1124 13:13:49.495908 22378 coordination_service.cc:1549] UNAVAILABLE: The following tasks are unhealthy (stopped '
    'sending heartbeats):\n1\nThe tasks have crashed.': 'process 1 has gone: no sign of life for 5 seconds; ',
    'F1124 client.h:80] Terminating process because the JAX distributed service detected fatal errors. UNAVAILABLE: '
    'Failed to send RPC to coordination service.': 'process 0, where the others meet, has gone; ',
    'F1124 13:14:56.497617 23142 client.h:80] Terminating process because the JAX distributed service detected fatal '
    'errors. absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded\n\nRPC: /xla.coordination.CoordinationService/'
    'RegisterTask': 'process 0 of 2 waited 60 seconds in vain for the others at host0:1234; ',
    'Traceback (most recent call last):\n  File "x.py", line 8\nValueError: UNKNOWN: Gloo AllGather failed: '
    'Connection closed by peer [127.0.0.1]:690': 'another process has gone; ',
    'F1124 13:14:06.980170 22714 client.h:86] Terminating process because the JAX distributed service detected fatal '
    'errors. absl::Status: UNAVAILABLE: Stream removed (Socket closed)': 'process 0, where the others meet, has gone; ',
}  # fmt: skip


@pytest.mark.parametrize('text', LAST_WORDS)
def test_last_words_tell_who_was_lost(text):
    line = guard.lost(text, PAIR)
    assert line.startswith(LAST_WORDS[text])
    assert '\n' not in line
    assert 'start all of them' in line


def test_other_ends_are_not_blamed_on_a_lost_process():
    for text in ('', 'Traceback (most recent call last):\nZeroDivisionError: division by zero',
                 'W1124 preemption_notifier.cc:90] SIGTERM caught at 2026-11-24'):  # fmt: skip
        assert guard.lost(text, PAIR) == ''


CHILD = """
import os, pathlib, signal, sys, time
from cnn.experiments import guard
from cnn.experiments.cluster import Cluster

def work():
    {work}

sys.exit(guard.watched(work, Cluster('host0:1234', 2, 0, 5, 60, ''), pathlib.Path(sys.argv[1])))
"""


def start(tmp_path, work):
    script = CHILD.format(work=work.replace('\n', '\n    '))
    return subprocess.Popen([sys.executable, '-c', script, str(tmp_path / 'run')], cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def end(process, code):
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    return out, errors


def test_traces_of_a_lost_process_go_into_a_file_and_one_line_is_left(tmp_path):
    trace = 'F1124 13:13:49 22389 client.h:80] Terminating. Task 1 heartbeat timeout.'
    process = start(tmp_path, f'os.write(2, b"before\\n{trace}\\n  @ 0x7f06\\n")\nos.abort()')
    _, errors = end(process, 1)
    kept = tmp_path / 'run' / 'process_0.log'
    assert errors == (
        'before\nerror: process 1 has gone: no sign of life for 5 seconds; process 0 of 2 ends too; start all of them '
        f'again, the run goes on from its last checkpoint ({kept} has what JAX said)\n'
    )
    assert kept.read_text() == f'{trace}\n  @ 0x7f06\n'


def test_what_is_no_lost_process_is_printed_as_it_was_with_its_code(tmp_path):
    work = 'print("out")\nprint("python", file=sys.stderr)\nos.write(2, b"Traceback of another kind\\n")\nreturn 2'
    out, errors = end(start(tmp_path, work), 2)
    assert out == 'out\n'
    assert sorted(errors.splitlines()) == ['Traceback of another kind', 'python']
    assert not (tmp_path / 'run').exists()
    _, errors = end(start(tmp_path, 'os.kill(os.getpid(), signal.SIGKILL)'), 1)
    assert errors == 'error: process 0 of 2 was ended by SIGKILL; where memory ran out, a smaller batch_size helps\n'


WAIT = """
signal.signal(signal.SIGTERM, lambda *_: (print("asked to stop", flush=True), os._exit(0)))
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_sigterm_is_passed_on(tmp_path):
    process = start(tmp_path, WAIT)
    assert int(process.stdout.readline()) != process.pid
    process.send_signal(signal.SIGTERM)
    assert end(process, 0)[0] == 'asked to stop\n'


def test_whoever_kills_the_parent_kills_the_run(tmp_path):
    process = start(tmp_path, WAIT)
    child = int(process.stdout.readline())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while os.path.exists(f'/proc/{child}/stat') and time.monotonic() < deadline:
        if pathlib.Path(f'/proc/{child}/stat').read_text().split(') ')[1].startswith('Z'):
            break
        time.sleep(0.02)
    else:
        assert not os.path.exists(f'/proc/{child}/stat')

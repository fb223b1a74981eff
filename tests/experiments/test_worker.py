"""Dead or alive, told across reboots, containers and numbers given anew."""

import json
import os
import subprocess
import sys

import pytest

from cnn.experiments import worker


def test_this_process_lives():
    assert not worker.is_dead(worker.identity())
    assert worker.identity() == worker.identity()


def test_one_that_was_killed_is_dead():
    code = 'import json; from cnn.experiments import worker as w; print(json.dumps(w.identity()), flush=True); input()'
    child = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    who = json.loads(child.stdout.readline())
    assert who['pid'] == child.pid
    assert not worker.is_dead(who)
    child.kill()
    # Dead and not buried: its number is still taken.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert worker.is_dead(who)
    child.communicate()
    assert worker.is_dead(who)


def test_another_process_of_the_same_number_is_not_taken_for_it():
    assert worker.is_dead({**worker.identity(), 'started': '1'})


@pytest.mark.parametrize('change', [{'host': 'elsewhere'}, {'machine': 'before the reboot'}])
def test_of_another_machine_nothing_is_known(change):
    assert not worker.is_dead({**worker.identity(), 'pid': 2**22, **change})
    assert not worker.is_dead({})

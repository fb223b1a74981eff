"""The new start happens once, keeps the arguments, and leaves a chosen setting alone."""

import os
import subprocess
import sys

import pytest

from cnn.ops import huge_pages

PROGRAM = """
import os, sys
from cnn.ops import huge_pages
on = huge_pages.enable()
print(os.getpid(), on, os.environ.get('GLIBC_TUNABLES', ''), *sys.argv[1:], 'jax' in sys.modules)
"""


def start(**environment):
    kept = {k: v for k, v in os.environ.items() if k != 'GLIBC_TUNABLES'}
    command = [sys.executable, '-c', PROGRAM, 'a b', '--c']
    process = subprocess.Popen(command, env=kept | environment, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    pid, on, rest = out.strip().split(' ', 2)
    assert int(pid) == process.pid
    return on == 'True', rest


def test_new_start_keeps_process_and_arguments():
    on, rest = start()
    assert on == huge_pages._supported()
    assert rest == f'{"glibc.malloc.hugetlb=1" if on else ""} a b --c False'


@pytest.mark.parametrize(('value', 'on'), [('glibc.malloc.hugetlb=0', False), ('glibc.malloc.hugetlb=2', True)])
def test_a_chosen_setting_stays(value, on):
    assert start(GLIBC_TUNABLES=value) == (on, f'{value} a b --c False')

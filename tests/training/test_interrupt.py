"""Signals between two steps of one process; several processes are in test_processes.py."""

import os
import signal
import threading

import pytest

from cnn.training.interrupt import Interrupt


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request):
    return request.param


@pytest.fixture
def heard(number):
    """The signals that reach the handler which was there before."""
    received = []
    before = signal.signal(number, lambda signum, frame: received.append(signum))
    yield received
    signal.signal(number, before)


def test_the_first_signal_is_kept_for_the_end_of_the_step(number, heard):
    with Interrupt() as interrupt:
        assert not interrupt.reached(1)
        os.kill(os.getpid(), number)
        assert interrupt.reached(2)
        assert interrupt.reached(3)
        assert interrupt.signal == number
    assert heard == []


def test_the_second_signal_does_what_it_did_before(number, heard):
    with Interrupt() as interrupt:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert interrupt.reached(1)
    assert heard == [number]


def test_outside_of_the_loop_nothing_is_changed(number, heard):
    handler = signal.getsignal(number)
    with Interrupt():
        assert signal.getsignal(number) != handler
    assert signal.getsignal(number) is handler
    os.kill(os.getpid(), number)
    assert heard == [number]


def test_a_thread_has_no_signals_to_take(number, heard):
    answers = []

    def work():
        with Interrupt() as interrupt:
            answers.append(interrupt.reached(1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]
    os.kill(os.getpid(), number)
    assert heard == [number]

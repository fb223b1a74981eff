"""Journals survive what a crash leaves at their end; databases that cannot be used are one line."""

import multiprocessing
import time

import optuna
import pytest

from cnn.experiments import storage
from cnn.experiments.errors import RunFailed, UserError


def study(workdir, url=''):
    return optuna.create_study(storage=storage.open_storage(url, workdir), study_name='s', load_if_exists=True)


def values(found):
    return [t.value for t in found.get_trials(deepcopy=False)]


def tell(found, value):
    found.tell(found.ask(), value)


@pytest.mark.parametrize('torn', [b'{"op_code": 4, "worker_id": "x', b'\0\0\0\0\0\0', b'\xff{', b'{"op_code": 4}\0\n'])
def test_what_a_crash_left_at_the_end_is_taken_out_when_it_is_opened(tmp_path, torn):
    tell(study(tmp_path), 1.0)
    journal = tmp_path / storage.JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    again = study(tmp_path)
    assert journal.read_bytes()[: len(whole)] == whole
    tell(again, 2.0)
    # A reader that starts anew finds both.
    assert values(study(tmp_path)) == [1.0, 2.0]


def test_a_line_torn_by_another_worker_does_not_spoil_the_next_one(tmp_path):
    mine = study(tmp_path)
    tell(mine, 1.0)
    with open(tmp_path / storage.JOURNAL, 'ab') as file:
        file.write(b'{"op_code": 5, "trial_id')
    tell(mine, 2.0)
    assert values(mine) == values(study(tmp_path)) == [1.0, 2.0]


def test_damage_elsewhere_is_refused_and_nothing_is_cut(tmp_path):
    tell(study(tmp_path), 1.0)
    journal = tmp_path / storage.JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = b''.join([lines[0], b'garbage\n', *lines[1:]])
    journal.write_bytes(damaged)
    with pytest.raises(UserError, match=r'journal.log: line 2 cannot be read and others follow'):
        study(tmp_path)
    assert journal.read_bytes() == damaged


def test_an_empty_or_absent_journal_is_a_new_one(tmp_path):
    assert storage.repair(tmp_path / storage.JOURNAL) == 0
    (tmp_path / storage.JOURNAL).touch()
    assert values(study(tmp_path)) == []


def _hold(workdir, ready):
    storage.FileLock(workdir / 'lock').acquire()
    ready.set()
    time.sleep(60)


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path):
    context = multiprocessing.get_context('spawn')
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    process.kill()
    process.join()
    with storage.FileLock(tmp_path / 'lock') as lock:
        assert lock.path.exists()


def _ask(url, workdir, start):
    start.wait()
    tell(study(workdir, url), 1.0)


def test_workers_that_start_together_on_a_new_database_both_work(tmp_path):
    context = multiprocessing.get_context('spawn')
    start = context.Barrier(3)
    url = f'sqlite:///{tmp_path}/sweep.db'
    processes = [context.Process(target=_ask, args=(url, tmp_path, start)) for _ in range(2)]
    for process in processes:
        process.start()
    start.wait(120)
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0]
    assert values(study(tmp_path, url)) == [1.0, 1.0]


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('sweep.db', "no database at 'sweep.db'; write for example postgresql://"),
        ('oracel://host/x', "no database at 'oracel://host/x'"),
        ('nonsense:secret@host/x', "no database at 'host/x'"),
    ],
)
def test_what_is_no_database_is_refused_without_showing_a_password(url, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        storage.open_storage(url, tmp_path)
    assert 'secret' not in str(caught.value)


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.time, 'sleep', lambda _: None)
    with pytest.raises(RunFailed, match=r'--storage=sqlite:////no/such/folder/x.db cannot be used: unable to open'):
        storage.open_storage('sqlite:////no/such/folder/x.db', tmp_path)


def test_passwords_are_not_shown():
    assert storage.masked('postgresql://me:secret@host:5/x') == 'postgresql://me:***@host:5/x'

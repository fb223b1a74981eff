"""Workers of one study: who has which trial, what becomes of a dead worker's, and when there is nothing left to do."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from cnn.experiments import search_space, storage, trials
from configs import resnet

DEAD = {'host': 'gone', 'machine': 'gone', 'pid': 1, 'started': ''}


def function(trial):
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-3, 1.0, log=True),
        'batch_size': trial.suggest_categorical('batch_size', [16, 32, 64]),
    }


def choices(trial):
    return {'batch_size': trial.suggest_categorical('batch_size', [16, 32, 64]),
            'seed': trial.suggest_int('seed', 0, 1)}  # fmt: skip


def worker(workdir, total=6, sampler='random', of=function, patience=30, pruner='none'):
    """One worker's view of the journal in a folder."""
    study = optuna.create_study(
        storage=storage.open_storage('', workdir), study_name='s', direction='maximize', load_if_exists=True,
        sampler=search_space.SeededSampler(sampler, 0, 3), pruner=search_space.pruner(pruner, 4),
    )  # fmt: skip
    space = search_space.SearchSpace(of, resnet.get_config(), 'mine.py')
    return trials.Trials(study, space, total, storage.FileLock(workdir / '.sweep.lock'), patience)


def states(found):
    return [t.state for t in found.study.get_trials(deepcopy=False)]


def bury(monkeypatch, *dead):
    """Makes the workers of these trials dead."""
    monkeypatch.setattr(trials.worker, 'is_dead', lambda who: who.get('pid') in dead)


def as_process(monkeypatch, pid):
    monkeypatch.setattr(trials.worker, 'identity', lambda: {'host': 'h', 'machine': 'm', 'pid': pid, 'started': ''})


def test_two_workers_share_the_trials_and_stop_at_the_total(tmp_path):
    first, second = worker(tmp_path, 3), worker(tmp_path, 3)
    (a,), (b,), (c,) = first.claim(1), second.claim(1), first.claim(4)
    assert len({a.name, b.name, c.name}) == 3
    assert first.claim(1) == second.claim(1) == []
    assert [t.number for t in second.others()] == [0, 2]
    assert first.complete(a, 0.5)
    assert second.complete(b, 0.7)
    assert first.complete(c, 0.6)
    assert second.others() == []
    assert states(first) == [TrialState.COMPLETE] * 3
    assert first.study.best_value == 0.7


def test_a_dead_workers_trials_are_asked_for_again_as_one_batch(tmp_path, monkeypatch):
    as_process(monkeypatch, 1)
    dead = worker(tmp_path, 4)
    batch = dead.claim(3)
    dead.report(batch[0], 0.25, 1)
    dead.prune(batch[1])
    as_process(monkeypatch, 2)
    alive = worker(tmp_path, 4)
    (other,) = alive.claim(1)
    assert [t.number for t in alive.others()] == [0, 2]
    bury(monkeypatch, 1)
    again = alive.claim(1)
    # All three places, in their order and with their settings; the pruned one has no trial any more.
    assert [(s.name, s.values) for s in again] == [(s.name, s.values) for s in batch]
    assert [s.trial is None for s in again] == [False, True, False]
    frozen = alive.study.get_trials(deepcopy=False)
    assert frozen[0].state == frozen[2].state == TrialState.FAIL
    assert frozen[again[0].number].user_attrs['continues'] == 0
    # What was reported stands, so that a pruner sees what it saw.
    assert frozen[again[0].number].intermediate_values == {1: 0.25}
    alive.report(again[0], 0.75, 1)
    assert alive.study.get_trials(deepcopy=False)[again[0].number].intermediate_values == {1: 0.25}
    # Nothing is asked for three times, and the total still holds.
    assert alive.claim(1) == []
    for slot in (again[0], again[2], other):
        assert alive.complete(slot, 0.1)
    assert len(alive.counted()) == 4


def test_a_worker_that_was_taken_for_dead_keeps_nothing(tmp_path, monkeypatch):
    as_process(monkeypatch, 1)
    first = worker(tmp_path, 1)
    (slot,) = first.claim(1)
    as_process(monkeypatch, 2)
    bury(monkeypatch, 1)
    second = worker(tmp_path, 1)
    (again,) = second.claim(1)
    first.report(slot, 0.5, 1)
    assert not first.complete(slot, 0.9)
    assert second.complete(again, 0.4)
    assert second.study.best_value == 0.4


def test_one_that_gives_no_sign_of_life_is_reaped_and_one_that_does_is_not(tmp_path, monkeypatch):
    as_process(monkeypatch, 1)
    far = worker(tmp_path, 2)
    far.claim(1)
    clock = [1000.0]
    monkeypatch.setattr(trials.time, 'monotonic', lambda: clock[0])
    bury(monkeypatch)
    near = worker(tmp_path, 1)
    assert len(near.others()) == 1
    clock[0] += trials.GRACE - 1
    far.study._storage.set_trial_user_attr(0, 'beat', 7)
    assert len(near.others()) == 1
    clock[0] += trials.GRACE - 1
    assert near.claim(1) == []
    clock[0] += 2
    (again,) = near.claim(1)
    assert again.trial.user_attrs['continues'] == 0


def test_the_heart_beats_while_a_trial_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, 'BEAT', 0.01)
    one = worker(tmp_path)
    (slot,) = one.claim(1)
    with one.beating():
        while one._frozen(slot).user_attrs.get('beat', 0) < 2:
            pass
        one.complete(slot, 1.0)
        # Beats for an ended trial are refused by the storage, and that ends nothing.
        (slot,) = one.claim(1)
        while one._frozen(slot).user_attrs.get('beat', 0) < 2:
            pass


def test_what_was_asked_for_and_not_begun_is_begun_by_another(tmp_path, monkeypatch):
    """Killed between the question and the batch: with no, and with half of the settings."""
    for suggested in (0, 1):
        workdir = tmp_path / str(suggested)
        workdir.mkdir()
        as_process(monkeypatch, 1)
        dead = worker(workdir, 1)
        trial = dead._ask()
        if suggested:
            rate = trial.suggest_float('optimizer.learning_rate', 1e-3, 1.0, log=True)
        as_process(monkeypatch, 2)
        bury(monkeypatch, 1)
        alive = worker(workdir, 1)
        (slot,) = alive.claim(3)
        assert alive.complete(slot, 0.5)
        assert alive.claim(1) == []
        assert alive.others() == []
        if suggested:
            assert slot.values['optimizer.learning_rate'] == rate


def test_letting_go_leaves_the_trial_to_the_next(tmp_path):
    first, second = worker(tmp_path, 2), worker(tmp_path, 2)
    slots = first.claim(2)
    first.complete(slots[0], 0.5)
    first.release()
    again = second.claim(2)
    assert [s.name for s in again if s.trial] == [slots[1].name]
    assert len(again) == 2


@pytest.mark.parametrize('sampler', ['grid', 'random'])
def test_a_space_that_ends_is_searched_once_and_only_once(tmp_path, sampler):
    one = worker(tmp_path, 100, sampler, choices, patience=1 if sampler == 'grid' else 60)
    seen = []
    while slots := one.claim(4):
        for slot in slots:
            seen.append((slot.values['batch_size'], slot.values['seed']))
            one.complete(slot, 1.0)
    assert sorted(seen) == [(size, seed) for size in (16, 32, 64) for seed in (0, 1)]
    assert one.exhausted
    assert len(one.counted()) == 6
    # And asking again asks the storage for nothing.
    before = len(states(one))
    assert one.claim(4) == []
    assert len(states(one)) == before


def test_a_failed_trial_is_not_asked_for_again(tmp_path):
    one = worker(tmp_path, 2)
    (slot,) = one.claim(1)
    one.fail(slot, 'the loss is not finite at step 3')
    (other,) = worker(tmp_path, 2).claim(5)
    assert other.name != slot.name
    assert one.study.get_trials(deepcopy=False)[0].user_attrs['error'].startswith('the loss')


def test_a_space_that_fails_takes_no_trial_with_it(tmp_path):
    def broken(trial):
        raise KeyError('mine')

    one = worker(tmp_path, 2, of=broken)
    with pytest.raises(KeyError):
        one.claim(1)
    assert one.counted() == []
    assert len(worker(tmp_path, 2).claim(5)) == 2


def test_without_a_lock_the_total_still_holds(tmp_path, monkeypatch):
    """Two machines on one database: the second one asks between the first one's look and its question."""
    first, second = (worker(tmp_path, 1) for _ in range(2))
    first._lock = second._lock = contextlib.nullcontext()
    ask, between = first._ask, []

    def slow():
        between.extend(second.claim(1))
        return ask()

    monkeypatch.setattr(first, '_ask', slow)
    assert first.claim(1) == []
    assert len(between) == 1
    assert len(first.counted()) == 1


def _work(workdir, out, start):
    start.wait()
    one = worker(workdir, 30)
    done = []
    with one.beating():
        while slots := one.claim(2):
            for slot in slots:
                one.report(slot, 0.5, 1)
                one.complete(slot, slot.values['optimizer.learning_rate'])
                done.append(slot.name)
    out.put(done)


def test_processes_on_one_journal_share_thirty_trials(tmp_path):
    context = multiprocessing.get_context('spawn')
    out, start = context.Queue(), context.Barrier(2)
    processes = [context.Process(target=_work, args=(tmp_path, out, start)) for _ in range(2)]
    for process in processes:
        process.start()
    done = [out.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert min(map(len, done)) > 0
    assert len(done[0]) + len(done[1]) == 30
    assert len(set(done[0]) | set(done[1])) == 30
    found = worker(tmp_path).study.get_trials(deepcopy=False)
    assert [t.state for t in found] == [TrialState.COMPLETE] * 30
    assert all(t.value == t.params['optimizer.learning_rate'] for t in found)


def test_a_process_killed_with_a_trial_in_hand_is_seen_to_be_dead(tmp_path):
    code = (
        'import pathlib, sys, time\nsys.path.insert(0, ".")\nfrom tests.experiments import test_trials\n'
        f'slot, = test_trials.worker(pathlib.Path({str(tmp_path)!r}), 1).claim(1)\n'
        'print(slot.name, flush=True)\ntime.sleep(60)'
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    child = subprocess.Popen([sys.executable, '-c', code], cwd=root, stdout=subprocess.PIPE, text=True)
    name = child.stdout.readline().strip()
    mine = worker(tmp_path, 1)
    assert mine.claim(1) == []
    assert [t.number for t in mine.others()] == [0]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (slot,) = mine.claim(1)
    assert slot.name == name.split()[-1]
    json.dumps(slot.values)

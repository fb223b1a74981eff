"""What becomes of the trials of a batch: values, failures, pruning; training itself is replaced by given numbers."""

import math
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from optuna.trial import TrialState

from cnn.experiments import group, storage, sweep_batch
from cnn.experiments.errors import RunFailed, UserError
from configs import resnet
from input_pipeline.folds import Fold
from tests.experiments import test_trials


class Training:
    """Stands for `group.run`: part i of a call is scored by curves[i][evaluation]; notes what it was asked for.

    Or the one part of call i by by_call[i]; or nothing is trained and scored, since a run before had `finished`.
    """

    def __init__(self, curves=(), result=None, error=None, by_call=(), finished=False):
        self.curves, self.result, self.error, self.calls = curves, result or {}, error, []
        self.by_call, self.finished = by_call, finished

    def run(self, source, parts, workdir, *, scored, failed, **options):
        self.calls.append([part.name for part in parts])
        if self.finished:
            return [group.Outcome(part, self._result(i, part), {}) for i, part in enumerate(parts)], 'stacked'
        if self.by_call:
            self.curves = [[self.by_call[len(self.calls) - 1]]]
        if self.error:
            failed(parts, self.error)
            return [], 'stacked'
        for k in range(len(self.curves[0])):
            values = [{'accuracy': curve[k], 'loss': 1.0} for curve in self.curves[: len(parts)]]
            (workdir / 'members' / parts[0].name / 'checkpoints').mkdir(parents=True, exist_ok=True)
            if not scored(parts, 10 * (k + 1), values):
                return [], 'stacked'
        return [group.Outcome(part, self._result(i, part), {}) for i, part in enumerate(parts)], 'stacked'

    def _result(self, i, part):
        value = self.curves[i][-1]
        metrics = {'accuracy': value if math.isfinite(value) else None, 'loss': 1.0}
        return {'metrics': metrics, 'steps': 40, 'images_per_second': 5.0, **self.result}


class Lines:
    def __init__(self):
        self.lines = []

    def ended(self, slot, how):
        self.lines.append(how)


def run(tmp_path, monkeypatch, training, *, count=1, folds=1, pruner='none', slots=None, one=None, total=20):
    """Trains a batch of `count` new trials, of 40 steps with an evaluation every 10; returns trials and lines."""
    monkeypatch.setattr(sweep_batch.group, 'run', training.run)
    config = resnet.get_config()
    config.batch_size, config.epochs, config.evaluation.every_epochs = 16, 4.0, 1.0
    config.sweep.pruner = pruner
    config.sweep.objective = 'holdout' if folds == 1 else 'cross_validate'
    one = one or test_trials.worker(tmp_path, total, pruner=pruner)
    # 160 examples to fit on: four epochs of ten steps.
    parts = [Fold(f'fold_{k}', 0, k, np.arange(160), np.arange(160, 200)) for k in range(folds)]
    one._space._function = lambda trial: {'optimizer.learning_rate': trial.suggest_float('r', 1e-3, 1.0, log=True)}
    sweep = SimpleNamespace(config=config, metric='accuracy', trials=one, folds=parts, workdir=tmp_path, source=None,
                            cache={}, vary=set())  # fmt: skip
    lines = Lines()
    batch = slots or one.claim(count)
    sweep_batch.Batch(sweep, batch, lines).train()
    return one, lines.lines


def trials_of(one):
    return one.study.get_trials(deepcopy=False)


def test_a_trial_is_worth_its_last_evaluation_and_reports_each(tmp_path, monkeypatch):
    one, lines = run(tmp_path, monkeypatch, Training([[0.1, 0.9, 0.5, 0.7]]))
    (t,) = trials_of(one)
    assert (t.state, t.value) == (TrialState.COMPLETE, 0.7)
    assert t.intermediate_values == {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.7}
    assert t.user_attrs['metrics'] == {'accuracy': 0.7, 'loss': 1.0}
    assert lines == ['accuracy 0.7000']
    # What was there to go on from is not needed any more.
    assert not list(tmp_path.glob('members/*/checkpoints'))


def test_over_folds_it_is_worth_the_mean(tmp_path, monkeypatch):
    training = Training([[0.5], [0.6], [1.0], [0.1], [0.2], [0.3]])
    one, _ = run(tmp_path, monkeypatch, training, count=2, folds=3)
    assert len(training.calls) == 1
    assert training.calls[0][0].endswith('fold_0')
    assert [t.value for t in trials_of(one)] == pytest.approx([0.7, 0.2])


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_fails_and_does_not_become_the_best(tmp_path, monkeypatch, bad):
    one, lines = run(tmp_path, monkeypatch, Training([[0.4, bad], [0.3, 0.35]]), count=2)
    failed, good = trials_of(one)
    assert failed.state == TrialState.FAIL
    assert failed.value is None
    assert 'accuracy is' in failed.user_attrs['error']
    assert lines[0].startswith('failed: accuracy is')
    assert lines[0].endswith('at step 20')
    assert (good.state, one.study.best_value) == (TrialState.COMPLETE, 0.35)


def test_nor_does_what_a_finished_run_wrote_down_as_no_number(tmp_path, monkeypatch):
    one, lines = run(tmp_path, monkeypatch, Training([[math.inf]], finished=True))
    assert [t.state for t in trials_of(one)] == [TrialState.FAIL]
    assert lines == ['failed: accuracy is nan']


def test_a_member_that_diverged_in_a_stack_fails_alone(tmp_path, monkeypatch):
    one, _ = run(tmp_path, monkeypatch, Training([[0.4]], result={'diverged_at': 17}))
    assert trials_of(one)[0].user_attrs['error'] == 'the loss is not finite at step 17'


@pytest.mark.parametrize('error', [RunFailed('the loss is not finite'), jax.errors.JaxRuntimeError('RESOURCE\nx')])
def test_a_run_that_failed_fails_its_trials_with_its_message(tmp_path, monkeypatch, error):
    one, _ = run(tmp_path, monkeypatch, Training([[0.4]], error=error), count=2)
    assert [t.state for t in trials_of(one)] == [TrialState.FAIL] * 2
    assert {t.user_attrs['error'] for t in trials_of(one)} == {str(error).splitlines()[0]}


def test_a_users_mistake_ends_the_sweep_and_takes_no_trial(tmp_path, monkeypatch):
    training = Training([[0.4]])
    monkeypatch.setattr(training, '_result', lambda i, part: {'metrics': {'mae': 1.0}})
    with pytest.raises(UserError, match=r"best_metric='accuracy' is none of mae"):
        run(tmp_path, monkeypatch, training)
    assert test_trials.worker(tmp_path).counted() == []


def test_what_lags_behind_the_median_is_stopped_early(tmp_path, monkeypatch):
    one = test_trials.worker(tmp_path, 20, pruner='median')
    # Five trials come first, before any is judged.
    for _ in range(5):
        run(tmp_path, monkeypatch, Training([[0.5, 0.6, 0.7, 0.8]]), pruner='median', one=one)
    behind, ahead = [0.4, 0.9, 0.9, 0.9], [0.6, 0.65, 0.75, 0.1]
    _, lines = run(tmp_path, monkeypatch, Training([behind, ahead]), count=2, pruner='median', one=one)
    t = trials_of(one)
    assert t[5].state == TrialState.PRUNED
    assert t[5].intermediate_values == {1: 0.4}
    # The last evaluation is not judged: it is paid for.
    assert (t[6].state, t[6].value) == (TrialState.COMPLETE, 0.1)
    assert lines == ['pruned at step 10 of 40', 'accuracy 0.1000']
    # Where nobody is left, training ends.
    training = Training([[0.1, 0.9, 0.9, 0.9]])
    _, lines = run(tmp_path, monkeypatch, training, pruner='median', one=one)
    assert lines == ['pruned at step 10 of 40']
    assert trials_of(one)[7].intermediate_values == {1: 0.1}


def test_wilcoxon_compares_fold_by_fold_and_skips_the_rest(tmp_path, monkeypatch):
    one = test_trials.worker(tmp_path, pruner='wilcoxon')
    training = Training(by_call=[0.9, 0.8, 0.7, 0.9, 0.8, 0.7])
    run(tmp_path, monkeypatch, training, folds=6, pruner='wilcoxon', one=one)
    assert [len(call) for call in training.calls] == [1] * 6
    # Each fold's own value: only the same folds can be compared.
    assert trials_of(one)[0].intermediate_values == dict(enumerate(training.by_call))
    assert trials_of(one)[0].value == pytest.approx(0.8)
    worse = Training(by_call=[0.85, 0.75, 0.65, 0.85, 0.9, 0.9])
    _, lines = run(tmp_path, monkeypatch, worse, folds=6, pruner='wilcoxon', one=one)
    # One-sided signed-rank test: 1/2^n for n folds that are all worse, below 0.1 from the fourth on.
    assert lines == ['pruned after 4 of 6 folds']
    assert len(worse.calls) == 4


def test_a_batch_that_goes_on_trains_those_that_ended_with_it(tmp_path, monkeypatch):
    """A stacked program has a place for each: without the pruned one it would be another, without a checkpoint."""
    one = test_trials.worker(tmp_path, 3, pruner='median')
    one._space._function = lambda trial: {'optimizer.learning_rate': trial.suggest_float('r', 1e-3, 1.0, log=True)}
    batch = one.claim(3)
    names = [slot.name for slot in batch]
    one.report(batch[1], 0.1, 1)
    one.prune(batch[1])
    one.release()
    again = one.claim(3)
    training = Training([[0.5], [9.9], [0.7]])
    run(tmp_path, monkeypatch, training, slots=again, one=one, pruner='median')
    assert training.calls == [names]
    done = {t.user_attrs['claim']['name']: t.value for t in trials_of(one) if t.state == TrialState.COMPLETE}
    assert done == {names[0]: 0.5, names[2]: 0.7}


def test_a_folder_in_use_is_left_alone(tmp_path, monkeypatch):
    one = test_trials.worker(tmp_path)
    one._space._function = lambda trial: {'optimizer.learning_rate': trial.suggest_float('r', 1e-3, 1.0, log=True)}
    batch = one.claim(1)
    training = Training([[0.5]])
    with sweep_batch.WorkdirLock(tmp_path / 'members' / batch[0].name):
        _, lines = run(tmp_path, monkeypatch, training, slots=batch, one=one)
    assert training.calls == []
    assert 'is in use by process' in lines[0]


CRASHES = [(group.Stopped(), TrialState.RUNNING), (storage.ERRORS[0]('away'), TrialState.RUNNING),
           (KeyError('mine'), TrialState.FAIL)]  # fmt: skip


@pytest.mark.parametrize(('error', 'state'), CRASHES)
def test_a_crash_fails_its_trials_and_a_stop_or_a_database_that_is_away_does_not(tmp_path, monkeypatch, error, state):
    """Else the next worker would crash of the same trial for ever, or the trial of an innocent one would be lost."""
    training = Training()

    def crash(*_, **__):
        raise error

    training.run = crash
    with pytest.raises(type(error)):
        run(tmp_path, monkeypatch, training)
    (t,) = trials_of(test_trials.worker(tmp_path))
    assert t.state == state
    assert ('error' in t.user_attrs) == (state == TrialState.FAIL)

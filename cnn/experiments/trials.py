"""The trials of a study as one of its workers sees them: claimed, reported, ended, and taken over from dead workers.

What a trial needs to be continued by another process stands in the storage: its worker, its settings, and the batch of
trials that it trains with. A trial whose worker died is failed and asked for again with the same settings, and since
its folder is named after these, it goes on from its checkpoint. The file is longer than most: every step of that reads
and writes the same few attributes.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.trial import TrialState

from cnn.experiments import worker
from cnn.experiments.search_space import SearchSpace

# Seconds between two signs of life of a worker, and how long others on other machines wait for one.
BEAT, GRACE = 30.0, 180.0

@dataclasses.dataclass
class Slot:
    """A place in a batch of trials that train together.

    Attributes:
      number: of its trial.
      name: of its folder.
      values: its settings by path.
      trial: Optuna's, None once it has ended.
      rounds: where it ended before a restart, in how many rounds of training it took part.
    """

    number: int
    name: str
    values: dict[str, Any]
    trial: optuna.Trial | None
    rounds: int = 0


class Trials:
    """The trials of `study`.

    Args:
      study: Optuna's, whatever its storage.
      space: gives a trial its values.
      total: the trials of all workers together.
      lock: a context that keeps the other workers on this workdir waiting.
      patience: suggestions in a row that were tried before, after which the space counts as searched to its end.
    """

    def __init__(
        self, study: optuna.Study, space: SearchSpace, total: int, lock: contextlib.AbstractContextManager,
        patience: int = 30,
    ):  # fmt: skip
        self.study, self.total = study, total
        self._space, self._lock, self._patience = space, lock, patience
        self._mine: dict[int, int] = {}
        # What was last seen of others' trials: their beat, and since when it is that.
        self._seen: dict[int, tuple[Any, float]] = {}
        self.exhausted = False

    def claim(self, count: int) -> list[Slot]:
        """The next batch: one whose worker died, else up to `count` new trials; empty where there is nothing to do."""
        with self._lock:
            self._reap()
            self._enqueue()
            waiting = self._all(TrialState.WAITING)
            if waiting and (batch := _claim(waiting[0]).get('batch')):
                same = itertools.takewhile(lambda t: _claim(t).get('batch') == batch, waiting)
                return self._continued(batch, len(list(same)))
            if waiting:
                # One that died between being asked for and joining a batch.
                return self._new(1, waiting=True)
            return [] if self.exhausted else self._new(count)

    def others(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that other workers are at, after those of dead ones were taken from them."""
        with self._lock:
            self._reap()
            self._enqueue()
            running = [t for t in self._all(TrialState.RUNNING) if t.number not in self._mine]
            return self._all(TrialState.WAITING) + running

    def counted(self) -> list[optuna.trial.FrozenTrial]:
        """All trials but those withdrawn and those that were asked for again."""
        return [t for t in self._all() if 'withdrawn' not in t.user_attrs and not _was_reaped(t)]

    def report(self, slot: Slot, value: float, step: int) -> None:
        """Tells the pruner a value on the way; one that was reported before a restart stands."""
        if step not in self._frozen(slot).intermediate_values:
            self._try(slot, slot.trial.report, value, step)

    def lags(self, slot: Slot) -> bool:
        """Whether the pruner would stop the trial."""
        return bool(slot.trial.should_prune())

    def complete(self, slot: Slot, value: float, **attributes: Any) -> bool:
        """Ends a trial with its value; False where another worker has it."""
        return self._end(slot, TrialState.COMPLETE, value, **attributes)

    def prune(self, slot: Slot, **attributes: Any) -> bool:
        """Ends a trial that lags behind."""
        return self._end(slot, TrialState.PRUNED, None, **attributes)

    def fail(self, slot: Slot, error: str, **attributes: Any) -> bool:
        """Ends a trial that has no value."""
        return self._end(slot, TrialState.FAIL, None, error=error, **attributes)

    def withdraw(self, slot: Slot, why: str) -> bool:
        """Ends a trial as if it had not been asked for."""
        return self._end(slot, TrialState.FAIL, None, withdrawn=why)

    def release(self) -> None:
        """Lets go of all of this worker's trials, as they stand: whoever comes next goes on with them."""
        for number in list(self._mine):
            self._drop(number)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Gives signs of life for this worker's trials."""
        stopping = threading.Event()

        def beat():
            count = 0
            while not stopping.wait(BEAT):
                count += 1
                for identifier in list(self._mine.values()):
                    # One that has just ended, or a database that is away for a moment; the next beat may come through.
                    with contextlib.suppress(Exception):
                        self.study._storage.set_trial_user_attr(identifier, 'beat', count)

        thread = threading.Thread(target=beat, name='heartbeat', daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _all(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def _frozen(self, slot: Slot) -> optuna.trial.FrozenTrial:
        return self.study._storage.get_trial(slot.trial._trial_id)

    def _ask(self) -> optuna.Trial:
        trial = self.study.ask()
        self._mine[trial.number] = trial._trial_id
        trial.set_user_attr('worker', worker.identity())
        return trial

    def _new(self, count: int, waiting: bool = False) -> list[Slot]:
        slots, repeats = [], 0
        while len(slots) < count and (waiting or len(self.counted()) < self.total) and repeats < self._patience:
            slot = self._slot(self._ask())
            earlier = [t for t in self.counted() if t.number != slot.number]
            if sum(t.number < slot.number for t in earlier) >= self.total:
                # Another machine, which the lock does not reach, was faster.
                self.withdraw(slot, 'one too many')
                break
            if twin := next((t for t in earlier if _claim(t).get('name') == slot.name), None):
                self.withdraw(slot, f'as trial {twin.number}')
                repeats += 1
                continue
            slots.append(slot)
            repeats = 0
            # At once, so that the next suggestion differs; the batch follows when it is complete.
            slot.trial.set_user_attr('claim', {'name': slot.name, 'values': slot.values})
        self.exhausted = repeats == self._patience
        batch = [slot.number for slot in slots]
        for place, slot in enumerate(slots):
            claim = {'name': slot.name, 'values': slot.values, 'batch': batch, 'place': place}
            slot.trial.set_user_attr('claim', claim)
        return slots

    def _slot(self, trial: optuna.Trial) -> Slot:
        slot = Slot(trial.number, '', {}, trial)
        try:
            slot.values = self._space.values(trial)
        except BaseException:
            self.withdraw(slot, 'the search space failed')
            raise
        digest = hashlib.sha256(json.dumps(slot.values, sort_keys=True).encode()).hexdigest()
        slot.name = f'trial_{digest[:10]}'
        return slot

    def _continued(self, batch: list[int], count: int) -> list[Slot]:
        """The places of a batch, those that wait with a trial of ours."""
        asked, slots = {}, {}
        for _ in range(count):
            trial = self._ask()
            if _claim(trial).get('batch') == batch:
                asked[_claim(trial)['place']] = trial
            else:
                # Another machine, which the lock does not reach, was between: back to those that wait.
                self._drop(trial.number)
        for t in self._all():
            claim = _claim(t)
            if claim.get('batch') == batch:
                rounds = len(t.intermediate_values) + ('error' in t.user_attrs)
                before = slots.get(claim['place'])
                rounds = max(rounds, before.rounds if before else 0)
                slots[claim['place']] = Slot(t.number, claim['name'], values_of(t), None, rounds)
        for place, trial in asked.items():
            slots[place].trial, slots[place].number = trial, trial.number
            if any(t.user_attrs.get('continues') == trial.user_attrs['continues'] and t.number < trial.number
                   for t in self._all()):  # fmt: skip
                self.withdraw(slots[place], 'asked for twice')
        return [slots[place] for place in sorted(slots)]

    def _end(self, slot: Slot, state: TrialState, value: float | None, **attributes: Any) -> bool:
        def tell():
            for name, attribute in attributes.items():
                slot.trial.set_user_attr(name, attribute)
            self.study.tell(slot.trial, value, state)

        held = self._try(slot, tell)
        self._mine.pop(slot.trial.number, None)
        slot.trial = None
        return held

    def _try(self, slot: Slot, action, *arguments: Any) -> bool:
        """Acts on a trial; False where it was taken from this worker meanwhile."""
        try:
            action(*arguments)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if not self._frozen(slot).state.is_finished():
                raise
            return False
        return True

    def _reap(self) -> None:
        """Fails the trials of workers that are known to be dead, or have given no sign of life for long."""
        now = time.monotonic()
        for t in self._all(TrialState.RUNNING):
            if t.number in self._mine:
                continue
            beat = t.user_attrs.get('beat')
            if t.number not in self._seen or self._seen[t.number][0] != beat:
                self._seen[t.number] = beat, now
            if worker.is_dead(t.user_attrs.get('worker', {})) or now - self._seen[t.number][1] > GRACE:
                self._drop(t.number)

    def _drop(self, number: int) -> None:
        """Fails a trial without an error: it is to be asked for again."""
        with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
            self.study.tell(number, state=TrialState.FAIL)
        self._mine.pop(number, None)

    def _enqueue(self) -> None:
        """Asks again for reaped trials; which, the storage tells, so that no crash in between loses one."""
        trials = self._all()
        again = {t.user_attrs.get('continues') for t in trials}
        left = [t for t in trials if _was_reaped(t) and t.number not in again]
        for t in sorted(left, key=lambda t: (_claim(t).get('batch') or [t.number], _claim(t).get('place', 0))):
            claim = {'claim': _claim(t)} if _claim(t) else {}
            self.study.add_trial(
                optuna.create_trial(
                    state=TrialState.WAITING,
                    params=t.params,
                    distributions=t.distributions,
                    user_attrs={'continues': t.number, **claim},
                    system_attrs=t.system_attrs,
                    intermediate_values=t.intermediate_values,
                )
            )


def _claim(trial: Any) -> dict[str, Any]:
    return trial.user_attrs.get('claim', {})


def _was_reaped(trial: optuna.trial.FrozenTrial) -> bool:
    """Failed by no fault of its settings."""
    return trial.state == TrialState.FAIL and not {'error', 'withdrawn'} & trial.user_attrs.keys()


def values_of(trial: Any) -> dict[str, Any]:
    """A trial's settings by path; storages know no tuples."""
    values = _claim(trial).get('values', {})
    return {path: tuple(value) if isinstance(value, list) else value for path, value in values.items()}

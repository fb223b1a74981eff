"""The loop: when things happen, in what order, and how it ends."""

import numpy as np
import pytest

from cnn.metrics.base import Average
from cnn.training import loop
from cnn.training.state import TrainState


def drive(
    total=10, log=3.0, evaluate=5.0, save=5.0, start=0, stop_at=None, bad_from=None, per_dispatch=1, boundaries=()
):
    """Runs the loop on a state that only counts; returns (events, final step)."""
    events = []
    plan = loop.Plan(total, log, evaluate, save, boundaries)

    def advance(state, batches):
        step = int(state.step) + len(batches)
        bad = bad_from if bad_from is not None and step > bad_from else -1
        events.append(('step', step, list(batches)))
        total = state.metrics['loss'].total + len(batches)
        metrics = {'loss': Average(total, state.metrics['loss'].count + len(batches))}
        return state.replace(step=np.int32(step), metrics=metrics, bad_step=np.int32(bad))

    zero = {'loss': Average(np.float32(0), np.float32(0))}
    state = TrainState(np.int32(start), {}, {}, {}, {}, zero, np.int32(-1))
    _, last = loop.fit(
        state,
        plan,
        batches=iter(range(start, 1000)),
        advance=advance,
        per_dispatch=per_dispatch,
        to_host=lambda x: x,
        place=lambda x: x,
        on_progress=lambda step: None,
        on_log=lambda step, window: events.append(('log', step, window['loss'].compute('loss')['loss'])),
        evaluate=lambda state, step: events.append(('evaluate', step)) or {'accuracy': 1.0},
        save=lambda state, step, values: events.append(('save', step, values, float(state.metrics['loss'].count))),
        stopping=lambda step: step == stop_at,
    )
    return events, last


def named(events, *names):
    return [event[:2] for event in events if event[0] in names]


def test_events_come_in_order_log_evaluate_save_and_all_at_the_last_step():
    events, last = drive()
    middle = [('evaluate', 5), ('save', 5), ('log', 6), ('log', 9)]
    expected = [('log', 3), *middle, ('log', 10), ('evaluate', 10), ('save', 10)]
    assert named(events, 'log', 'evaluate', 'save') == expected
    assert last == 10


def test_fractions_of_epochs_fall_on_the_next_whole_step():
    events, _ = drive(total=375, log=1000.0, evaluate=31.25, save=1000.0, per_dispatch=64)
    steps = [event[1] for event in events if event[0] == 'evaluate']
    assert steps == [32, 63, 94, 125, 157, 188, 219, 250, 282, 313, 344, 375]


def test_each_batch_is_used_once_and_dispatches_end_at_events():
    events, _ = drive(per_dispatch=4)
    taken = [batch for event in events if event[0] == 'step' for batch in event[2]]
    assert taken == list(range(10))
    assert [event[1] for event in events if event[0] == 'step'] == [3, 5, 6, 9, 10]


def test_a_stop_saves_the_open_window_and_resuming_takes_the_next_batch():
    events, last = drive(stop_at=4)
    assert last == 4
    assert events[-1] == ('save', 4, {}, 1.0)
    resumed, _ = drive(start=4)
    assert resumed[0] == ('step', 5, [4])


def test_a_bad_step_ends_the_run_before_anything_of_it_is_saved():
    with pytest.raises(loop.NonFiniteLoss, match='not finite at step 3') as caught:
        drive(bad_from=3, log=100.0)
    assert caught.value.step == 3


def test_the_log_shows_means_of_its_own_window():
    events, _ = drive()
    assert [event[2] for event in events if event[0] == 'log'] == [1.0, 1.0, 1.0, 1.0]


def test_a_finished_state_runs_nothing():
    events, last = drive(start=10)
    assert events == []
    assert last == 10


def test_dispatches_end_at_boundaries_though_nothing_is_due_there():
    events, _ = drive(total=20, log=100.0, evaluate=100.0, save=100.0, per_dispatch=8, boundaries=(3, 5))
    assert [event[1] for event in events if event[0] == 'step'] == [3, 5, 13, 20]

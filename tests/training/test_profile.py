"""A trace of some steps: these and no others, and none of the numbers changes."""

import gzip
import json

import pytest

from cnn.experiments import train
from cnn.training import profile
from configs import resnet
from tests.experiments import runs


def run(workdir, profile=''):
    """Six steps."""
    config = resnet.get_config('preset=tiny')
    config.devices = 1
    config.model.width = 2
    config.input.train_split, config.evaluation.split = 'train[:96]', 'test[:30]'
    config.epochs, config.profile = 2.0, profile
    train.run(config, workdir)
    return runs.records(workdir), runs.arrays(workdir)


def traced_steps(workdir):
    """The step numbers of the annotations in the one trace of a workdir, in order of time."""
    (path,) = (workdir / 'profile').rglob('perfetto_trace.json.gz')
    events = json.loads(gzip.decompress(path.read_bytes()))['traceEvents']
    marks = [e for e in events if e.get('name') == 'train' and 'step_num' in e.get('args', {})]
    return [int(e['args']['step_num']) for e in sorted(marks, key=lambda e: e['ts'])], events


def test_a_trace_holds_the_steps_asked_for_and_changes_no_number(tmp_path, capsys):
    plain = run(tmp_path / 'plain')
    traced = run(tmp_path / 'traced', profile='1:4')
    assert not (tmp_path / 'plain' / 'profile').exists()
    said = capsys.readouterr().err
    assert f'{tmp_path}/traced/profile: a trace, steps 1 to 3; ' in said
    steps, events = traced_steps(tmp_path / 'traced')
    assert steps == [1, 2, 3]
    # What XLA ran is in it too.
    assert any('train_step' in str(event.get('name')) for event in events)
    assert traced[0] == plain[0]
    for name, array in plain[1].items():
        assert array.tobytes() == traced[1][name].tobytes(), name


def test_a_run_that_goes_on_behind_the_steps_says_so_and_traces_nothing(tmp_path):
    said = []
    with profile.Profile('2:4', tmp_path, said.append) as traced:
        assert traced.around(lambda state, batches: state + 1, 9)(0, [None]) == 1
    assert said == ['config.profile=2:4: the run goes on from step 9, these are done']
    assert not (tmp_path / 'profile').exists()


def test_a_run_that_ends_within_the_steps_keeps_what_was_traced(tmp_path):
    said = []
    with profile.Profile('2:9', tmp_path, said.append) as traced:
        advance = traced.around(lambda state, batches: state + len(batches), 0)
        state = 0
        for _ in range(4):
            state = advance(state, [None])
    assert state == 4
    assert traced_steps(tmp_path)[0] == [2, 3]
    assert said == [f'{tmp_path}/profile: a trace, the run ended before the last of them; '
                    'open its perfetto_trace.json.gz at ui.perfetto.dev']  # fmt: skip


@pytest.mark.parametrize('text', ['10', '5:5', '7:3', '-1:4', 'a:b', '1:2:3'])
def test_what_is_no_span_is_refused(text):
    with pytest.raises(ValueError, match=r"is not FROM:TO with FROM below TO; use for example '10:15'"):
        profile.parse(text)


def test_spans_are_read():
    assert profile.parse('') is None
    assert profile.parse('10:15') == (10, 15)

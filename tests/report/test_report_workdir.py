"""What is read of a workdir, and what is said of one that is broken or half written."""

import json

import pytest

from cnn.report import workdir
from tests.report import made


def test_a_finished_run_is_read_whole(tmp_path):
    run = workdir.read(made.training(tmp_path / 'run'))
    assert (run.name, run.kind, run.remarks) == ('run', 'training', [])
    assert run.result['steps'] == 40
    assert run.config == made.CONFIG
    assert [r['step'] for r in run.records if r['split'] == 'test'] == [10, 20, 30, 40]
    assert [p.name for p in run.pictures] == ['confusion.png']


def test_what_is_no_run_is_refused_in_one_line(tmp_path):
    for folder, said in ((tmp_path / 'nowhere', 'no such folder'), (tmp_path, 'holds no run: there is none of study')):
        with pytest.raises(ValueError, match=said) as caught:
            workdir.read(folder)
        assert str(folder) in str(caught.value)
        assert '\n' not in str(caught.value)


def test_a_run_at_work_is_read_up_to_its_last_whole_line(tmp_path):
    made.training(tmp_path, ended=False)
    with open(tmp_path / 'metrics.jsonl', 'a') as file:
        file.write('{"step": 41, "split": "train", "lo')
    run = workdir.read(tmp_path)
    assert len(run.records) == 44
    assert run.remarks == ['There is no result yet: the run has not ended. Its record goes to step 40.']


def test_damage_is_told_and_the_rest_is_read(tmp_path):
    made.training(tmp_path)
    (tmp_path / 'result.json').write_text('{"metrics": {"accu')
    (tmp_path / 'dataset.json').write_text('[1]')
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    lines[3] = lines[3][:12] + '\x00garbage'
    lines[5] = '{"loss": 1}'
    (tmp_path / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')
    run = workdir.read(tmp_path)
    assert len(run.records) == 42
    assert run.config == made.CONFIG
    said = ' '.join(run.remarks)
    assert 'result.json cannot be read (' in said
    assert 'dataset.json cannot be read (a list where a dict should be)' in said
    assert 'metrics.jsonl: 2 of 44 lines cannot be read; the others are drawn.' in said
    assert 'the run has not ended' in said


def test_folds_that_are_not_scored_yet(tmp_path):
    made.cross_validation(tmp_path, [0.5, 0.6])
    folds = json.loads((tmp_path / 'folds.json').read_text())
    made.write(tmp_path, 'folds.json', {'folds': folds['folds'], 'settings': folds['settings']})
    (tmp_path / 'result.json').unlink()
    run = workdir.read(tmp_path)
    assert run.kind == 'cross-validation'
    assert run.remarks == ['The folds are divided, and not scored yet: the run has not ended.',
                           'No file says with which settings it ran.']  # fmt: skip


def test_members_and_stages_are_found(tmp_path):
    made.cross_validation(tmp_path, [0.5, 0.6])
    for name in ('fold_0', 'fold_1'):
        made.training(tmp_path / 'members' / name, ended=False)
    made.training(tmp_path / 'stages' / 'first')
    (tmp_path / 'stages' / 'later').mkdir()
    run = workdir.read(tmp_path)
    assert list(run.members) == ['fold_0', 'fold_1']
    assert [stage.name for stage in run.stages] == ['first']

"""`--mode=report` as a command: with and without a config, of one run and of several, and its mistakes."""

import pytest

from tests.experiments.test_cli import RESNET, call
from tests.report import made


@pytest.fixture
def here(tmp_path, monkeypatch):
    made.training(tmp_path / 'runs' / 'a')
    made.training(tmp_path / 'runs' / 'b', ended=False)
    (tmp_path / 'runs' / 'empty').mkdir()
    return tmp_path / 'runs'


def test_one_run_needs_no_config(here, monkeypatch, capsys):
    assert call(monkeypatch, '--mode=report', f'--workdir={here}/a') == 0
    assert capsys.readouterr().out.startswith(f'{here}/a/report.html: 1 run, ')
    assert '<title>a</title>' in (here / 'a' / 'report.html').read_text()


def test_a_config_stands_for_its_workdir_whatever_it_says_now(here, monkeypatch, capsys):
    from cnn.experiments import cli

    monkeypatch.setattr(cli, '_default_workdir', lambda path, argument: str(here / 'b'))
    assert call(monkeypatch, RESNET, '--mode=report') == 0
    out = capsys.readouterr().out
    assert f'{here}/b: There is no result yet: the run has not ended. Its record goes to step 40.' in out
    assert 'There is no result yet' in (here / 'b' / 'report.html').read_text()


def test_several_runs_and_patterns_go_to_the_folder_above_them(here, monkeypatch, capsys):
    assert call(monkeypatch, '--mode=report', f'--runs={here}/*,{here}/a') == 0
    assert f'{here}/report.html: 2 runs, ' in capsys.readouterr().out
    assert '<title>2 runs</title>' in (here / 'report.html').read_text()
    assert call(monkeypatch, '--mode', 'report', f'--runs={here}/a,{here}/b', f'--workdir={here}/page') == 0
    assert (here / 'page' / 'report.html').is_file()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ((), '--mode=report needs --workdir=DIR, --runs=DIR,DIR or the --config of a run'),
        (('--workdir={here}/nowhere',), 'nowhere: no such folder; a report needs the workdir of a run'),
        (('--workdir={here}/empty',), 'empty holds no run: there is none of study.json, '),
        (('--runs={here}/a,{here}/empty',), 'empty holds no run'),
        (('--runs={here}/e*',), 'e*: 1 folders match, and none of them holds a run'),
        (('--run={here}/a',), "unknown flag --run; did you mean 'runs'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(here, monkeypatch, capsys, arguments, said):
    assert call(monkeypatch, '--mode=report', *(a.format(here=here) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert said in error
    assert not list(here.rglob('report.html'))

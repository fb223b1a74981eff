"""One entry for all benchmarks: a short round for real, and how the page is made of what is kept."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from benchmarks import ladder, run_all, tables

RUN = [sys.executable, 'benchmarks/run_all.py']


def call(*arguments, code=0):
    done = subprocess.run([*RUN, *arguments], cwd=tables.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr[-2000:]
    return done


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        smooth = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(smooth).resize((160, 120)).save(folder / f'{i}.jpg')
    return folder


def test_a_short_round_measures_for_real_and_keeps_nothing(photographs, tmp_path):
    kept, out = tmp_path / 'measured', tmp_path / 'page.md'
    places = (f'--measured={kept}', f'--out={out}')
    done = call('--quick', '--only=input_pipeline', f'--images={photographs}', *places)
    page = done.stdout[done.stdout.index('# Results') :]
    assert '## Training input: `benchmarks/input_pipeline.py --count=128 --rounds=1 --only=raw,this --images=F' in page
    assert str(photographs) not in page
    assert '4 files of ' in page
    rows = [line.split('|') for line in page.splitlines() if line.startswith('| ')][2:]
    ours = ['this project, files', 'this project, ArrayRecord']
    assert [row[1].strip() for row in rows] == ['raw decoding', *ours, *(f'{name}, antialias off' for name in ours)]
    assert all(float(row[2]) > 0 for row in rows)
    assert rows[0][4].strip() == '1.00'
    assert not kept.exists()
    assert not out.exists()


def test_what_fails_keeps_its_earlier_table_and_is_named(tmp_path):
    kept = tmp_path / 'measured'
    kept.mkdir()
    (kept / 'input_pipeline.json').write_text(json.dumps(measured('an earlier table')))
    (tmp_path / 'empty').mkdir()
    done = call('--only=input_pipeline', f'--images={tmp_path}/empty', f'--measured={kept}',
                f'--out={tmp_path}/page.md', code=1)  # fmt: skip
    assert 'input_pipeline: ended with 2: ' in done.stderr
    assert 'no JPEG files in' in done.stderr
    assert done.stderr.rstrip().endswith('not measured: input_pipeline')
    assert 'an earlier table' in (tmp_path / 'page.md').read_text()


def measured(table):
    return {'command': 'python benchmarks/folds.py --folds=2', 'date': '2026-01-02', 'commit': 'abc', 'seconds': 600,
            'machine': {'cpu': 'a processor', 'cores': 2, 'python': '3.11', 'jax': '0.10'},
            'markdown': table}  # fmt: skip


def test_the_page_has_the_tables_in_their_order_and_a_persons_remarks():
    said = run_all.remarks('# A title\n\nAbove all.\n\n## folds\n\nOf folds.\n\n## nobody\n\nLost.\n')
    page = run_all.page({'folds': measured('TABLE 2'), 'train_step': measured('TABLE 1')}, said)
    line = '2026-01-02, 2 cores of a processor, Python 3.11, jax 0.10; commit abc, 10 minutes.'
    assert page == '\n\n'.join([
        '# Results', 'Above all.',
        '## Training and evaluation steps: `benchmarks/folds.py --folds=2`', line, 'TABLE 1',
        '## Five folds of ResNet-20: `benchmarks/folds.py --folds=2`', line, 'TABLE 2', 'Of folds.',
    ]) + '\n'  # fmt: skip


def test_every_script_is_known_and_every_remark_has_its_script():
    names = {benchmark.name for benchmark in run_all.ALL}
    here = {path.stem for path in run_all.HERE.glob('*.py')} - {'run_all', 'studies', 'tables'}
    assert here == names
    assert set(run_all.remarks(run_all.REMARKS.read_text())) - {''} <= names


def test_what_cannot_run_is_said(monkeypatch):
    known = {benchmark.name: benchmark for benchmark in run_all.ALL}
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert run_all.missing(known['folds'], '', False) == 'needs torch (benchmarks/requirements.txt)'
    assert run_all.missing(known['folds'], '', True) == ''
    assert run_all.missing(known['input_pipeline'], '', True) == 'needs --images=FOLDER of JPEG files'


def test_a_table_is_printed_row_by_row_and_bars_do_not_break_it(capsys):
    table = tables.Table('a', 'b')
    table.row('x|y', 1.5)
    assert table.markdown() == '| a | b |\n| --- | --- |\n| x/y | 1.5 |'
    assert capsys.readouterr().out == table.markdown() + '\n'


def test_a_misspelt_name_is_refused():
    assert "--only: no 'fold'; there are train_step, " in call('--only=fold', code=2).stderr


def test_an_untrained_rung_takes_settings_of_one_value_and_refuses_others():
    def config_of(*settings):
        return ladder.config_of('yolo', types.SimpleNamespace(arguments='preset=tiny', set=list(settings)), None)

    config = config_of('evaluation.split=test[:4]', 'seed=3')
    assert (config.evaluation.split, config.seed) == ('test[:4]', 3)
    with pytest.raises(SystemExit, match=r"yolo: the grid names 'evaluation\.spilt', which the config lacks"):
        config_of('evaluation.spilt=test')
    with pytest.raises(SystemExit, match='one value for each field'):
        config_of('seed=1,2')

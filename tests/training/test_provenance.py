"""Where a result says that it comes from, against git, the interpreter and the packages themselves."""

import json
import platform
import subprocess

import flax
import jax
import numpy as np
import optax
import pytest

from cnn.training import log, provenance


def git(folder, *arguments) -> str:
    identity = ('-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'commit.gpgsign=false')
    command = ['git', '-C', str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / 'checkout'
    (folder / 'inside').mkdir(parents=True)
    git(folder, 'init', '-q')
    (folder / 'code.py').write_text('1')
    git(folder, 'add', 'code.py')
    git(folder, 'commit', '-q', '-m', 'first')
    return folder


def test_commit_is_that_of_the_checkout(checkout):
    head = git(checkout, 'rev-parse', 'HEAD')
    assert provenance.commit(checkout) == head
    (checkout / 'untracked').write_text('a run leaves files')
    assert provenance.commit(checkout) == head
    (checkout / 'code.py').write_text('2')
    assert provenance.commit(checkout) == f'{head}+changes'


def test_code_installed_inside_another_checkout_has_no_commit(checkout):
    assert provenance.commit(checkout / 'inside') == 'unknown'


def test_without_a_checkout_or_git_the_commit_is_unknown(tmp_path, checkout, monkeypatch):
    assert provenance.commit(tmp_path) == 'unknown'
    assert provenance.commit(tmp_path / 'missing') == 'unknown'
    monkeypatch.setenv('PATH', str(tmp_path))
    assert provenance.commit(checkout) == 'unknown'


def test_versions_are_those_that_run():
    found = provenance.versions()
    assert found['python'] == platform.python_version()
    for module in (jax, flax, optax, np):
        assert found[module.__name__] == module.__version__


def test_result_has_the_fields_that_scripts_rely_on(tmp_path):
    result = provenance.result(
        metrics={'accuracy': np.float32(0.5), 'mean_iou': float('nan')},
        config={'seed': 3, 'milestones': (1, 2)},
        steps=10,
        wall_seconds=1.5,
        images_per_second=float('nan'),
        pictures=['curves.png'],
    )
    log.write_json(tmp_path / 'result.json', result)
    read = json.loads((tmp_path / 'result.json').read_text())
    assert read.keys() == {
        'metrics', 'config', 'seed', 'steps', 'wall_seconds', 'images_per_second', 'versions', 'devices', 'commit',
        'pictures',
    }  # fmt: skip
    assert read['metrics'] == {'accuracy': 0.5, 'mean_iou': None}
    assert read['seed'] == 3
    assert read['devices']['platform'] == 'cpu'
    assert read['devices']['count'] == 4
    assert read['devices']['processes'] == 1

"""docs/extending.md: every block is applied to a copy of the project, in its order, and every command runs there."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```(?P<kind>\w+) ?(?P<path>\S*)\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
COUNTS = """
import jax, jax.numpy as jnp
from cnn import models
shapes = jax.eval_shape(models.create('lenet', num_classes=10).init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
print(sum(leaf.size for leaf in jax.tree.leaves(shapes)))
"""


def applied(text: str, change: str) -> str:
    """`text` with the change: lines that begin with a space or '-' must stand there, once, in this order."""
    lines = change.splitlines()
    before = ''.join(f'{line[1:]}\n' for line in lines if line[:1] in (' ', '-'))
    after = ''.join(f'{line[1:]}\n' for line in lines if line[:1] in (' ', '+'))
    assert text.count(before) == 1, f'stands {text.count(before)} times:\n{before}'
    return text.replace(before, after)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A copy of the project with the page's code, and the page's commands."""
    place, commands = tmp_path_factory.mktemp('copy'), []
    for name in ('cnn', 'configs', 'input_pipeline'):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'main.py', place)
    for block in BLOCK.finditer((ROOT / 'docs' / 'extending.md').read_text()):
        kind, code, path = block['kind'], block['code'], place / block['path']
        if kind == 'sh':
            commands += code.splitlines()
        elif kind == 'python':
            assert not path.exists(), path
            path.write_text(code)
        else:
            assert kind == 'diff', kind
            path.write_text(applied(path.read_text(), code))
    return place, commands


def run(place, *words: str) -> str:
    env = {**os.environ, 'XLA_FLAGS': '--xla_backend_optimization_level=0', 'PYTHONPATH': str(place)}
    done = subprocess.run([sys.executable, *words], cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{words}\n{done.stderr[-3000:]}'
    return done.stdout


def test_every_command_of_the_page_runs(project):
    place, commands = project
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command)
        assert words[0] == 'python'
        printed = run(place, *words[1:])
        if 'counting' in command:
            # Scenes hold one to four digits; whoever says two is wrong by 1 on the average.
            assert float(re.search(r'mae (\d+\.\d+)', printed)[1]) < 3


def test_the_network_has_the_parameters_that_the_page_states(project):
    place, _ = project
    # 20 x 25 + 20, 50 x 20 x 25 + 50, 800 x 500 + 500, 500 x 10 + 10
    assert int(run(place, '-c', COUNTS)) == 520 + 25050 + 400500 + 5010 == 431080


def test_its_code_is_as_clean_as_the_projects(project):
    place, _ = project
    written = [place / m['path'] for m in BLOCK.finditer((ROOT / 'docs' / 'extending.md').read_text()) if m['path']]
    for path in written:
        compile(path.read_text(), str(path), 'exec')
        assert max(len(line) for line in path.read_text().splitlines()) <= 120

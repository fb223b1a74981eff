"""Every command that README.md and docs/ show has a config, fields, flags, modules and scripts that exist."""

import importlib.util
import pathlib
import re
import shlex
import sys

import absl.flags
import pytest

import main
from cnn.experiments import cli, settings, stages

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Applied by tests/docs/test_extending.py to a copy of the project, where its commands run.
RUN = 'extending.md'


def commands():
    for page in PAGES:
        text = page.read_text(encoding='utf-8').replace('\\\n', ' ')
        blocks = re.findall(r'^```sh\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
        inline = re.findall(r'`(python (?:main\.py|-m|benchmarks/)[^`\n]*)`', text)
        for line in [*(line for block in blocks for line in block.splitlines()), *inline]:
            # What comes before main.py (a scheduler, a new environment) is the reader's; so is what follows a #.
            match = re.search(r'(?:python\S*|\$\w+) ((?:main\.py|-m |benchmarks/).*)', line)
            if match and page.name != RUN:
                yield pytest.param(match[1].partition(' # ')[0], id=f'{page.name}: {match[1][:90]}')


@pytest.mark.parametrize('command', list(commands()))
def test_a_command_that_is_shown_can_be_given(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    if words[0] == '-m':
        assert importlib.util.find_spec(words[1]) is not None
        return
    if words[0].startswith('benchmarks/'):
        assert (ROOT / words[0]).is_file()
        return
    if '[' in command or 'NAME' in command or 'runs/' in words[1] or words[1:] == ['--config=configs/mine.py']:
        return
    values = absl.flags.FlagValues()
    main.define(values)
    monkeypatch.setattr(sys, 'argv', words)
    config, _ = cli.parse(values, words)
    settings.check(config)
    stages.check(config)


def test_every_picture_and_page_that_is_linked_is_there():
    for page in PAGES:
        for target in re.findall(r'\]\(([^)#]+)', page.read_text(encoding='utf-8')):
            if not re.match(r'https?:', target):
                assert (page.parent / target).exists(), f'{page.name} links to {target}'

"""docs/faults.md is true: every test that it names exists, and no fault is left out."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'faults.md').read_text()
ROWS = [[cell.strip() for cell in line.split('|')[1:-1]] for line in PAGE.splitlines() if re.match(r'\| \d+ \|', line)]
# The faults that the project set out to survive, and those found on the way.
FAULTS = 42


def names_in(path: pathlib.Path) -> set[str]:
    """Names of the test functions of a file, read as pytest would collect them."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith('test_')}


def test_every_fault_has_a_promise_and_a_test_that_exists():
    assert [int(row[0]) for row in ROWS] == list(range(1, FAULTS + 1))
    known: dict[str, set[str]] = {}
    for number, fault, promise, tests in ROWS:
        assert fault, number
        assert promise, number
        named = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', tests)
        assert named, f'fault {number} has no test'
        assert re.sub(r'`[^`]+`|[, ]', '', tests) == '', f'fault {number}: a test is not written as `FILE::NAME`'
        for file, name in named:
            found = known.setdefault(file, names_in(ROOT / file))
            assert name in found, f'fault {number}: {file} has no {name}'


def test_every_link_of_the_page_leads_somewhere():
    for target in re.findall(r'\]\(([^)]+)\)', PAGE):
        assert (ROOT / 'docs' / target).exists(), target

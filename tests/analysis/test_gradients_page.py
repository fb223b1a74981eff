"""docs/gradients.md: every statement of its code runs, every stated value holds, every word of the notes is there."""

import ast
import pathlib
import re

import numpy as np
import pytest

PAGE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'gradients.md'
WORDS = ('requires_grad', 'backward', 'zero_grad', 'no_grad', 'detach', 'clone', 'retain_graph', 'Freezing')


def blocks():
    """The page's code blocks, each with its place in the page so that a failure names its line."""
    text = PAGE.read_text(encoding='utf-8')
    for found in re.finditer(r'^```python\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        yield text[: found.start(1)].count('\n'), found.group(1)


def test_every_line_runs_and_every_value_holds():
    namespace, run, compared = {}, set(), 0
    for above, code in blocks():
        lines = code.splitlines()
        for statement in ast.parse(code).body:
            place = f'gradients.md:{above + statement.lineno}: {ast.unparse(statement)}'
            stated = lines[statement.end_lineno - 1].partition('  # -> ')[2]
            if not isinstance(statement, ast.Expr):
                assert not stated, place
                exec(compile(ast.Module([statement], []), place, 'exec'), namespace)
            else:
                assert stated, f'{place} states no value'
                value = eval(compile(ast.Expression(statement.value), place, 'eval'), namespace)
                assert value == ast.literal_eval(stated), place
                compared += 1
            run |= set(range(above + statement.lineno, above + statement.end_lineno + 1))
    written = {above + i for above, code in blocks() for i, line in enumerate(code.splitlines(), 1) if line.strip()}
    assert run == written
    assert compared >= 25


@pytest.mark.parametrize('word', WORDS)
def test_each_word_has_a_section_in_both_languages(word):
    text = PAGE.read_text(encoding='utf-8')
    sections = dict(re.findall(r'^## (\S+)\n(.*?)(?=^## |\Z)', text, re.MULTILINE | re.DOTALL))
    assert '```python' in sections[word]
    assert re.search('[가-힣]{2}', sections[word])


def test_stated_gradients_by_finite_differences():
    # The page's first example by hand in NumPy, so that a slip in page and code alike would show.
    w, x, step = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, 3.0]), 1e-6
    loss = lambda w, x: np.sum(w * x**2)  # noqa: E731
    by_w = [(loss(w + step * e, x) - loss(w - step * e, x)) / (2 * step) for e in np.eye(3)]
    by_x = [(loss(w, x + step * e) - loss(w, x - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(by_w, [1, 4, 9], rtol=1e-6)
    np.testing.assert_allclose(by_x, [1, -4, 12], rtol=1e-6)

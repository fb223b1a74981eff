"""Lets a test look at the figure that a plot drew, beside the file that it wrote."""

import contextlib

import pytest

from cnn.plots import figure as figure_module


@pytest.fixture
def figures(monkeypatch):
    """Patches `module.figure`; the returned function takes the module and gives the list that figures are added to."""

    def watch(module):
        seen = []

        @contextlib.contextmanager
        def kept(*arguments, **options):
            with figure_module.figure(*arguments, **options) as canvas:
                yield canvas
                seen.append(canvas)

        monkeypatch.setattr(module, 'figure', kept)
        return seen

    return watch


@pytest.fixture
def words():
    """All texts of a figure that say something."""

    def of(canvas):
        import matplotlib.text

        return [t.get_text() for t in canvas.findobj(matplotlib.text.Text) if t.get_text().strip() and t.get_visible()]

    return of

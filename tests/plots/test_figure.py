"""Files appear whole or not at all, and the caller's matplotlib is left as it was."""

import os

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnn.plots.figure import figure, picture


def test_writes_a_png_of_the_asked_size(tmp_path):
    path = str(tmp_path / 'new' / 'a.png')
    with figure(path, 3, 2, dpi=50) as canvas:
        canvas.subplots().plot([1, 2])
    with Image.open(path) as image:
        assert image.size == (150, 100)
        assert image.format == 'PNG'
    assert os.listdir(tmp_path / 'new') == ['a.png']


@pytest.mark.parametrize('where', ['drawing', 'saving', 'renaming'])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch, where):
    path = tmp_path / 'a.png'
    path.write_bytes(b'old')

    def fail(*_, **__):
        raise OSError('disk full')

    if where == 'saving':
        monkeypatch.setattr(Figure, 'savefig', fail)
    if where == 'renaming':
        monkeypatch.setattr(os, 'replace', fail)

    def draw():
        with figure(str(path), 1, 1):
            if where == 'drawing':
                fail()

    with pytest.raises(OSError, match='disk full'):
        draw()
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a.png']


def test_neither_settings_nor_figures_leak(tmp_path):
    from matplotlib import _pylab_helpers

    settings = {**matplotlib.rcParams}
    with matplotlib.rc_context({'axes.facecolor': 'red', 'text.usetex': True, 'font.size': 30}):
        with figure(str(tmp_path / 'a.png'), 1, 1) as canvas:
            canvas.subplots().set_title('no TeX is run')
        assert matplotlib.rcParams['axes.facecolor'] == 'red'
    assert {**matplotlib.rcParams} == settings
    assert not _pylab_helpers.Gcf.figs
    # The caller's own style does not reach the picture.
    assert np.asarray(Image.open(tmp_path / 'a.png').convert('RGB'))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize('shape', [(1, 1, 3), (28, 28, 1), (5, 900, 3), (3000, 10, 3)])
def test_pictures_of_any_shape(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with figure(str(tmp_path / 'a.png'), 1, 1) as canvas:
        shown = picture(canvas.subplots(), pixels)
    assert shown.shape[-1] == 3
    assert max(shown.shape) <= 1500
    step = -(-shape[0] // len(shown))
    np.testing.assert_array_equal(shown[..., 0], pixels[::step, ::step, 0])

"""Names in pictures: whatever data holds is shown, never interpreted, never warned about (warnings are errors here)."""

import unicodedata

import numpy as np
import pytest
from matplotlib import font_manager

from cnn.plots import confusion, mistakes, predictions, text

# What class and file names have been seen to hold, and worse.
NAMES = [
    '$x_1$',
    '$\\frac{1}{$',
    'a_b^c \\alpha {} % & # ~',
    '고양이',
    unicodedata.normalize('NFD', '한국의 강아지'),
    '犬 🐶',
    'עברית',
    'line\nbreak\ttab\x00\x1b[31m',
    'bad \udc80 bytes',
    '\u200b\u202eevil',
    'n' * 300,
    '',
]


@pytest.fixture
def without_hangul(monkeypatch):
    """As on a machine without an East Asian font, whatever this one has."""
    monkeypatch.setattr(text, '_EAST_ASIAN', ())
    text._families.cache_clear()
    text._glyphs.cache_clear()
    yield
    text._families.cache_clear()
    text._glyphs.cache_clear()


def test_hangul_is_spelt_in_latin_letters_where_no_font_has_it(without_hangul):
    # Revised Romanization, letter by letter: its own transliteration rules (section 3-8).
    assert text.shown('고양이') == 'goyangi'
    assert text.shown('한국') == 'hangug'
    assert text.shown('닭') == 'dalg'
    assert text.shown(unicodedata.normalize('NFD', '물고기')) == 'mulgogi'
    assert text.shown('犬') == '\u25a1'


def test_an_installed_font_with_hangul_is_used(monkeypatch, without_hangul):
    # DejaVu stands in for the font: what is tested is the choice by name and by what it holds.
    monkeypatch.setattr(text, '_EAST_ASIAN', ('DejaVu Sans Mono',))
    assert text._families() == ('DejaVu Sans',)
    monkeypatch.setattr(text, '_SAMPLE', 'A')
    text._families.cache_clear()
    assert text._families() == ('DejaVu Sans', 'DejaVu Sans Mono')


def test_a_font_that_was_removed_since_is_passed_over(monkeypatch, without_hangul):
    gone = font_manager.FontEntry(fname='/nonexistent/gone.ttf', name='Gone Sans')
    monkeypatch.setattr(text, '_EAST_ASIAN', ('Gone Sans',))
    monkeypatch.setattr(font_manager.fontManager, 'ttflist', [*font_manager.fontManager.ttflist, gone])
    assert text._families() == ('DejaVu Sans',)


def test_wordnet_ids_are_left_out_where_all_names_have_one():
    assert text.without_wordnet(['n02088364-beagle', 'n02089973-English_foxhound']) == ('beagle', 'English foxhound')
    cranes = ['n02012849-crane', 'n03126707-crane']
    for names in (['n02088364-beagle', 'dingo'], cranes, ['n02088364', 'n02089973'], []):
        assert text.without_wordnet(names) == tuple(names)


def test_one_line_without_controls():
    assert text.shown('line\nbreak\ttab\x00end') == 'line break tab end'
    assert text.shown('\u200bzero\u202e width') == 'zero width'
    assert text.shown(7) == '7'


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('room', [4, 10, 25])
def test_shortened_names_fit_and_keep_both_ends(name, room):
    short = text.shorten(name, room)
    assert text.width(short) <= room
    full = text.shown(name)
    if text.width(full) <= room:
        assert short == full
    else:
        head, tail = short.split('…')
        assert full.startswith(head)
        assert full.endswith(tail)


def test_east_asian_letters_take_two_places():
    assert text.width('ab') == 2
    assert text.width('고양이') == 6


@pytest.mark.parametrize(
    ('share', 'shown'),
    [(0, '0.0 %'), (1, '100.0 %'), (0.9996, '> 99.9 %'), (0.9994, '99.9 %'), (0.0004, '< 0.1 %'), (0.1234, '12.3 %')],
)
def test_percent_neither_hides_a_doubt_nor_pretends(share, shown):
    assert text.percent(share) == shown


@pytest.mark.parametrize('hangul', ['as installed', 'without'])
def test_every_picture_takes_every_name(hangul, tmp_path, request):
    if hangul == 'without':
        request.getfixturevalue('without_hangul')
    count = len(NAMES)
    every = np.arange(count)
    confusion.draw(np.ones((count, count), int), NAMES, str(tmp_path / 'confusion.png'))
    columns = {'index': every, 'label': every, 'prediction': every[::-1], 'confidence': np.linspace(1, 0, count)}
    mistakes.draw(columns, lambda i: np.zeros((3, 3, 3), np.uint8), NAMES, str(tmp_path / 'mistakes.png'))
    for title in NAMES:
        predictions.draw(
            np.zeros((3, 3, 3), np.uint8), np.full(count, 1 / count), NAMES, str(tmp_path / 'p.png'), title=title
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ['confusion.png', 'mistakes.png', 'p.png']

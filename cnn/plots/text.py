"""Words in pictures: every name that comes from data is shown as it stands, in a font that has its letters.

Names are never read as formulas ('$', '_'), never break a line, and never ask for a glyph that no font here has:
Hangul is then spelt in Latin letters, the rest becomes a box.
"""

import contextlib
import functools
import re
import unicodedata
from collections.abc import Sequence

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# Families with East Asian letters, by system; the first that is installed and has Hangul is used.
_EAST_ASIAN = (
    'Noto Sans CJK KR',
    'Noto Sans KR',
    'Noto Sans CJK JP',
    'NanumGothic',
    'NanumBarunGothic',
    'Malgun Gothic',
    'Apple SD Gothic Neo',
    'AppleGothic',
    'UnDotum',
    'Baekmuk Gulim',
)
# The letter that such a font must have.
_SAMPLE = '한'
_BOX = '\u25a1'
# Folders of ImageNet and of what was made of it.
_WORDNET = re.compile(r'n\d{8}[-_ ]+(.+)')

# Revised Romanization of Korean (2000), letter by letter, without its sound changes.
_INITIAL, _MEDIAL, _FINAL = (
    letters.replace('-', '').split(' ')
    for letters in (
        'g kk n d tt r m b pp s ss - j jj ch k t p h',
        'a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i',
        '- g kk gs n nj nh d l lg lm lb ls lt lp lh m b bs s ss ng j ch k t p h',
    )
)


def shown(value) -> str:
    """`value` as one line of letters that the fonts of `properties` have."""
    text = unicodedata.normalize('NFC', str(value))
    return ''.join(_letter(c) for c in text).strip()


def without_wordnet(names: Sequence[str]) -> tuple[str, ...]:
    """Class names without the WordNet ids that all of them begin with: 'n02088364-beagle' -> 'beagle'.

    Names of another kind, and names that could not be told apart any more, stay as they are.
    """
    found = [_WORDNET.fullmatch(name) for name in names]
    short = tuple(match[1].replace('_', ' ') for match in found if match)
    return short if len(set(short)) == len(names) else tuple(names)


def width(text: str) -> int:
    """The room a text takes, in Latin letters: East Asian ones take two."""
    return sum(2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in text)


def shorten(value, room: int) -> str:
    """`shown(value)` cut in the middle to a `width` of at most `room` (4 or more): a long name keeps both its ends."""
    text = shown(value)
    if width(text) <= room:
        return text
    head, tail = len(text), 0
    while width(text[:head]) > (room - 1) * 2 // 3:
        head -= 1
    while tail < len(text) - head and width(text[:head] + text[len(text) - tail - 1 :]) <= room - 1:
        tail += 1
    return text[:head].rstrip() + '…' + text[len(text) - tail :].lstrip()


def percent(share: float) -> str:
    """A share from 0 to 1 with digits that neither round a doubt away nor pretend."""
    if 0.9995 <= share < 1:
        return '> 99.9 %'
    if 0 < share < 0.0005:
        return '< 0.1 %'
    return f'{100 * share:.1f} %'


def style(**options) -> dict:
    """Keywords for `Axes.text`, `set_title` and tick labels that show a text from `shown` as it stands."""
    return {'parse_math': False, 'fontfamily': list(_families()), **options}


def _letter(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in ('Cc', 'Zl', 'Zp'):
        return ' '
    if unicodedata.category(character) == 'Cf':
        return ''
    if ord(character) in _glyphs():
        return character
    place = ord(character) - 0xAC00
    if 0 <= place < 11172:
        return _INITIAL[place // 588] + _MEDIAL[place % 588 // 28] + _FINAL[place % 28]
    return _BOX


@functools.cache
def _families() -> tuple[str, ...]:
    """DejaVu Sans, which comes with matplotlib, and an East Asian family where one is installed."""
    installed = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    for family in _EAST_ASIAN:
        # The list of fonts is cached over months: one that is gone since is passed over.
        with contextlib.suppress(OSError, RuntimeError):
            if family in installed and ord(_SAMPLE) in FT2Font(installed[family]).get_charmap():
                return 'DejaVu Sans', family
    return ('DejaVu Sans',)


@functools.cache
def _glyphs() -> frozenset[int]:
    """Code points that the families have."""
    points = set()
    for family in _families():
        points |= set(FT2Font(font_manager.findfont(family, fallback_to_default=False)).get_charmap())
    return frozenset(points)

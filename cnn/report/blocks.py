"""What a page is made of; `page.html` knows these and nothing else, and escapes every string in them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cnn.report.curves import Panel

# Cells without a value.
NOTHING = ('', '–')


class Text(NamedTuple):
    """A paragraph; `tone` is '', 'warning', 'good' or 'quiet'."""

    words: str
    tone: str = ''


class Table(NamedTuple):
    """Cells as strings; `strong` are numbers of rows to be set in bold; with `left`, numbers stand left too."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ''
    strong: Sequence[int] = ()
    left: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether it is one of numbers, which are set to the right."""
        if self.left:
            return [False] * len(self.head)
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.head)
        return [any(map(_is_number, c)) and all(_is_number(cell) or cell in NOTHING for cell in c) for c in columns]


class Tiles(NamedTuple):
    """The few numbers that matter most: (label, value, remark)."""

    entries: Sequence[tuple[str, str, str]]


class Curves(NamedTuple):
    """Panels side by side where there is room."""

    panels: Sequence[Panel]


class Picture(NamedTuple):
    """An image as a data URI, and its caption."""

    source: str
    caption: str


class Pictures(NamedTuple):
    """Images below each other, or side by side where they are small."""

    pictures: Sequence[Picture]


class Folded(NamedTuple):
    """Blocks behind a line to click on."""

    summary: str
    blocks: Sequence[Any]


class Section(NamedTuple):
    """A heading and what stands below it; `level` 2 for a run, 3 for a part of one."""

    title: str
    blocks: Sequence[Any]
    level: int = 3
    anchor: str = ''


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or (cell[:1] in '+-.' and cell[1:2].isdigit())


def kind(block: Any) -> str:
    """The block's name, by which the page chooses how to show it."""
    return type(block).__name__

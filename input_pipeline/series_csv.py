"""A person's own series from a CSV file with the columns `subject`, `time` and `value`, one value a line.

    subject,time,value
    Anna,2001,3.5
    Anna,2002,3.7
    Ben,2001,1.2

Times are whole or decimal numbers, months (2001-01) or days (2001-01-31); days that all fall on one day of the month
are months. Each subject's lines stand in order of time, equally spaced, with one step for the whole file. Whatever is
wrong is told with its line and column, and nothing is repaired silently.
"""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from input_pipeline.datasets import nearest
from input_pipeline.series_panel import Panel

COLUMNS = ('subject', 'time', 'value')
_DATE = re.compile(r'\d{4}-\d\d(-\d\d)?$')


class _Line(NamedTuple):
    number: int
    subject: str
    time: str
    value: float


def read(path: str) -> Panel:
    """The panel in a file.

    Raises:
      ValueError: a file that cannot be read, a wrong header, a line that is not subject, time and number, a time that
        comes twice or out of order, a gap; one line that names the file's line and column.
    """
    lines = list(_lines(path))
    if not lines:
        raise ValueError(f'{path}: no values below the header')
    clock = _times(path, lines)
    places: dict[str, list[int]] = {}
    for i, line in enumerate(lines):
        places.setdefault(line.subject, []).append(i)
    for own in places.values():
        _check_order(path, lines, clock, own)
    clock = _as_months(clock)
    _check_spacing(path, lines, clock, places.values())
    values = np.array([line.value for line in lines])
    lengths = sorted(len(own) for own in places.values())
    span = f'{lengths[0]} to {lengths[-1]}' if lengths[0] < lengths[-1] else f'{lengths[0]}'
    note = f'{len(places)} subjects of {span} values'
    times, series = (tuple(array[own] for own in places.values()) for array in (clock, values))
    return Panel(f'series:{path}', tuple(places), times, series, note=note)


def _lines(path: str) -> Iterator[_Line]:
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            _check_header(path, header)
            place = [header.index(name) for name in COLUMNS]
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    _refuse(path, rows.line_num, '', f'{len(row)} cells where the header has {len(header)}')
                subject, time, value = (row[i].strip() for i in place)
                yield _Line(rows.line_num, subject, time, _number(path, rows.line_num, subject, value))
    except OSError as error:
        raise ValueError(f'{path}: {error.strerror}') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text ({error.reason} at byte {error.start})') from None
    except csv.Error as error:
        raise ValueError(f'{path}, line {rows.line_num}: {error}') from None


def _check_header(path: str, header: Sequence[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise ValueError(f'{path}, line 1: unknown column {name!r}{nearest(name, COLUMNS)}; {_FORM}')
    if sorted(header) != sorted(COLUMNS):
        missing = [name for name in COLUMNS if name not in header]
        what = f'column {missing[0]!r} is missing' if missing else 'a column comes twice'
        raise ValueError(f'{path}, line 1: {what}; {_FORM}')


_FORM = 'the columns are subject,time,value'


def _number(path: str, line: int, subject: str, text: str) -> float:
    if not subject:
        _refuse(path, line, 'subject', 'is empty')
    if not text:
        _refuse(path, line, 'value', f'is empty: series have no gaps; fill it in, or take {subject!r} out')
    try:
        value = float(text)
    except ValueError:
        _refuse(path, line, 'value', f'{text!r} is not a number')
    if not np.isfinite(value):
        _refuse(path, line, 'value', f'{text!r} is not a finite number')
    return value


def _times(path: str, lines: Sequence[_Line]) -> np.ndarray:
    """The times of all lines: int64, float64, or datetime64 of months or days; the first line says which."""
    first = lines[0].time
    if match := _DATE.match(first):
        unit, form = ('D', 'YYYY-MM-DD') if match[1] else ('M', 'YYYY-MM')
        found = np.empty(len(lines), f'datetime64[{unit}]')
        for i, line in enumerate(lines):
            try:
                if len(line.time) != len(form):
                    raise ValueError
                found[i] = np.datetime64(line.time, unit)
            except ValueError:
                _refuse(path, line.number, 'time', f'{line.time!r} is not a date {form} as in the first line')
        return found
    numbers = np.empty(len(lines))
    for i, line in enumerate(lines):
        try:
            numbers[i] = float(line.time)
        except ValueError:
            numbers[i] = np.nan
        if not np.isfinite(numbers[i]):
            _refuse(path, line.number, 'time', f'{line.time!r} is not a number, YYYY-MM or YYYY-MM-DD')
    whole = numbers.astype(np.int64)
    return whole if (whole == numbers).all() else numbers


def _check_order(path: str, lines: Sequence[_Line], clock: np.ndarray, own: Sequence[int]) -> None:
    """Every time of a subject once, in order."""
    seen: dict = {}
    for i in own:
        before = seen.setdefault(clock[i].item(), lines[i].number)
        if before != lines[i].number:
            twice = f'{lines[i].time} of {lines[i].subject!r} comes twice, first in line {before}'
            _refuse(path, lines[i].number, 'time', twice)
    for a, b in itertools.pairwise(own):
        if clock[b] < clock[a]:
            late = f'{lines[b].time} of {lines[b].subject!r} comes after {lines[a].time}; sort the lines by time'
            _refuse(path, lines[b].number, 'time', late)


def _as_months(clock: np.ndarray) -> np.ndarray:
    """Days that all are the same day of their month, one that every month has, as months."""
    if clock.dtype != np.dtype('datetime64[D]'):
        return clock
    months = clock.astype('datetime64[M]')
    days = (clock - months.astype('datetime64[D]')).astype(int)
    same = len(np.unique(days)) == 1 and days[0] < 28 and len(np.unique(months)) > 1
    return months if same else clock


def _check_spacing(path: str, lines: Sequence[_Line], clock: np.ndarray, places) -> None:
    """The same step from each value to the next, for all subjects."""
    pairs = [(a, b) for own in places for a, b in itertools.pairwise(own)]
    if not pairs:
        return
    ends = np.array(pairs)
    moved = clock[ends[:, 1]] - clock[ends[:, 0]]
    steps, counts = np.unique(moved, return_counts=True)
    step = steps[counts.argmax()]
    if clock.dtype.kind == 'f':
        # Twelfths of a year written as 2001.08 are rounded: nearly equal steps, while a gap is a whole step at least.
        step = float(f'{np.median(moved):.3g}')
        wrong = np.abs(moved - step) > 0.3 * step
    else:
        wrong = moved != step
    if wrong.any():
        a, b = pairs[int(np.flatnonzero(wrong)[0])]
        what = f'{lines[b].time} of {lines[b].subject!r} follows {lines[a].time}, where the step is {step}'
        _refuse(path, lines[b].number, 'time', f'{what}: fill the gap in, or take {lines[b].subject!r} out')


def _refuse(path: str, line: int, column: str, what: str) -> NoReturn:
    where = f', column {column}' if column else ''
    raise ValueError(f'{path}, line {line}{where}: {what}')

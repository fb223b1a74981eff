"""JPEG at the speed of libjpeg-turbo: what the header says, and decoding no more of the file than is asked for.

libjpeg-turbo's Python bindings decode whole images. Two things spare work all the same: scaling by 1/2, 1/4 or 1/8
while decoding, and stopping below the last row that is wanted, which a sequential JPEG allows by a copy of the file
whose header declares fewer rows: the decoder stops there, its rows are those of the whole image bit for bit.
"""

import threading
from typing import NamedTuple

import numpy as np
import simplejpeg

# Halved chroma is interpolated with the next row of chroma, which is up to three rows of the image away.
_MARGIN = 4
_KEPT = 1 << 26  # bytes of one image that a thread holds on to
_scratch = threading.local()


class Header(NamedTuple):
    """What the markers before the first scan say. `height` and `width` in pixels as stored, before any orientation."""

    height: int
    width: int
    components: int
    orientation: int
    sequential: bool
    at: int


def header(data: bytes) -> Header | None:
    """Reads the markers up to the frame's; None where there is none, or its size is not stated."""
    at, orientation, end = 2, 1, len(data)
    while at + 9 < end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = data[at + 2] << 8 | data[at + 3]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[at + 5] << 8 | data[at + 6], data[at + 7] << 8 | data[at + 8]
            if not height or not width:
                return None
            return Header(height, width, data[at + 9], orientation, marker <= 0xC1, at)
        if marker == 0xE1 and data[at + 4 : at + 10] == b'Exif\0\0':
            orientation = exif_orientation(data[at + 10 : at + 2 + length])
        if marker in (0xD9, 0xDA) or length < 2:
            return None
        at += 2 + length
    return None


def exif_orientation(tiff: bytes) -> int:
    """Tag 0x0112 (1..8) of the first directory of EXIF data; 1 where it is absent or damaged."""
    order = {b'II': 'little', b'MM': 'big'}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    at = int.from_bytes(tiff[4:8], order)
    for entry in range(int.from_bytes(tiff[at : at + 2], order)):
        field = tiff[at + 2 + 12 * entry : at + 14 + 12 * entry]
        if len(field) < 12:
            return 1
        if int.from_bytes(field[:2], order) == 0x0112:
            value = int.from_bytes(field[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1


def decode_whole(data: bytes) -> np.ndarray | None:
    """uint8 `[H, W, 3]` of a grey or colour JPEG without a flaw; None where a more lenient decoder must judge."""
    # A file that lacks its end marker alone is whole: with the marker it decodes without a warning.
    for attempt in (data, data + b'\xff\xd9'):
        try:
            return simplejpeg.decode_jpeg(attempt, 'RGB')
        except ValueError as error:
            if 'Premature end' not in str(error):
                return None
    return None


def decode_top(data: bytes, head: Header, bottom: int, shrink: int) -> np.ndarray | None:
    """The image down to row `bottom` (exclusive, of the stored height), its sides divided by `shrink`, or more of it.

    Args:
      data: a file of one or three components.
      head: its header.
      bottom: rows that are needed.
      shrink: 1, 2, 4 or 8.

    Returns:
      uint8 `[rows, ceil(width / shrink), 3]` in memory that this thread's next call reuses; None where a more lenient
      decoder must judge.
    """
    rows, strict = head.height, True
    # Whatever follows the last row then is "extraneous" to the decoder: it must not be strict, so the file's end is
    # looked at here, where truncated files are told from whole ones.
    if head.sequential and bottom + _MARGIN < head.height and _ends(data) and _one_scan(data, head):
        rows, strict = bottom + _MARGIN, False
        data = b''.join((data[: head.at + 5], rows.to_bytes(2, 'big'), data[head.at + 7 :]))
    sides = {} if shrink == 1 else {'min_height': -(-rows // shrink), 'min_width': -(-head.width // shrink)}
    try:
        return simplejpeg.decode_jpeg(data, 'RGB', buffer=_buffer(rows * head.width * 3), strict=strict, **sides)
    except ValueError:
        return None


def _ends(data: bytes) -> bool:
    """Whether the end marker stands within the last bytes (some writers pad)."""
    return data.rfind(b'\xff\xd9', -32) >= 0


def _one_scan(data: bytes, head: Header) -> bool:
    """Whether the first scan holds every component, as all but very odd sequential files do."""
    at = head.at + 2 + (data[head.at + 2] << 8 | data[head.at + 3])
    while at + 4 < len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            return data[at + 4] == head.components
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return False


def _buffer(size: int) -> np.ndarray:
    """This thread's memory of at least `size` bytes: fresh memory for every image costs a tenth of decoding it."""
    if size > _KEPT:
        return np.empty(size, np.uint8)
    held = getattr(_scratch, 'buffer', None)
    if held is None or len(held) < size:
        held = _scratch.buffer = np.empty(max(size, 1 << 20), np.uint8)
    return held

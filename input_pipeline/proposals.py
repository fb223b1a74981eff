"""Proposals of images: found once for every image of a source, kept in a file, and read with the examples.

A `Finder` says how they are found. `found(source, finder, folder)` looks for those that the file in `folder` lacks and
gives the source with them. The file is a checksum and an `.npz`; what a killed search had found lies beside it in
parts, from which the next one goes on.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import os
import pathlib
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from input_pipeline import file_lock
from input_pipeline.source import Changed, Source, UnreadableError

# Seconds between two parts, and between two lines that say how far a search has come.
_EVERY, _SAID = 20.0, 10.0
_DIGEST = hashlib.sha256().digest_size
Image = bytes | np.ndarray


class Finder(Protocol):
    """How proposals are found.

    Attributes:
      name: one word for the file's name and for messages.
    """

    name: str

    def fingerprint(self) -> str:
        """All that decides which boxes are found, but the pixels."""

    def find(self, images: Iterable[Image]) -> Generator[np.ndarray]:
        """float32 `[n, 4]` for each image, best first: x0, y0, x1, y1 in 0..1 of the upright image; `[0, 4]` for an
        image that cannot be decoded. The images, and results, are taken as they are needed."""


@dataclasses.dataclass(frozen=True)
class Table:
    """The proposals of n examples of a source.

    Attributes:
      places: int64 `[n]`, of the examples in the source, rising.
      sums: uint32 `[n]`, checksums of their images (`checksum`).
      starts: int64 `[n + 1]`, where each one's boxes begin and the last one's end.
      boxes: float32 `[m, 4]`.
    """

    places: np.ndarray
    sums: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray

    @classmethod
    def of(cls, rows: dict[int, tuple[int, np.ndarray]]) -> 'Table':
        """From the checksum and the boxes of each example, by its place."""
        places = sorted(rows)
        boxes = [np.asarray(rows[at][1], np.float32).reshape(-1, 4) for at in places]
        starts = np.cumsum([0, *(len(own) for own in boxes)])
        sums = np.array([rows[at][0] for at in places], np.uint32)
        return cls(np.array(places, np.int64), sums, starts.astype(np.int64), np.concatenate([_NONE, *boxes]))

    def rows(self) -> dict[int, tuple[int, np.ndarray]]:
        """The inverse of `of`."""
        return {int(at): self.row(k) for k, at in enumerate(self.places)}

    def row(self, k: int) -> tuple[int, np.ndarray]:
        """Checksum and boxes of the k-th example."""
        return int(self.sums[k]), self.boxes[self.starts[k] : self.starts[k + 1]]

    def encoded(self) -> bytes:
        """As the file holds it."""
        buffer = io.BytesIO()
        np.savez(buffer, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()

    @classmethod
    def decoded(cls, content: bytes) -> 'Table | None':
        """The inverse of `encoded`; None for what is damaged."""
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        try:
            with np.load(io.BytesIO(content[_DIGEST:]), allow_pickle=False) as arrays:
                return cls(**arrays)
        except (OSError, ValueError, TypeError, zipfile.BadZipFile):
            return None


_NONE = np.zeros((0, 4), np.float32)


def checksum(image: Image) -> int:
    """Of an image as a source gives it: an encoded file's bytes, or pixels."""
    return zlib.crc32(image if isinstance(image, bytes) else np.ascontiguousarray(image))


class Proposed(Changed):
    """Another source's examples with `proposals`, float32 `[n, 4]` as `Finder.find` gives them.

    Args:
      parent: the source.
      table: of the source that `parent` is a selection of; `places` int64 `[N]`: where its examples lie there.
      origin: the table's file, for the message below.
      finder: the finder's fingerprint.

    `read` raises ValueError where an image is not the one that proposals were found for.
    """

    def __init__(self, parent: Source, table: Table, places: np.ndarray, origin: pathlib.Path, finder: str):
        super().__init__(parent)
        self._table, self._origin, self._finder = table, origin, finder
        self._rows = np.searchsorted(table.places, places)

    def read(self, i: int) -> dict[str, Any]:
        example = self._parent.read(i)
        known, boxes = self._table.row(int(self._rows[i]))
        if known != checksum(example['image']):
            raise ValueError(
                f'{self.example_id(i)} is not the image any more that proposals were found for; delete {self._origin}'
            )
        return {**example, 'proposals': boxes}

    def fingerprint(self) -> str:
        return hashlib.sha256(f'{self._parent.fingerprint()}|{self._finder}'.encode()).hexdigest()[:16]


def found(
    source: Source, finder: Finder, folder: str | os.PathLike, *, note: Callable[[str], None] = print
) -> Proposed:
    """A source with the proposals of its images, all of which are then in a file in `folder`.

    Of a selection the file is that of the whole source: folds and slices share it. A second process that asks for the
    same waits for the first. A damaged file is found by its checksum, and made anew.

    Args:
      note: is told what is being looked for, and how far it has come.
    """
    root, places = source.whole()
    key = hashlib.sha256(f'{root.fingerprint()}|{finder.fingerprint()}'.encode()).hexdigest()[:16]
    words = re.sub(r'[^A-Za-z0-9=.-]+', '-', root.info.name)[-60:].strip('-')
    path = pathlib.Path(folder).expanduser() / f'{words}_{finder.name}_{key}.proposals'
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock.held(path.with_suffix('.lock'), lambda: note(f'another process writes {path}; waiting for it')):
        rows = _read(path, note)
        missing = [int(at) for at in np.unique(places) if int(at) not in rows]
        if missing:
            rows |= _search(root, missing, finder, path, note)
            _write(path, Table.of(rows))
        for part in _parts(path):
            part.unlink()
    return Proposed(source, Table.of(rows), places, path, finder.fingerprint())


def _read(path: pathlib.Path, note) -> dict[int, tuple[int, np.ndarray]]:
    """What the file and the parts beside it hold."""
    rows = {}
    for file in (path, *_parts(path)):
        if not file.is_file():
            continue
        table = Table.decoded(file.read_bytes())
        if table is None:
            note(f'{file} is damaged; what it held is found anew')
            file.unlink()
        else:
            rows |= table.rows()
    return rows


def _parts(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path.parent.glob(f'{path.stem}.part_*'))


def _search(root: Source, missing: list[int], finder: Finder, path, note) -> dict[int, tuple[int, np.ndarray]]:
    """The rows of examples that are not known yet, each written down within `_EVERY` seconds of being found."""
    what = f'proposals of {root.info.name} {root.split} by {finder.name}'
    note(f'{what}: {len(missing)} images; kept in {path}')
    sums: collections.deque[tuple[int, int]] = collections.deque()
    rows, fresh, begun = {}, {}, time.monotonic()
    kept_at = said_at = begun
    try:
        with contextlib.closing(finder.find(_images(root, missing, sums))) as results:
            for count, boxes in enumerate(results, 1):
                at, of_image = sums.popleft()
                fresh[at] = (of_image, boxes)
                now = time.monotonic()
                if now - kept_at >= _EVERY:
                    _keep(fresh, path)
                    rows, fresh, kept_at = rows | fresh, {}, now
                if now - said_at >= _SAID and count < len(missing):
                    pace, said_at = count / (now - begun), now
                    left = round((len(missing) - count) / pace)
                    note(f'{what}: {count} of {len(missing)}, {pace:.3g} images/s, {left // 60}:{left % 60:02} left')
    except BaseException:
        _keep(fresh, path)
        raise
    return rows | fresh


def _keep(rows, path: pathlib.Path) -> None:
    if rows:
        _write(path.with_suffix(f'.part_{min(rows):09}'), Table.of(rows))


def _images(root: Source, missing: Iterable[int], sums: collections.deque) -> Iterator[Image]:
    """The images, whose places and checksums go into `sums` as they are taken."""
    for at in missing:
        try:
            image = root.read(at)['image']
        except UnreadableError:
            # It has no pixels: whoever reads it is told so by the source.
            image = b''
        sums.append((at, checksum(image)))
        yield image


def _write(path: pathlib.Path, table: Table) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with open(temporary, 'wb') as file:
            file.write(table.encoded())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Searching:
    """A finder that calls a function of one image in several processes.

    Args:
      function: from an image to its boxes, as SelectiveSearch is; it can be pickled, and its repr says all that it
        depends on.
      name, version: of the finder, and of what it is built upon.
      processes: how many; with one, and for a few images, this one.
    """

    # Images for which starting processes, a second or two, does not pay.
    few = 8

    def __init__(self, function: Callable[[Image], np.ndarray], *, name: str, version: str = '', processes: int = 1):
        self.name, self._function, self._version, self._processes = name, function, version, processes

    def fingerprint(self) -> str:
        return f'{self.name}|{self._version}|{self._function!r}'

    def find(self, images: Iterable[Image]) -> Generator[np.ndarray]:
        images = iter(images)
        first = list(itertools.islice(images, self.few))
        if self._processes == 1 or len(first) < self.few:
            yield from (_boxes(self._function, image) for image in itertools.chain(first, images))
            return
        yield from self._in_processes(first, images)

    def _in_processes(self, first: list[Image], images: Iterator[Image]) -> Generator[np.ndarray]:
        import concurrent.futures
        import multiprocessing

        work, waiting = functools.partial(_boxes, self._function), collections.deque()
        # Not forked: a copy of a process in which JAX's threads run may hang.
        context = multiprocessing.get_context('spawn')
        pool = concurrent.futures.ProcessPoolExecutor(self._processes, context, initializer=_obey_parent)
        try:
            for image in itertools.chain(first, images):
                waiting.append(pool.submit(work, image))
                if len(waiting) > 4 * self._processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _boxes(function: Callable[[Image], np.ndarray], image: Image) -> np.ndarray:
    try:
        return function(image)
    except UnreadableError:
        return _NONE


def _obey_parent() -> None:
    """In a worker: it is its parent that is interrupted; and it ends when that is gone, however that ended."""
    import multiprocessing
    import signal
    import threading

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()

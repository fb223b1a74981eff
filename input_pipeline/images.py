"""A person's own image files, for prediction."""

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from input_pipeline.decode import decode
from input_pipeline.folder import EXTENSIONS, files_below
from input_pipeline.source import UnreadableError


class Images(Sequence):
    """`(path, uint8 [H, W, 3])` of files that are known to be readable; decoded when asked for: any number fits."""

    def __init__(self, paths: list[pathlib.Path]):
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, i: int) -> tuple[str, np.ndarray]:
        return str(self._paths[i]), decode(self._paths[i].read_bytes())


def read_images(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> Images:
    """The images of a file, a folder (with its sub-folders, sorted), or several of either.

    Raises:
      ValueError: where nothing is there, a folder has no images, or a file cannot be read; it names every such file.
    """
    found: list[pathlib.Path] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        path = pathlib.Path(path).expanduser()
        if path.is_dir():
            inside = sorted(files_below(str(path)))
            if not inside:
                raise ValueError(f'no images in {path}; known are {", ".join(EXTENSIONS)}')
            found += [path / name for name in inside]
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f'no such image: {path}')
    if not found:
        raise ValueError('no images given')
    images, unreadable = Images(found), []
    for i, path in enumerate(found):
        try:
            images[i]
        except (OSError, UnreadableError) as error:
            unreadable.append(f'{path} ({error})')
    if unreadable:
        raise ValueError(f'cannot read {len(unreadable)} of {len(found)} images: {"; ".join(unreadable)}')
    return images

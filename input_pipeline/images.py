"""A person's own image files, for prediction."""

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from input_pipeline.decode import decode
from input_pipeline.folder import EXTENSIONS
from input_pipeline.source import UnreadableError


def read_images(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[tuple[str, np.ndarray]]:
    """`(path, uint8 [H, W, 3])` of each image of a file, a folder (with its sub-folders, sorted), or several of either.

    Raises:
      ValueError: where nothing is there, a folder has no images, or a file cannot be read; it names every such file.
    """
    found: list[pathlib.Path] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        path = pathlib.Path(path).expanduser()
        if path.is_dir():
            inside = sorted(f for f in path.rglob('*') if f.suffix.lower() in EXTENSIONS and f.is_file())
            if not inside:
                raise ValueError(f'no images in {path}; known are {", ".join(EXTENSIONS)}')
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f'no such image: {path}')
    if not found:
        raise ValueError('no images given')
    images, unreadable = [], []
    for path in found:
        try:
            images.append((str(path), decode(path.read_bytes())))
        except (OSError, UnreadableError) as error:
            unreadable.append(f'{path} ({error})')
    if unreadable:
        raise ValueError(f'cannot read {len(unreadable)} of {len(found)} images: {"; ".join(unreadable)}')
    return images

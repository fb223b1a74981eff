"""Boxes in the text files of YOLO: for each image a file with a line `class x y width height` for each object, in 0..1.

x and y are the centre's. A line of more numbers is a polygon (`class x y x y ...`), whose box is taken. A missing file
is an image without objects.
"""

import os
import pathlib
from typing import Any

import numpy as np

from input_pipeline.annotated import AnnotatedSource, Objects, class_list, entry, opened, our_name
from input_pipeline.folder import files_below
from input_pipeline.source import Source

_LISTS = ('names.txt', 'classes.txt', 'obj.names', 'labels/classes.txt')


def load(name: str, split: str, root: pathlib.Path) -> Source:
    """The source of a folder with `images/` and `labels/`, or a folder for each split that has both.

    Names and splits are those of a .yaml (`names`, `train`, `val`, `test`), names else of `classes.txt`. The folders
    that a .yaml names may lie beside `root`, in the folder that holds it, and not further away.

    Raises:
      ValueError: where something is missing or not as it should be; the message names the file and the line.
    """
    config = config_of(root)
    names = _names(name, root, config)
    parts = _parts(name, root, config)
    if not parts:
        raise ValueError(f'{name}: no images for the labels of {root}; expected images/ beside labels/')
    info = entry(name, list(names.values()), provides=('boxes',))

    def opening(images: pathlib.Path, labels: pathlib.Path):
        return lambda info, split: _open(info, split, images, labels, root, list(names))

    return opened(info, split, {ours: opening(*folders) for ours, folders in parts.items()})


def config_of(root: pathlib.Path, key: str = 'names') -> dict[str, Any] | None:
    """The first .yaml of a folder that has `key`, or None.

    Raises:
      ValueError: a .yaml that cannot be read.
    """
    import yaml

    for path in sorted([*root.glob('*.yaml'), *root.glob('*.yml')]):
        try:
            content = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f'{path} is not YAML: {" ".join(str(error).split())}') from error
        if isinstance(content, dict) and key in content:
            return content
    return None


def numbered(names: Any, where: str) -> dict[int, str]:
    """Class names by number, from a list or a mapping. Raises ValueError for anything else."""
    if isinstance(names, list):
        return dict(enumerate(str(name) for name in names))
    if isinstance(names, dict) and names and all(isinstance(k, int) and k >= 0 for k in names):
        return {k: str(names[k]) for k in sorted(names)}
    raise ValueError(f'{where}: class names must be a list, or a mapping from whole numbers')


def _names(name: str, root: pathlib.Path, config) -> dict[int, str]:
    if config is None:
        path = next((root / file for file in _LISTS if (root / file).is_file()), None)
        if path is None:
            raise ValueError(f'{name}: no class names in {root}; write them into a .yaml (names:) or classes.txt')
        return dict(enumerate(class_list(path)))
    return numbered(config['names'], f'{name}: the .yaml of {root}')


def _parts(name: str, root: pathlib.Path, config) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """Our split name -> its folders of images and of labels, train first."""
    found = {}
    stated = {our_name(key): config[key] for key in ('train', 'val', 'valid', 'test') if config and config.get(key)}
    for ours, folder in stated.items():
        images = folder_of(name, root, [f'{config.get("path") or "."}/{folder}', folder, f'../{folder}'])
        if images is not None:
            found[ours] = images
    if not stated:
        for word in ('train', 'training', 'val', 'valid', 'validation', 'test'):
            images = folder_of(name, root, [f'images/{word}', f'{word}/images', f'../images/{word}'])
            if images is not None:
                found.setdefault(our_name(word), images)
    if not found and (images := folder_of(name, root, ['images', '../images'])) is not None:
        found['all'] = images
    return {ours: (images, _labels_of(name, root, images)) for ours, images in found.items()}


def folder_of(name: str, root: pathlib.Path, candidates) -> pathlib.Path | None:
    """The first folder of some paths relative to `root` that is there.

    Raises:
      ValueError: for one outside the folder that holds `root`.
    """
    for candidate in candidates:
        if not isinstance(candidate, str):
            raise ValueError(f'{name}: {candidate!r} is not the path of a folder')
        path = pathlib.Path(os.path.normpath(root.absolute() / candidate))
        if not path.is_dir():
            continue
        if not path.is_relative_to(root.absolute().parent):
            raise ValueError(f'{name}: {candidate} leads out of {root.absolute().parent}')
        return path
    return None


def _labels_of(name: str, root: pathlib.Path, images: pathlib.Path) -> pathlib.Path:
    at = len(images.parts) - 1 - images.parts[::-1].index('images') if 'images' in images.parts else None
    beside = [] if at is None else [pathlib.Path(*images.parts[:at], 'labels', *images.parts[at + 1 :])]
    candidates = [root / 'labels' / images.name, *beside, root / 'labels']
    found = next((folder for folder in candidates if folder.is_dir()), None)
    if found is None:
        raise ValueError(f'{name}: no labels for {images}; expected {candidates[0]}')
    return found


def _open(
    info, split: str, images: pathlib.Path, labels: pathlib.Path, root: pathlib.Path, numbers: list[int]
) -> AnnotatedSource:
    place = {number: label for label, number in enumerate(numbers)}
    files = sorted(files_below(str(images)))
    stems = {os.path.splitext(file)[0] for file in files}
    texts = {path.relative_to(labels).with_suffix('').as_posix() for path in labels.rglob('*.txt')}
    alone = sorted(texts - stems - {'classes'})
    shared = labels == root / 'labels' and images.name != 'images'  # one folder for every split's labels
    if alone and not shared:
        raise ValueError(f'{info.name}: {labels}/{alone[0]}.txt has no image in {images} ({len(alone)} such files)')
    objects = []
    for file in files:
        stem = os.path.splitext(file)[0]
        path = labels / f'{stem}.txt'
        objects.append(_read(path, place) if stem in texts else Objects.of([], []))
    base = root.absolute() if images.is_relative_to(root.absolute()) else root.absolute().parent
    below = images.relative_to(base).as_posix()
    return AnnotatedSource(info, split, base, [f'{below}/{file}' for file in files], objects=objects)


def _read(path: pathlib.Path, place: dict[int, int]) -> Objects:
    boxes, labels = [], []
    for number, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
        if not line.strip():
            continue
        try:
            word, *rest = line.split()
            label, values = int(word), [float(one) for one in rest]
        except ValueError:
            values = []
        if not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
            raise ValueError(f'{path}, line {number}: {line.strip()[:60]!r} is not `class x y width height` in 0..1')
        if label not in place:
            raise ValueError(f'{path}, line {number}: class {label} is not one of the {len(place)} named ones')
        if len(values) == 4:
            x, y, w, h = values
            boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
        else:
            corners = np.reshape(values, (-1, 2))
            boxes.append((*corners.min(0), *corners.max(0)))
        labels.append(place[label])
    return Objects.of(boxes, labels)

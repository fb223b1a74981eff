"""`coco:PATH`: a person's own boxes in COCO's JSON files; where there are none, in YOLO's text files (yolo_text.py)."""

import functools
import json
import pathlib
from typing import Any, NamedTuple

from input_pipeline import yolo_text
from input_pipeline.annotated import AnnotatedSource, Objects, entry, existing, opened, our_name, safe_path
from input_pipeline.source import Source

_EXPECTED = (
    'annotations/instances_train.json with the images in train/ (COCO), train/_annotations.coco.json (Roboflow), or '
    'labels/ and images/ with a .yaml that has names (YOLO)'
)


class _Part(NamedTuple):
    """One JSON file: `images` (file name, height, width), `objects` of each, and `names` by category id."""

    images: list[tuple[str, int, int]]
    objects: list[Objects]
    names: dict[int, str]


def load(name: str, split: str) -> Source:
    """The source of `coco:PATH`; its examples have `boxes`, `box_labels`, `box_crowd`.

    PATH holds `annotations/instances_SPLIT.json` and the images in `SPLIT/`, `images/SPLIT/` or `images/`; or a folder
    for each split with `_annotations.coco.json` among its images; or YOLO's text files. `train2017` and its like are
    `train`. Classes are the categories of the training file, by their ids. A single split is divided 80 : 20.

    Raises:
      ValueError: where nothing usable lies there, a file is not as it should be, or an image is missing; the message
        names it.
    """
    root = existing(name, 'coco:')
    files = _files(root)
    if not files:
        if (root / 'labels').is_dir() or yolo_text.config_of(root) is not None:
            return yolo_text.load(name, split, root)
        raise ValueError(f'{name}: no annotations in {root}; expected {_EXPECTED}')
    first = _read(next(iter(files.values())))
    info = entry(name, list(first.names.values()), provides=('boxes',))

    def opening(path: pathlib.Path):
        return lambda info, split: _open(info, split, root, path, first.names)

    return opened(info, split, {ours: opening(path) for ours, path in files.items()})


def _files(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Our split name -> JSON file, train first."""
    found = {path.stem.removeprefix('instances_'): path for path in root.glob('annotations/instances_*.json')}
    found = found or {path.parent.name: path for path in root.glob('*/_annotations.coco.json')}
    found = {our_name(word): path for word, path in sorted(found.items())}
    order = ('train', 'validation', 'test')
    return {ours: found[ours] for ours in sorted(found, key=lambda k: (k not in order, k == 'test', k != 'train', k))}


def _open(info, split: str, root: pathlib.Path, path: pathlib.Path, names: dict[int, str]) -> AnnotatedSource:
    part = _read(path)
    if part.names != names:
        strange = sorted(set(part.names.items()) ^ set(names.items()))[0]
        raise ValueError(f'{path}: its categories are not those of the training file: {strange} is in one alone')
    folder = _image_folder(root, path, [image for image, _, _ in part.images])
    below = folder.relative_to(root).as_posix()
    ids = [image if below == '.' else f'{below}/{image}' for image, _, _ in part.images]
    return AnnotatedSource(info, split, root, ids, objects=part.objects)


def _image_folder(root: pathlib.Path, path: pathlib.Path, images: list[str]) -> pathlib.Path:
    """Where the images of a file lie. Raises ValueError where it is not clear, or some are missing."""
    word = path.stem.removeprefix('instances_')
    if path.parent.name == 'annotations':
        candidates = [root / word, root / 'images' / word, root / 'images', root]
    else:
        candidates = [path.parent]
    counts = [sum((folder / image).is_file() for image in images[:20]) for folder in candidates]
    folder = candidates[counts.index(max(counts))]
    missing = [image for image in images if not (folder / image).is_file()]
    if missing:
        first = folder / missing[0]
        raise ValueError(f'{path}: {len(missing)} of its {len(images)} images are missing, the first is {first}')
    return folder


def _read(path: pathlib.Path) -> _Part:
    status = path.stat()
    return _parse(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _parse(path: pathlib.Path, _size: int, _time: int) -> _Part:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not JSON: {str(error).splitlines()[0]}') from error
    lists = {}
    for key in ('images', 'annotations', 'categories'):
        lists[key] = content.get(key) if isinstance(content, dict) else None
        if not isinstance(lists[key], list):
            raise ValueError(f'{path} has no list {key!r}; it must be a file of COCO instances')
    names = dict(sorted(_each(path, 'categories', lists['categories'], lambda c: (int(c['id']), str(c['name'])))))
    if not names:
        raise ValueError(f'{path} has no categories')
    images = dict(_each(path, 'images', lists['images'], lambda c: (c['id'], (_file(path, c), *_stated_size(c)))))
    if len(images) < len(lists['images']):
        raise ValueError(f'{path}: two of its images have the same id')
    boxes: dict[Any, list] = {key: [] for key in images}
    place = {category: label for label, category in enumerate(names)}

    def box(a):
        x, y, w, h = (float(side) for side in a['bbox'])
        if a['image_id'] not in boxes or a['category_id'] not in place:
            what = 'image' if a['image_id'] not in boxes else 'category'
            raise ValueError(f'{what} {a[f"{what}_id"]!r} is not in the file')
        boxes[a['image_id']].append((x, y, x + w, y + h, place[a['category_id']], bool(a.get('iscrowd', 0))))

    _each(path, 'annotations', lists['annotations'], box)
    objects = [_objects(path, boxes[key], images[key]) for key in images]
    return _Part(list(images.values()), objects, names)


def _objects(path: pathlib.Path, rows: list, image: tuple[str, int, int]) -> Objects:
    size = image[1:]
    if rows and min(size) < 1:
        raise ValueError(f'{path}: image {image[0]} has boxes, but no width and height')
    table = [row[:4] for row in rows]
    return Objects.of(table, [row[4] for row in rows], crowd=[row[5] for row in rows], size=size)


def _each(path: pathlib.Path, key: str, rows: list, read) -> list:
    """`read` of each row. Raises ValueError naming the file and the row that is not as it should be."""
    found = []
    for k, row in enumerate(rows):
        try:
            found.append(read(row))
        except KeyError as error:
            raise ValueError(f'{path}: {key}[{k}] has no {error}') from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f'{path}: {key}[{k}] is not as it should be: {error}') from error
    return found


def _file(path: pathlib.Path, image: dict) -> str:
    return safe_path(image['file_name'], str(path))


def _stated_size(image: dict) -> tuple[int, int]:
    return int(image.get('height') or 0), int(image.get('width') or 0)

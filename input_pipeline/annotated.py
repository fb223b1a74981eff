"""Image files with boxes, masks or labels beside them: what `coco:`, `voc:` and `masks:` have in common."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from input_pipeline import jpeg, splits
from input_pipeline.datasets import DatasetInfo
from input_pipeline.decode import upright_boxes
from input_pipeline.folder import divide, read_file
from input_pipeline.source import Source, UnreadableError, check_labels

# Our split name -> what others call it, in the order in which they are looked for.
SPLIT_NAMES = {
    'train': ('train', 'training'),
    'validation': ('validation', 'val', 'valid'),
    'test': ('test', 'testing'),
}


class Objects(NamedTuple):
    """What is marked in one image: `boxes` float32 `[n, 4]` x0, y0, x1, y1 in 0..1, `labels` int32 `[n]`, `difficult`
    and `crowd` bool `[n]`; `stated` is the height and width that the annotation gives for the image, or zeros."""

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    stated: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, boxes, labels, *, difficult=None, crowd=None, size: tuple[int, int] = (0, 0)) -> 'Objects':
        """From lists; boxes in pixels of an image of `size` (height, width), or in 0..1 without one."""
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        if size[0]:
            boxes = boxes / [size[1], size[0], size[1], size[0]]
        none = np.zeros(len(boxes), bool)
        return cls(
            boxes.astype(np.float32),
            np.asarray(labels, np.int32).reshape(-1),
            none if difficult is None else np.asarray(difficult, bool).reshape(-1),
            none if crowd is None else np.asarray(crowd, bool).reshape(-1),
            (int(size[0]), int(size[1])),
        )


class AnnotatedSource(Source):
    """Image files below `root`.

    Args:
      ids: paths relative to `root`, with forward slashes.
      labels: a class for each image, or None.
      objects: those of each image, or None.
      masks: the path of each image's mask, relative to `root`, or None.

    Raises:
      ValueError: no images, or a label outside the classes.
    """

    def __init__(
        self,
        info: DatasetInfo,
        split: str,
        root: pathlib.Path,
        ids: Sequence[str],
        *,
        labels: Sequence[int] | None = None,
        objects: Sequence[Objects] | None = None,
        masks: Sequence[str] | None = None,
    ):
        if not len(ids):
            raise ValueError(f'{info.name}: split {split!r} has no images')
        self.info, self.split = info, split
        self._root, self._ids, self._objects, self._masks = root, list(ids), objects, masks
        self._labels = None if labels is None else np.asarray(labels, np.int32)
        if labels is not None:
            check_labels(info, self._labels, self.example_id)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def labels(self) -> np.ndarray:
        self.info.require('labels')
        return self._labels

    def example_id(self, i: int) -> str:
        return self._ids[i]

    def read(self, i: int) -> dict[str, Any]:
        try:
            example = {'image': read_file(f'{self._root}/{self._ids[i]}')}
            if self._masks is not None:
                example['segmentation'] = read_file(f'{self._root}/{self._masks[i]}')
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error
        if self._labels is not None:
            example['label'] = int(self._labels[i])
        if self._objects is not None:
            found = self._objects[i]
            example['boxes'] = _as_shown(found, example['image'])
            example['box_labels'] = found.labels
            example['box_difficult'], example['box_crowd'] = found.difficult, found.crowd
        return example

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.info.name.partition(':')[0], self.info.num_classes, self._ids)).encode())
        digest.update(repr((self._masks, self.info.mask_values, self.info.mask_void)).encode())
        for arrays in [self._labels] if self._objects is None else [self._labels, *map(_arrays, self._objects)]:
            digest.update(b'' if arrays is None else np.ascontiguousarray(arrays).tobytes())
        return digest.hexdigest()[:16]


def _arrays(found: Objects) -> np.ndarray:
    return np.column_stack([found.boxes, found.labels, found.difficult, found.crowd])


def _as_shown(found: Objects, image: bytes) -> np.ndarray:
    """Boxes of the image as a viewer shows it.

    Some tools mark the pixels as they are stored, heedless of EXIF. That is certain where the size that they state is
    the stored one and not the one that is shown; elsewhere boxes are taken to refer to the image as shown.
    """
    head = jpeg.header(image) if found.stated[0] and image[:2] == b'\xff\xd8' else None
    if head is None or head.orientation < 5 or head.height == head.width:
        return found.boxes
    return upright_boxes(found.boxes, head.orientation) if found.stated == (head.height, head.width) else found.boxes


def safe_path(name: str, where: str) -> str:
    """A path that data gives, with forward slashes, if it stays below its folder.

    Raises:
      ValueError: for an absolute path, or one that climbs.
    """
    path = pathlib.PurePosixPath(str(name).replace('\\', '/'))
    if path.is_absolute() or '..' in path.parts or not path.parts or '\0' in str(name) or ':' in path.parts[0]:
        raise ValueError(f'{where}: the file name {name!r} leads out of its folder')
    return path.as_posix()


def opened(
    info: DatasetInfo, split: str, parts: Mapping[str, Callable[[DatasetInfo, str], AnnotatedSource]]
) -> Source:
    """The split, or the slice of one, that an expression asks for.

    Args:
      info: the entry without its splits, which are filled in.
      parts: our name of each split that the data comes in -> what opens it. A single one is divided (folder.divide)
        into `train` and `validation`, and is itself `all`.

    Raises:
      ValueError: a split that is not there.
    """
    if len(parts) < 2:
        whole = {'all': 'all', 'train': 'train', 'validation': 'validation'}
        info = dataclasses.replace(info, splits=whole, evaluation_split='validation')
        source = next(iter(parts.values()))(info, split)
        classes = source.labels if 'labels' in info.provides else np.zeros(len(source), np.int32)
        return divide(source, split, classes)
    evaluation = next((ours for ours in ('validation', 'test') if ours in parts), 'train')
    info = dataclasses.replace(info, splits={ours: ours for ours in parts}, evaluation_split=evaluation)
    asked = splits.parse(split)[0]
    source = parts[splits.native_name(info, asked if asked in parts else our_name(asked))](info, split)
    kept = splits.sliced(split, np.zeros(len(source)), source.example_id)
    return source if kept is None else source.select(kept)


def entry(name: str, class_names: Sequence[str], **fields) -> DatasetInfo:
    """The entry of a person's own data, but for its splits (`opened`)."""
    return DatasetInfo(
        name=name,
        num_classes=len(class_names),
        class_names=tuple(class_names),
        splits={},
        evaluation_split='',
        licence="the owner's",
        **fields,
    )


def existing(name: str, prefix: str) -> pathlib.Path:
    """The folder of `coco:PATH` and its like. Raises ValueError where there is none."""
    path = pathlib.Path(name.removeprefix(prefix)).expanduser()
    if not path.is_dir():
        raise ValueError(f'{name}: {path} is not a folder' if path.exists() else f'{name}: {path} does not exist')
    # Without the .. of a path like ../photos, so that what lies below it can be told.
    return pathlib.Path(os.path.normpath(path.absolute()))


def our_name(word: str) -> str:
    """Our name of a split that others call `val2017`, `training`, ...; the word itself where it is none of these."""
    for ours, theirs in SPLIT_NAMES.items():
        if any(word.lower().rstrip('0123456789_-') == one for one in theirs):
            return ours
    return word


def class_list(path: pathlib.Path) -> list[str]:
    """The names of classes that a text file lists, a line each.

    Raises:
      ValueError: not text, or none.
    """
    try:
        names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} cannot be read as a list of names: {error}') from error
    if not names:
        raise ValueError(f'{path} lists no names; write a class on each line')
    return names

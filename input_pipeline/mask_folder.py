"""`masks:PATH`: a person's own images, each with a mask of classes: an image of one channel, or of palette indices.

PATH holds one of

- `images/` and `masks/`, each with a folder for every split or without; or `train/images` and `train/masks`, and so on;
- `train/` and `trainannot/`, `val/` and `valannot/`, ... (CamVid as SegNet's authors give it);
- a .yaml with `train: {images: FOLDER, masks: FOLDER}`, `val: ...` and `classes: {0: name, ...}`;
- `JPEGImages/`, `SegmentationClass/` and `ImageSets/Segmentation/*.txt` (PASCAL VOC, whose classes are known).

A mask is called as its image, but for the extension, or with `_mask` behind it. Classes are those of the .yaml, else
the lines of `names.txt` (line k names the value k), else the values 0 up to the largest that any mask has. 255 is
ignored, and so are classes called void, ignore or unlabeled, and the values that the name itself gives:
`masks:PATH#void=11`, or `#void=0+11`. The classes that remain are numbered without gaps. A single split is divided
80 : 20.
"""

import concurrent.futures
import os
import pathlib
import re
from typing import NamedTuple

import PIL.Image

from input_pipeline import yolo_text
from input_pipeline.annotated import AnnotatedSource, class_list, entry, existing, opened, our_name, safe_path
from input_pipeline.datasets import CATALOGUE, DatasetInfo
from input_pipeline.decode import decode_labels
from input_pipeline.folder import files_below, read_file
from input_pipeline.source import Source, UnreadableError

_VOID = re.compile(r'#void=(\d+(?:[,+]\d+)*)$')
_VOID_NAMES = {'void', 'ignore', 'ignored', 'unlabeled', 'unlabelled'}
_MASK_FOLDERS = ('masks', 'mask', 'annotations', 'labels')
_EXPECTED = 'images/ and masks/, or train/ and trainannot/, or a .yaml that names them'


class Pairs(NamedTuple):
    """The images of one split and their masks, as whole paths."""

    images: list[str]
    masks: list[str]


def load(name: str, split: str) -> Source:
    """The source of `masks:PATH`; its examples have `segmentation`.

    Raises:
      ValueError: where nothing usable lies there, an image has no mask or another size than its mask, a mask is in
        colour or has a value that is no class; the message names the file.
    """
    stated = _VOID.search(name)
    path = _VOID.sub('', name)
    root = existing(path, 'masks:').absolute()
    config = yolo_text.config_of(root, 'classes')
    parts = _parts(name, root, config)
    if not parts:
        raise ValueError(f'{name}: no images with masks in {root}; expected {_EXPECTED}')
    void = {int(value) for value in re.split('[,+]', stated[1])} if stated else set()
    info = _entry(name, root, config, parts, void)
    # A .yaml may name folders beside its own.
    inside = all(path.startswith(f'{root}/') for pairs in parts.values() for path in (*pairs.images, *pairs.masks))
    base = root if inside else root.parent

    def opening(pairs: Pairs):
        return lambda info, split: _open(info, split, base, pairs)

    return opened(info, split, {ours: opening(pairs) for ours, pairs in parts.items()})


def _parts(name: str, root: pathlib.Path, config) -> dict[str, Pairs]:
    """Our split name -> its pairs, train first."""
    if (root / 'SegmentationClass').is_dir() and (root / 'JPEGImages').is_dir():
        return _voc_parts(root)
    found = {}
    for word in ('train', 'training', 'val', 'valid', 'validation', 'test'):
        images, masks = _folders(name, root, config, word)
        if images and masks and our_name(word) not in found:
            found[our_name(word)] = _pairs(images, masks)
    images, masks = _unsplit(root)
    if not found and images and masks:
        found['all'] = _pairs(images, masks)
    return found


def _folders(name: str, root: pathlib.Path, config, word: str) -> tuple[pathlib.Path | None, pathlib.Path | None]:
    stated = (config or {}).get(word)
    if isinstance(stated, dict):
        found = [yolo_text.folder_of(name, root, [stated.get(kind)]) for kind in ('images', 'masks')]
        return found[0], found[1]
    for images, masks in (
        *((f'images/{word}', f'{folder}/{word}') for folder in _MASK_FOLDERS),
        *((f'{word}/images', f'{word}/{folder}') for folder in _MASK_FOLDERS),
        (word, f'{word}annot'),
        (word, f'{word}_labels'),
    ):
        if (root / images).is_dir() and (root / masks).is_dir():
            return root / images, root / masks
    return None, None


def _unsplit(root: pathlib.Path) -> tuple[pathlib.Path | None, pathlib.Path | None]:
    masks = next((root / folder for folder in _MASK_FOLDERS if (root / folder).is_dir()), None)
    return (root / 'images' if (root / 'images').is_dir() else None), masks


def _pairs(images: pathlib.Path, masks: pathlib.Path) -> Pairs:
    """Every image with its mask. Raises ValueError naming the first that lacks the other."""
    by_stem = {os.path.splitext(file)[0]: file for file in sorted(files_below(str(masks)))}
    files = sorted(files_below(str(images)))
    found, lonely = [], []
    for file in files:
        stem = os.path.splitext(file)[0]
        mask = by_stem.pop(stem, None) or by_stem.pop(f'{stem}_mask', None)
        lonely += [] if mask else [file]
        found.append(mask)
    if lonely:
        stem = os.path.splitext(lonely[0])[0]
        what = f'{len(lonely)} of {len(files)} images have no mask'
        raise ValueError(f'{what}: {images / lonely[0]} needs {masks / stem}.png')
    if by_stem:
        mask = masks / next(iter(by_stem.values()))
        raise ValueError(f'{len(by_stem)} masks have no image: {mask} belongs to none in {images}')
    return Pairs([f'{images}/{file}' for file in files], [f'{masks}/{mask}' for mask in found])


def _voc_parts(root: pathlib.Path) -> dict[str, Pairs]:
    masks = {pathlib.PurePath(file).stem: file for file in files_below(str(root / 'SegmentationClass'))}
    images = {pathlib.PurePath(file).stem: file for file in files_below(str(root / 'JPEGImages'))}
    lists = {our_name(path.stem): path for path in sorted(root.glob('ImageSets/Segmentation/*.txt'))}
    order = [*(key for key in ('train', 'validation', 'test') if key in lists), *sorted(lists)]
    stems = {}
    for ours in dict.fromkeys(order):
        listed = [safe_path(line.strip(), str(lists[ours])) for line in lists[ours].read_text().split()]
        missing = [stem for stem in listed if stem not in masks or stem not in images]
        # The test images' masks are not published.
        if missing and not (ours == 'test' and len(missing) == len(listed)):
            raise ValueError(f'{lists[ours]}: {missing[0]!r} has no image, or no mask in SegmentationClass')
        if listed and not missing:
            stems[ours] = listed
    stems = stems or {'all': sorted(set(masks) & set(images))}
    return {
        ours: Pairs(
            [f'{root}/JPEGImages/{images[stem]}' for stem in found],
            [f'{root}/SegmentationClass/{masks[stem]}' for stem in found],
        )
        for ours, found in stems.items()
    }


def _entry(name: str, root: pathlib.Path, config, parts, void: set[int]) -> DatasetInfo:
    """The entry, its classes without those that are ignored."""
    if config is not None:
        names = yolo_text.numbered(config['classes'], f'{name}: the .yaml of {root}')
    elif (root / 'names.txt').is_file():
        names = dict(enumerate(class_list(root / 'names.txt')))
    elif (root / 'SegmentationClass').is_dir():
        names = dict(enumerate(('background', *CATALOGUE['voc'].class_names)))
    else:
        largest = _largest([mask for pairs in parts.values() for mask in pairs.masks])
        names = {value: str(value) for value in range(largest + 1)}
    ignored = void | {value for value, word in names.items() if word.lower() in _VOID_NAMES}
    kept = {value: word for value, word in names.items() if value not in ignored and value != 255}
    if not kept or max(kept) > 254:
        raise ValueError(f'{name}: masks need between one and 255 classes with values of 0..254')
    return entry(
        name,
        list(kept.values()),
        provides=('masks',),
        mask_names=tuple(kept.values()),
        mask_values=tuple(kept),
        mask_void=tuple(sorted(ignored)),
    )


def _largest(masks: list[str]) -> int:
    """The largest value but 255 of any mask."""

    def largest(mask: str) -> int:
        try:
            values = decode_labels(read_file(mask))
        except UnreadableError:
            return 0  # counted and replaced when it is used
        except ValueError as error:
            raise ValueError(f'{mask}: {error}') from error
        return int(values.max(initial=0, where=values != 255))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return max(pool.map(largest, masks))


def _open(info: DatasetInfo, split: str, base: pathlib.Path, pairs: Pairs) -> AnnotatedSource:
    """Checks the sizes, which takes reading the files' headers, so that a wrong pair is found now."""
    for image, mask in zip(pairs.images, pairs.masks, strict=True):
        sizes = _shown(image), _shown(mask)
        if None not in sizes and sizes[0] != sizes[1]:
            of = [f'{width} x {height} pixels' for width, height in sizes]
            raise ValueError(f'{info.name}: {image} has {of[0]}, its mask {mask} has {of[1]}')
    images, masks = ([os.path.relpath(path, base) for path in paths] for paths in pairs)
    return AnnotatedSource(info, split, base, images, masks=masks)


def _shown(path: str) -> tuple[int, int] | None:
    """Width and height of an image as shown; None where it cannot be read."""
    try:
        with PIL.Image.open(path) as image:
            turned = path.lower().endswith(('.jpg', '.jpeg')) and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return image.size[::-1] if turned else image.size
    except Exception:  # Pillow raises whatever its plugins meet; the example is found unreadable when it is used
        return None

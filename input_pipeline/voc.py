"""`voc:PATH`: a person's own boxes in PASCAL VOC's XML files; with a folder a class, as Stanford Dogs has it (dogs.py).

VOC counts pixels from 1 and means the last one too: xmin..xmax covers xmin - 1 to xmax. The size that counts is the one
that the XML states, so that boxes fit images which were resized since.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from input_pipeline import dogs, voc_xml
from input_pipeline.annotated import AnnotatedSource, class_list, entry, existing, opened, our_name, safe_path
from input_pipeline.datasets import CATALOGUE, DatasetInfo
from input_pipeline.folder import files_below
from input_pipeline.source import Source

_NAMES = CATALOGUE['voc'].class_names


def load(name: str, split: str) -> Source:
    """The source of `voc:PATH`.

    PATH is a `VOCdevkit/VOC2007` or its like (`JPEGImages`, `Annotations`, `ImageSets/Main/*.txt`), or holds one. Its
    examples have `boxes`, `box_labels`, `box_difficult`; where every image of a split has a mask in
    `SegmentationClass`, `segmentation` as well (`masks:PATH` reads VOC's segmentation splits). Classes are VOC's twenty
    if there are no others, else those of `names.txt`, or all that the XML files name, in sorted order.

    A single split is divided 80 : 20. Or PATH holds what Stanford Dogs' archives do (dogs.py).

    Raises:
      ValueError: where nothing usable lies there, or a file is not as it should be; the message names it.
    """
    root = existing(name, 'voc:')
    if dogs.is_layout(root):
        return dogs.load(name, split, root)
    inner = [path.parent for path in sorted([*root.glob('VOC*/Annotations'), *root.glob('VOCdevkit/VOC*/Annotations')])]
    if not (root / 'Annotations').is_dir() and len(inner) == 1:
        root = inner[0]
    if not ((root / 'Annotations').is_dir() and (root / 'JPEGImages').is_dir()):
        several = f'; it holds {", ".join(path.name for path in inner)}: name one' if len(inner) > 1 else ''
        raise ValueError(f'{name}: {root} has no JPEGImages and Annotations, nor Images and Annotation{several}')
    return _load_devkit(name, split, root)


def _load_devkit(name: str, split: str, root: pathlib.Path) -> Source:
    images = {pathlib.PurePath(file).stem: file for file in sorted(files_below(str(root / 'JPEGImages')))}
    lists = {our_name(path.stem): path for path in sorted(root.glob('ImageSets/Main/*.txt')) if '_' not in path.stem}
    order = [*(key for key in ('train', 'validation', 'test') if key in lists), *sorted(lists)]
    stems = {ours: _listed(lists[ours], images) for ours in dict.fromkeys(order)}
    stems = {ours: found for ours, found in stems.items() if found}
    stems = stems or {'all': sorted(images)}
    names = _class_names(root, stems)
    provides = {ours: _provided(root, found) for ours, found in stems.items()}
    info = entry(name, names, provides=('boxes',))

    def opening(ours: str):
        def open_split(info, split):
            has_masks = 'masks' in provides[ours]
            return _open(_with_masks(info) if has_masks else info, split, root, images, stems[ours], has_masks)

        return open_split

    return opened(info, split, {ours: opening(ours) for ours in stems})


def _provided(root: pathlib.Path, stems: Iterable[str]) -> tuple[str, ...]:
    masks = {path.stem for path in (root / 'SegmentationClass').glob('*.png')}
    return ('boxes', 'masks') if masks and masks.issuperset(stems) else ('boxes',)


def _with_masks(info: DatasetInfo) -> DatasetInfo:
    names = ('background', *info.class_names)
    return dataclasses.replace(info, provides=('boxes', 'masks'), mask_names=names)


def _open(info, split: str, root: pathlib.Path, images, stems: Sequence[str], has_masks: bool) -> AnnotatedSource:
    place = {class_name: label for label, class_name in enumerate(info.class_names)}
    objects = [voc_xml.read(root / 'Annotations' / f'{stem}.xml', root / 'JPEGImages' / images[stem], first=1,
                            classes=place) for stem in stems]  # fmt: skip
    masks = [f'SegmentationClass/{stem}.png' for stem in stems] if has_masks else None
    ids = [f'JPEGImages/{images[stem]}' for stem in stems]
    return AnnotatedSource(info, split, root, ids, objects=objects, masks=masks)


def _listed(path: pathlib.Path, images: dict[str, str]) -> list[str]:
    """The stems that a split's file lists (a second column is VOC's word on one class). Raises ValueError if absent."""
    stems = [safe_path(line.split()[0], str(path)) for line in path.read_text().splitlines() if line.strip()]
    missing = [stem for stem in stems if stem not in images]
    if missing:
        count = f'{len(missing)} of its {len(stems)} images'
        raise ValueError(f'{path}: {count} are not in JPEGImages, the first is {missing[0]!r}')
    return stems


def _class_names(root: pathlib.Path, stems: dict[str, list[str]]) -> list[str]:
    if (root / 'names.txt').is_file():
        return class_list(root / 'names.txt')
    found = set()
    for stem in sorted({stem for part in stems.values() for stem in part}):
        path = root / 'Annotations' / f'{stem}.xml'
        found |= {voc_xml.text_of(path, one, 'name') for one in voc_xml.tree(path).iter('object')}
    if not found:
        raise ValueError(f'{root}/Annotations names no objects; list the classes in {root}/names.txt')
    return list(_NAMES) if found <= set(_NAMES) else sorted(found)

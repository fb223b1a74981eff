"""A folder a class, and boxes in VOC's XML files: `Images/CLASS/x.jpg` and `Annotation/CLASS/x`, as the archives of
Stanford Dogs hold them, whole or in part.

Examples have `label`, the class's folder, and `boxes` of that class. Splits are those of `train_list.mat` and
`test_list.mat`, in the folder or in `lists/`; without them every fifth image of a class is held out. Several folders
`Images...` are one; a photograph that two of them have is taken once. Pixels are counted from 0.
"""

import pathlib
import re

import numpy as np

from input_pipeline import voc_xml
from input_pipeline.annotated import AnnotatedSource, entry, opened, safe_path
from input_pipeline.datasets import FROM_IMAGENET
from input_pipeline.folder import EXTENSIONS, files_below
from input_pipeline.source import Source

_WORDNET = re.compile(r'n\d{8}-')


def _image_folders(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower().startswith('images'))


def is_layout(root: pathlib.Path) -> bool:
    """Whether a folder holds such data."""
    return (root / 'Annotation').is_dir() and bool(_image_folders(root))


def load(name: str, split: str, root: pathlib.Path) -> Source:
    """The source of such a folder; `name` is for messages.

    Raises:
      ValueError: no images, one without an annotation, or a file that is not as it should be; the message names it.
    """
    files = {}
    for folder in _image_folders(root):
        for file in sorted(files_below(str(folder))):
            key = '/'.join([*file.split('/')[:-1], pathlib.PurePath(file).stem])
            files.setdefault(key, f'{folder.name}/{file}')
    strange = next((key for key in files if '/' not in key or not (root / 'Annotation' / key).is_file()), None)
    if strange is not None:
        raise ValueError(f'{name}: {root / files[strange]} has no annotation; expected {root / "Annotation" / strange}')
    if not files:
        raise ValueError(f'{name}: no images in {", ".join(map(str, _image_folders(root)))}')
    # Of an excerpt, the classes that have images.
    classes = sorted({key.rpartition('/')[0] for key in files})
    parts = _mat_lists(root, files) or {'all': sorted(files)}
    known = FROM_IMAGENET if all(map(_WORDNET.match, classes)) else ''
    info = entry(name, classes, provides=('labels', 'boxes'), contamination=known)

    def opening(keys: list[str]):
        return lambda info, split: _open(info, split, root, classes, files, keys)

    return opened(info, split, {ours: opening(keys) for ours, keys in parts.items()})


def _open(info, split: str, root: pathlib.Path, classes, files, keys: list[str]) -> AnnotatedSource:
    label_of = {folder: label for label, folder in enumerate(classes)}
    labels = [label_of[key.rpartition('/')[0]] for key in keys]
    objects = [voc_xml.read(root / 'Annotation' / key, root / files[key], first=0, label=label)
               for key, label in zip(keys, labels, strict=True)]  # fmt: skip
    return AnnotatedSource(info, split, root, [files[key] for key in keys], labels=labels, objects=objects)


def _mat_lists(root: pathlib.Path, files: dict[str, str]) -> dict[str, list[str]]:
    found = {}
    for ours in ('train', 'test'):
        path = next((p for p in (root / 'lists' / f'{ours}_list.mat', root / f'{ours}_list.mat') if p.is_file()), None)
        if path is None:
            return {}
        found[ours] = _mat_list(path)
        missing = [key for key in found[ours] if key not in files]
        if missing:
            count = f'{len(missing)} of its {len(found[ours])} images'
            raise ValueError(f'{path}: {count} are missing, the first is {missing[0]}')
    return found


def _mat_list(path: pathlib.Path) -> list[str]:
    import scipy.io

    try:
        cells = scipy.io.loadmat(path)['file_list'].ravel()
        names = [safe_path(str(np.ravel(cell)[0]), str(path)) for cell in cells]
    except ValueError as error:
        raise ValueError(str(error) if 'leads out' in str(error) else f'{path} is not a list: {error}') from error
    except Exception as error:  # scipy raises what its parser meets
        raise ValueError(f'{path} is not a list of files: {type(error).__name__}: {error}') from error
    return [name.rpartition('.')[0] if name.lower().endswith(EXTENSIONS) else name for name in names]

"""Data sets that tfds has prepared on disk, read without TensorFlow and without tfds's own reader.

tfds's general reader takes 200 microseconds for a record, a fifth of decoding a photograph; reading and parsing it here
takes about a quarter of that.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from input_pipeline import datasets, jpeg, splits
from input_pipeline.datasets import DatasetInfo
from input_pipeline.example import parse
from input_pipeline.records import ArrayRecordShard, TFRecordShard
from input_pipeline.source import Source, UnreadableError

_COUNT_FROM_ONE = ('voc',)
_SHARDS = {'array_record': ArrayRecordShard, 'tfrecord': TFRecordShard}


class PreparedSource(Source):
    """The records of one split, `shards` of `lengths` records each; `version` is the prepared data's.

    `read` gives what source.Source.read states, as far as the data set provides it.
    """

    def __init__(self, info: DatasetInfo, split: str, version: str, names: list[str], shards: list, lengths: list[int]):
        self.info, self.split = info, split
        self._version, self._names, self._shards, self._lengths = version, names, shards, lengths
        self._starts = np.concatenate([[0], np.cumsum(lengths)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @functools.cached_property
    def labels(self) -> np.ndarray:
        self.info.require('labels')
        labels = np.fromiter((self.read(i)['label'] for i in range(len(self))), np.int32, len(self))
        return labels

    def _locate(self, i: int) -> tuple[int, int]:
        if not 0 <= i < len(self):
            raise IndexError(f'{self.info.name}: example {i} of {len(self)}')
        shard = int(np.searchsorted(self._starts, i, side='right')) - 1
        return shard, i - int(self._starts[shard])

    def example_id(self, i: int) -> str:
        shard, record = self._locate(i)
        return f'{self._names[shard]}#{record}'

    def read(self, i: int) -> dict[str, Any]:
        shard, record = self._locate(i)
        feature = _parse(self._shards[shard].read(record))
        example = {'image': feature['image']}
        if 'labels' in self.info.provides:
            label = int(feature['label'][0])
            if not 0 <= label < self.info.num_classes:
                at, last = self.example_id(i), self.info.num_classes - 1
                raise ValueError(f'{self.info.name}: label {label} of {at} is not one of the classes 0..{last}')
            example['label'] = label
        if 'boxes' in self.info.provides:
            example.update(_boxes(feature, example.get('label')))
            if self.info.tfds_name in _COUNT_FROM_ONE:
                example['boxes'] = _from_zero(example['boxes'], feature['image'])
        if 'segmentation_mask' in feature:
            example['segmentation'] = feature['segmentation_mask']
        return example

    def fingerprint(self) -> str:
        """As Source's, over the prepared version and its shards: reading every label would read the whole set."""
        parts = (self.info.name, self.info.num_classes, self._version, self._names, self._lengths)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _from_zero(boxes: np.ndarray, image: bytes) -> np.ndarray:
    """Boxes whose first pixel is 1 and whose last is meant too, as voc.py has them: tfds divides as the files count."""
    head = jpeg.header(image)
    return boxes if head is None else boxes - np.float32([1 / head.width, 1 / head.height, 0, 0])


def _parse(record: bytes) -> dict[str, bytes | np.ndarray]:
    try:
        feature = parse(record)
    except ValueError as error:
        raise UnreadableError(f'corrupt record: {error}') from error
    if not feature.get('image'):
        raise UnreadableError('corrupt record: it holds no image')
    return feature


def _boxes(feature, label: int | None) -> dict[str, np.ndarray]:
    """What a record says of objects; tfds stores the sides of a box y first. Without a class they have the image's."""
    boxes = feature['objects/bbox' if 'objects/bbox' in feature else 'head_bbox'].reshape(-1, 4)[:, [1, 0, 3, 2]]
    if 'head_bbox' in feature:  # four zeros where there is none
        boxes = boxes[boxes.any(axis=1)]
    labels = np.full(len(boxes), -1 if label is None else label, np.int32)
    found = {'boxes': boxes.astype(np.float32), 'box_labels': labels}
    for key, ours, dtype in (
        ('objects/label', 'box_labels', np.int32),
        ('objects/is_difficult', 'box_difficult', bool),
        ('objects/is_crowd', 'box_crowd', bool),
    ):
        if key in feature:
            found[ours] = feature[key].astype(dtype)
    return found


def load(name: str, split: str, *, data_dir: str = '', manual_dir: str = '') -> Source:
    """Opens a prepared split, every shard of it, so that a missing or damaged one is found now and not hours later.

    Raises:
      ValueError: not prepared (the message says how), unknown or empty split, missing or damaged shard.
    """
    info = datasets.info(name)
    native = splits.native_name(info, splits.parse(split)[0])
    folder = find(info, data_dir, manual_dir)
    import tensorflow_datasets as tfds  # half a second: after the cheap mistakes are found

    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:
        raise ValueError(f'{name}: the description of the data in {folder} is damaged: {_line(error)}') from error
    if native not in builder.info.splits:
        known = ', '.join(sorted(builder.info.splits))
        raise ValueError(f'{name} has no split {native!r} in {folder}; it has: {known}')
    source = _open(_filled_in(info, builder.info.features), split, builder, native)
    first, last = splits.bounds(split, len(source)) if len(source) else (0, 0)
    if first == last:
        raise ValueError(f'{name}: split {split!r} is empty')
    return source if (first, last) == (0, len(source)) else source.select(np.arange(first, last))


def find(info: DatasetInfo, data_dir: str, manual_dir: str = '') -> pathlib.Path:
    """The folder of the newest prepared version. Raises ValueError, saying how to prepare it, where there is none."""
    root = root_folder(data_dir)
    base = root / info.tfds_name / config_name(info)
    versions = [path.parent for path in base.glob('*/dataset_info.json') if path.parent.name.replace('.', '').isdigit()]
    if versions:
        return max(versions, key=lambda path: tuple(int(part) for part in path.name.split('.')))
    needs = f' after putting {" and ".join(info.manual)} into {manual_dir or "a manual_dir"}' if info.manual else ''
    raise ValueError(f'{info.name} is not prepared in {root}; run --mode=prepare{needs}')


def root_folder(data_dir: str) -> pathlib.Path:
    """Where prepared data lies: `data_dir`, or tfds's own default (`TFDS_DATA_DIR`, `~/tensorflow_datasets`)."""
    default = os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
    return pathlib.Path(data_dir or default).expanduser()


def config_name(info: DatasetInfo) -> str:
    """The configuration after the slash of the entry's name, or its default, or nothing."""
    return info.name.partition('/')[2] or (info.tfds_configs[0] if info.tfds_configs else '')


def _filled_in(info: DatasetInfo, features) -> DatasetInfo:
    """The entry with the class names that the data brings; names in the catalogue win, being readable ones."""
    label = features['label'] if 'labels' in info.provides else features['objects'].feature['label']
    names = info.class_names or tuple(label.names)
    return dataclasses.replace(info, num_classes=label.num_classes, class_names=names)


def _open(info: DatasetInfo, split: str, builder, native: str) -> PreparedSource:
    found = builder.info.splits[native]
    file_format = builder.info.file_format.value
    if file_format not in _SHARDS:
        raise ValueError(f'{info.name}: prepared as {file_format}; known are {", ".join(_SHARDS)}')
    paths, lengths = [pathlib.Path(path) for path in found.filepaths], list(found.shard_lengths)
    _allow_open_files(len(paths))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        shards = list(pool.map(_SHARDS[file_format], paths, lengths))
    return PreparedSource(info, split, str(builder.info.version), [path.name for path in paths], shards, lengths)


def _allow_open_files(count: int) -> None:
    """Raises this process's limit of open files where a data set has more shards than it."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

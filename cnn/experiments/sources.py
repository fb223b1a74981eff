"""The data of a config: its splits, what its classes mean, and what its images are normalised by."""

import json
import pathlib
from typing import Any

import input_pipeline
from input_pipeline import box_crop, datasets, series

# Written into the workdir by training, so that a trained network is of use without its data set.
DATASET_FILE = 'dataset.json'
# What weights from Caffe read: pixels from 0 to 255 less ImageNet's mean.
CAFFE = (tuple(value / 255 for value in (123, 117, 104)), (1 / 255,) * 3)


def source(config, split: str):
    """One split of the config's data set, opened and checked; with `augmentation.box_crop`, cut to the boxes."""
    if config.task == 'forecasting':
        sizes = {'past': config.image_size, 'horizon': config.series.horizon, 'subjects': config.series.subjects}
        return series.load(config.dataset, split, **sizes)
    whole = input_pipeline.load(config.dataset, split, data_dir=config.data_dir, manual_dir=config.manual_dir)
    a = config.augmentation
    return box_crop.CroppedToBoxes(whole, a.box_margin) if a.get('box_crop') else whole


def shared(one, other) -> list[str]:
    """Names of the examples that two sources of one data set have in common, in the order of the second."""
    names = {one.example_id(i) for i in range(len(one))}
    return [name for i in range(len(other)) if (name := other.example_id(i)) in names]


def train_source(config):
    """The training split."""
    return source(config, config.input.train_split)


def info(config, workdir: pathlib.Path) -> datasets.DatasetInfo:
    """What the network's outputs mean: as the workdir's run recorded it, else from the data set itself.

    A workdir without a record takes that of the run in `config.init_from`: its network reads what it was trained on.
    """
    record = recorded(config, workdir)
    if record is not None:
        fields = json.loads(record.read_text())
        return datasets.DatasetInfo(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    return source(config, config.input.train_split).info


def recorded(config, workdir: pathlib.Path) -> pathlib.Path | None:
    """The record of the data set that the variables were trained on; None where no run left one."""
    found = (folder / DATASET_FILE for folder in (workdir, pathlib.Path(config.init_from or workdir)))
    return next((file for file in found if file.is_file()), None)


def evaluation_split(config) -> str:
    """The split that scores: the config's, or the data set's own choice."""
    if config.evaluation.split != 'auto':
        return config.evaluation.split
    if config.task == 'forecasting':
        return 'test'
    return input_pipeline.describe(config.dataset, config.input.train_split).evaluation_split


def statistics(config, info: Any, given: dict[str, Any]) -> tuple[Any, Any]:
    """Each channel's mean and deviation that images are normalised by."""
    mean, std = {
        'dataset': (info.mean, info.std),
        'computed': (info.mean, info.std),
        'imagenet': (datasets.IMAGENET_MEAN, datasets.IMAGENET_STD),
        'half': ((0.5,) * 3, (0.5,) * 3),
        'caffe': CAFFE,
    }[config.input.statistics]
    return given.get('mean', mean), given.get('std', std)


def mean_pixel(config) -> tuple[int, int, int]:
    """The pixel that is zero, but for rounding, once it is normalised."""
    info = datasets.info('imagenet2012' if datasets.is_path(config.dataset) else config.dataset)
    return tuple(round(255 * channel) for channel in statistics(config, info, {})[0])

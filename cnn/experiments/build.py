"""From a config to its parts: sources, task, pipelines. The only place where `input_pipeline` and `cnn` meet."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

import input_pipeline
from cnn import models
from cnn.experiments import detectors, initialise, proposing, recipe, settings
from cnn.experiments.errors import UserError
from cnn.models import detectors as networks
from cnn.ops import backend
from cnn.tasks.base import Task
from cnn.tasks.classification import Classification
from cnn.tasks.detection import Detection
from cnn.tasks.forecasting import Forecasting
from cnn.tasks.segmentation import Segmentation
from cnn.training.parallel import Replicas
from input_pipeline import box_crop, canvas, datasets, placement, ready, series, transforms
from input_pipeline.targets import LABELS, Boxes, Masks, Proposals

# Written into the workdir by training, so that a trained network is of use without its data set.
DATASET_FILE = 'dataset.json'
# What weights from Caffe read: pixels from 0 to 255 less ImageNet's mean.
CAFFE = (tuple(value / 255 for value in (123, 117, 104)), (1 / 255,) * 3)


def replicas(config) -> Replicas:
    """The devices that the config's run uses, with what the compiler should be told for them."""
    return Replicas(config.devices, backend.compiler_options())


def stacking(config) -> str:
    """How members of one device share a program (`Members.form`)."""
    # The forecaster's layers are matrix products, which stack well on the CPU too: hundreds of tiny models at once.
    return 'vmap' if config.task == 'forecasting' else 'auto'


def source(config, split: str):
    """One split of the config's data set, opened and checked; with `augmentation.box_crop`, cut to the boxes."""
    if config.task == 'forecasting':
        sizes = {'past': config.image_size, 'horizon': config.series.horizon, 'subjects': config.series.subjects}
        return series.load(config.dataset, split, **sizes)
    whole = input_pipeline.load(config.dataset, split, data_dir=config.data_dir, manual_dir=config.manual_dir)
    a = config.augmentation
    return box_crop.CroppedToBoxes(whole, a.box_margin) if a.get('box_crop') else whole


def train_source(config):
    """The training split."""
    return source(config, config.input.train_split)


def info(config, workdir: pathlib.Path) -> datasets.DatasetInfo:
    """What the network's outputs mean: as the workdir's run recorded it, else from the data set itself."""
    record = workdir / DATASET_FILE
    if record.is_file():
        fields = json.loads(record.read_text())
        return datasets.DatasetInfo(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    return source(config, config.input.train_split).info


def num_classes(config) -> int:
    """The classes of the config's data set; the catalogue's are known without the data. Of series the horizon."""
    if config.task == 'forecasting':
        return config.series.horizon
    return outputs(config, input_pipeline.describe(config.dataset, config.input.train_split))


def outputs(config, info) -> int:
    """The classes that the config's network tells apart on a data set: of its masks, or of its images and boxes."""
    return len(info.mask_names) if config.task == 'segmentation' else info.num_classes


def targets(config) -> Any:
    """What the config's batches bring besides pixels."""
    if config.task == 'detection':
        boxes = Boxes(config.detection.max_boxes)
        return [boxes, Proposals(config.input.max_proposals)] if config.input.proposals else boxes
    return Masks() if config.task == 'segmentation' else LABELS


def with_proposals(config, source):
    """A source whose examples bring the proposals that `targets` asks for, found now where they are not yet."""
    if config.task != 'detection' or not config.input.proposals:
        return source
    return proposing.proposed(config, source, _proposing)


def finder(config) -> Any:
    """What finds an image's proposals (input_pipeline.proposals.Finder); None where the config asks for none."""
    return proposing.finder(config, _proposing) if config.input.proposals else None


def _proposing(run, workdir: pathlib.Path) -> proposing.ByNetwork:
    """The network of the run in a workdir as it proposes."""
    known = info(run, workdir)
    learnt = task(run, known, None)
    variables, _ = initialise.trained(run, workdir, learnt, model(run, outputs(run, known)))
    return proposing.ByNetwork(run, learnt, variables, evaluation_transform(run))


def evaluation_split(config) -> str:
    """The split that scores: the config's, or the data set's own choice."""
    if config.evaluation.split != 'auto':
        return config.evaluation.split
    if config.task == 'forecasting':
        return 'test'
    return input_pipeline.describe(config.dataset, config.input.train_split).evaluation_split


def model(config, num_classes: int, replicas: Replicas | None = None):
    """The config's network; with several replicas and `batch_norm.synchronised`, normalised over all of them."""
    sizes = dict(config.model)
    name = sizes.pop('name')
    if replicas is not None and replicas.axis_name and config.batch_norm.synchronised:
        sizes['norm_axis'] = replicas.axis_name
    create = networks.create if config.task == 'detection' else models.create
    return create(name, num_classes=num_classes, dtype=settings.compute_dtype(config), **sizes)


def task(config, info: Any, replicas: Replicas | None, given: dict[str, Any] | None = None) -> Task:
    """What the config learns on a data set with this `info`.

    Args:
      replicas: without them, for use outside their axis.
      given: settings by path, and `mean` and `std`, that come as arrays and replace the config's (engine.py).
    """
    return _TASKS[config.task](config, info, replicas, given or {})


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


def measured(config, train, images: np.ndarray | None) -> Any:
    """The entry of a training source; with `input.statistics=computed`, with the statistics of its own images.

    Args:
      images: uint8 `[N, H, W, 3]`, where they are in memory already.
    """
    if config.task == 'forecasting':
        # Of each subject, and always of the training part: there are no published ones.
        mean, std = (tuple(values.tolist()) for values in train.statistics())
        return dataclasses.replace(train.info, mean=mean, std=std)
    if config.input.statistics != 'computed':
        return train.info
    batches = [{'image': images}] if images is not None else plain_batches(config, train)
    mean, std = input_pipeline.channel_statistics(batch['image'] for batch in batches)
    return dataclasses.replace(train.info, mean=mean, std=std)


def scored_info(config, workdir: pathlib.Path, source) -> Any:
    """The entry to score a source by: where training measured statistics, with those, not the source's own.

    Raises:
      UserError: the workdir's run had other subjects.
    """
    if config.task != 'forecasting' and config.input.statistics != 'computed':
        return source.info
    if not (workdir / DATASET_FILE).is_file():
        return measured(config, train_source(config), None)
    found = info(config, workdir)
    if config.task == 'forecasting' and found.class_names != source.info.class_names:
        raise UserError(f'{workdir} was trained on other subjects than {config.dataset} has; use a new workdir')
    return found


def _classification(config, info, replicas, given) -> Classification:
    info.require('labels')
    mean, std = statistics(config, info, given)
    return Classification(
        model(config, info.num_classes, replicas),
        num_classes=info.num_classes,
        mean=mean,
        std=std,
        class_names=info.class_names,
        augmentation=recipe.device_fields(config),
        label_smoothing=given.get('loss.label_smoothing', config.loss.label_smoothing),
        dtype=settings.compute_dtype(config),
        ten_crop=config.image_size if config.evaluation.views == 'ten_crop' else 0,
        scales=config.evaluation.scales if config.evaluation.views == 'dense' else (),
    )


def _segmentation(config, info, replicas, given) -> Segmentation:
    info.require('masks')
    mean, std = statistics(config, info, given)
    fields = recipe.device_fields(config)
    if config.augmentation.crop not in recipe.DRAWN and not config.augmentation.progressive:
        # The canvas as it is, which need not be a square.
        fields['size'] = 0
    return Segmentation(
        model(config, len(info.mask_names), replicas),
        num_classes=len(info.mask_names),
        mean=mean,
        std=std,
        class_names=info.mask_names,
        augmentation=fields,
        class_weights=config.loss.class_weights,
        reduction=config.loss.reduction,
        label_smoothing=given.get('loss.label_smoothing', config.loss.label_smoothing),
        dtype=settings.compute_dtype(config),
    )


def _detection(config, info, replicas, given) -> Detection:
    info.require('boxes')
    module = model(config, info.num_classes, replicas)
    return detectors.task(config, info, module, *statistics(config, info, given))


def _forecasting(config, info, replicas, given) -> Forecasting:
    info.require('series')
    return Forecasting(
        model(config, info.num_classes, replicas),
        past=config.image_size,
        horizon=info.num_classes,
        mean=given.get('mean', info.mean),
        step=given.get('std', info.std),
        loss=config.loss.name,
        anchor=config.series.anchor,
        dtype=settings.compute_dtype(config),
    )


_TASKS = {
    'classification': _classification,
    'detection': _detection,
    'forecasting': _forecasting,
    'segmentation': _segmentation,
}


@dataclasses.dataclass
class Resized:
    """A source seen as the network sees it, for pictures."""

    source: Any
    transform: Any

    def image(self, i: int) -> np.ndarray:
        """uint8 `[S, S, 3]`."""
        return apply(self.transform, self.source.read(int(i))['image'])


def shown(config, source) -> Any:
    """A source as a task's pictures take it."""
    return source if config.task == 'forecasting' else Resized(source, evaluation_transform(config))


def apply(transform, image) -> np.ndarray:
    """One encoded or decoded image through a host transform that is not random: uint8 `[H, W, 3]`."""
    out = np.empty((*placement.sides(transform.image_size), 3), np.uint8)
    transform(image, None, out)
    return out


def evaluation_transform(config):
    """The host's part of evaluation: shorter side to `evaluation.resize`, central crop of `image_size`; with masks
    or boxes, the canvas."""
    size = config.image_size
    if config.task in ('detection', 'segmentation'):
        return _canvas(config)
    # The usual ratio of ImageNet evaluation, 256 for a crop of 224; small images are taken whole.
    resize = config.evaluation.resize or (round(size / 0.875) if size > 64 else size)
    if resize < size:
        raise UserError(f'config.evaluation.resize={resize} is smaller than config.image_size={size}')
    if config.evaluation.views == 'ten_crop':
        # The device cuts the crops out of the whole square.
        return transforms.evaluate(resize)
    if config.evaluation.views == 'dense':
        return transforms.evaluate(max(config.evaluation.scales))
    return transforms.evaluate(size, resize=resize)


def _canvas(config, training: bool = False):
    """Whole images in a rectangle of one size, so that nothing is compiled anew for each."""
    if config.task == 'detection':
        return detectors.canvas(config, mean_pixel(config), training)
    c = config.canvas
    size = (c.height or config.image_size, c.width or config.image_size)
    return {'letterbox': canvas.Letterbox, 'pixels': canvas.PadOrCrop, 'stretch': canvas.Stretch}[c.fit](
        size, fill=mean_pixel(config)
    )


def mean_pixel(config) -> tuple[int, int, int]:
    """The pixel that is zero, but for rounding, once it is normalised."""
    info = datasets.info('imagenet2012' if datasets.is_path(config.dataset) else config.dataset)
    return tuple(round(255 * channel) for channel in statistics(config, info, {})[0])


def train_pipeline(config, train, devices):
    """Batches for training: resident where the set fits and needs no random crop by the host, else streaming."""
    if ready.is_ready(train):
        return train_parts(config, train, [np.arange(len(train))], [config.seed], devices)[0]
    resident, options = _training(config, train, devices)
    kind = input_pipeline.Resident if resident else input_pipeline.Streaming
    return kind(with_proposals(config, train), seed=config.seed, **options)


def train_parts(config, source, parts, seeds, devices) -> list[Any]:
    """A training pipeline for each part (places in the source), which share what is resident."""
    if ready.is_ready(source):
        devices.check_batch(config.batch_size, parts=config.optimizer.accumulate_steps)
        return ready.train_parts(source, parts, seeds, **_ready(config, source, config.batch_size, devices))
    resident, options = _training(config, source, devices)
    return input_pipeline.train_parts(with_proposals(config, source), parts, seeds, resident=resident, **options)


def _training(config, source, devices) -> tuple[bool, dict[str, Any]]:
    """Whether training data is resident, and the options of its pipeline beside the seed."""
    a = config.augmentation
    sides = (a.resize_min, a.resize_max)
    if config.task in ('detection', 'segmentation') and a.crop not in recipe.DRAWN:
        transform = _canvas(config, training=True)
    else:
        transform = transforms.train(config.image_size, crop=a.crop, scale=(a.min_area, 1.0), resize=sides)
    devices.check_batch(config.batch_size, parts=config.optimizer.accumulate_steps)
    options = {
        'batch_size': config.batch_size,
        'host_transform': transform,
        'threads': config.input.threads,
        'max_bad_fraction': config.input.max_bad_fraction,
        'targets': targets(config),
        'process_index': devices.process_index,
        'process_count': devices.process_count,
    }
    mode, limit = config.input.mode, config.input.resident_bytes
    if recipe.cut_on_device(config):
        options['host_transform'] = transform = transforms.evaluate(recipe.stored_size(config))
    fits = not transform.draws and input_pipeline.Resident.fits(source, transform.image_size, limit, targets(config))
    if mode == 'resident' and not fits:
        why = f'at {transform.image_size} pixels it needs over {limit} bytes'
        raise UserError(f'config.input.mode=resident does not suit {config.dataset}: {why}; use streaming')
    return mode == 'resident' or (mode == 'auto' and fits), options


def _ready(config, source, batch_size: int, devices) -> dict[str, Any]:
    """The options of a pipeline over arrays (input_pipeline/ready.py)."""
    size, limit = ready.size_in_bytes(source), config.input.resident_bytes
    if config.input.mode == 'streaming' or size > limit:
        why = f'these take {size} bytes, over input.resident_bytes={limit}' if size > limit else 'use auto'
        raise UserError(f'config.input.mode={config.input.mode}: series stay on the device as a whole; {why}')
    place = {'process_index': devices.process_index, 'process_count': devices.process_count}
    return {'batch_size': batch_size, **place}


def plain_batches(config, source):
    """Every example of a source once, as evaluation sees it and without padding: for statistics over a whole set."""
    for batch in whole_set(config, source):
        real = batch['mask'] > 0
        yield {name: value[real] for name, value in batch.items()}


def whole_set(config, source):
    """Evaluation batches of all of a source, not of this process's share alone; iterate it as often as needed."""
    transform, size = evaluation_transform(config), config.evaluation.batch_size or config.batch_size
    options = {'batch_size': size, 'host_transform': transform, 'targets': targets(config)}
    return input_pipeline.evaluation_batches(with_proposals(config, source), **options)


def evaluation_pipeline(config, test, devices):
    """Batches that hold every example exactly once; iterate it as often as the set is scored."""
    if ready.is_ready(test):
        return evaluation_parts(config, test, [np.arange(len(test))], devices)[0]
    resident, options = _evaluation(config, test, devices)
    return input_pipeline.evaluation_batches(with_proposals(config, test), resident=resident, **options)


def evaluation_parts(config, source, parts, devices) -> list[Any]:
    """Evaluation batches of each part (places in the source), which share what is resident."""
    if ready.is_ready(source):
        size = settings.evaluation_batch(config, devices)
        return ready.evaluation_parts(source, parts, **_ready(config, source, size, devices))
    resident, options = _evaluation(config, source, devices)
    return input_pipeline.evaluation_parts(with_proposals(config, source), parts, resident=resident, **options)


def _evaluation(config, source, devices) -> tuple[bool, dict[str, Any]]:
    transform = evaluation_transform(config)
    resident = config.input.mode != 'streaming' and input_pipeline.Resident.fits(
        source, transform.image_size, config.input.resident_bytes, targets(config)
    )
    return resident, {
        'batch_size': settings.evaluation_batch(config, devices),
        'host_transform': transform,
        'threads': config.input.threads,
        'max_bad_fraction': config.input.max_bad_fraction,
        'targets': targets(config),
        'process_index': devices.process_index,
        'process_count': devices.process_count,
    }

"""What a config learns: its task and its network, by the name in `config.task`. A new task is an entry of `KINDS`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import input_pipeline
from cnn import models
from cnn.experiments import detectors, recipe, settings
from cnn.experiments.errors import UserError, nearest
from cnn.experiments.sources import statistics
from cnn.models import detectors as networks
from cnn.tasks.base import Task
from cnn.tasks.classification import Classification
from cnn.tasks.detection import Detection
from cnn.tasks.forecasting import Forecasting
from cnn.tasks.segmentation import Segmentation
from cnn.training.parallel import Replicas
from input_pipeline.targets import LABELS, Boxes, Masks, Proposals


def _classes(_config, info) -> int:
    return info.num_classes


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
      make: (config, info, replicas, given) -> the task; see `task`.
      needs: what a data set must provide for it (`DatasetInfo.provides`).
      targets: of a config, what its batches bring besides pixels (input_pipeline/targets.py).
      outputs: of a config and a data set's entry, how many numbers the network gives, for a place or an image.
    """

    make: Callable[..., Task]
    needs: str
    targets: Callable[[Any], Any] = lambda config: LABELS
    outputs: Callable[[Any, Any], int] = _classes


def kind(config) -> Kind:
    """The entry of the config's task. Raises a UserError for a task that there is not."""
    if config.task not in KINDS:
        raise UserError(f'config.task={config.task!r} is unknown; {nearest(config.task, list(KINDS))}')
    return KINDS[config.task]


def task(config, info: Any, replicas: Replicas | None, given: dict[str, Any] | None = None) -> Task:
    """What the config learns on a data set with this `info`.

    Args:
      replicas: without them, for use outside their axis.
      given: settings by path, and `mean` and `std`, that come as arrays and replace the config's (engine.py).
    """
    info.require(kind(config).needs)
    return kind(config).make(config, info, replicas, given or {})


def targets(config) -> Any:
    """What the config's batches bring besides pixels."""
    return kind(config).targets(config)


def outputs(config, info) -> int:
    """The classes that the config's network tells apart on a data set: of its masks, or of its images and boxes."""
    return kind(config).outputs(config, info)


def num_classes(config) -> int:
    """The classes of the config's data set; the catalogue's are known without the data. Of series the horizon."""
    if config.task == 'forecasting':
        return config.series.horizon
    return outputs(config, input_pipeline.describe(config.dataset, config.input.train_split))


def model(config, num_classes: int, replicas: Replicas | None = None):
    """The config's network; with several replicas and `batch_norm.synchronised`, normalised over all of them."""
    sizes = dict(config.model)
    name = sizes.pop('name')
    if replicas is not None and replicas.axis_name and config.batch_norm.synchronised:
        sizes['norm_axis'] = replicas.axis_name
    create = networks.create if config.task == 'detection' else models.create
    return create(name, num_classes=num_classes, dtype=settings.compute_dtype(config), **sizes)


def _classification(config, info, replicas, given) -> Classification:
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
    module = model(config, info.num_classes, replicas)
    return detectors.task(config, info, module, *statistics(config, info, given))


def _forecasting(config, info, replicas, given) -> Forecasting:
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


def _boxes(config) -> Any:
    boxes = Boxes(config.detection.max_boxes)
    return [boxes, Proposals(config.input.max_proposals)] if config.input.proposals else boxes


KINDS = {
    'classification': Kind(_classification, 'labels'),
    'detection': Kind(_detection, 'boxes', _boxes),
    'forecasting': Kind(_forecasting, 'series'),
    'segmentation': Kind(_segmentation, 'masks', lambda config: Masks(), lambda _, info: len(info.mask_names)),
}

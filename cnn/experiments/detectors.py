"""Detectors as experiments: which task a config's network belongs to, and how whole images come to a canvas."""

from typing import Any

from cnn.experiments import recipe, settings
from cnn.models.detectors import fast_rcnn
from cnn.tasks.detection import Detection
from cnn.tasks.fast_rcnn import FastRCNN
from cnn.tasks.faster_rcnn import FasterRCNN
from cnn.tasks.rcnn import RCNN
from cnn.tasks.sppnet import SPPNet
from cnn.tasks.yolo import YOLO
from input_pipeline import canvas as canvases
from input_pipeline.placement import sides

# By `model.name`: the task, what it takes of `config.loss`, and the sections that it takes as a whole.
_TASKS = {
    'yolo': (YOLO, ('coord', 'noobj', 'rescore', 'rmse_fallback', 'sqrt'), ()),
    'rcnn': (RCNN, (), ('roi', 'windows', 'linear')),
    'sppnet': (SPPNet, ('pretrain',), ('roi', 'windows', 'linear')),
    'fast_rcnn': (FastRCNN, (), ('roi', 'windows', 'linear')),
    'faster_rcnn': (FasterRCNN, ('parts',), ('rpn', 'roi')),
}


def task(config, info: Any, module: Any, mean: Any, std: Any) -> Detection:
    """The detector that the config's network is a part of.

    Args:
      info: the data set's entry.
      mean, std: each channel's, by which images are normalised.
    """
    kind, own, sections = _TASKS[config.model.name]
    fields = recipe.device_fields(config)
    if config.augmentation.crop not in recipe.DRAWN and not config.augmentation.progressive:
        # The canvas as it is, which need not be a square.
        fields['size'] = 0
    # YOLO's paper changes exposure and saturation (section 2.2).
    fields['contrast'] = 0.0
    d = config.detection
    return kind(
        module,
        num_classes=info.num_classes,
        mean=mean,
        std=std,
        class_names=info.class_names,
        augmentation=fields,
        max_boxes=d.max_boxes,
        max_detections=d.max_detections,
        score_threshold=d.score_threshold,
        nms_threshold=d.nms_threshold,
        use_difficult=d.use_difficult,
        ap=config.evaluation.ap,
        dtype=settings.compute_dtype(config),
        **{name: config.loss[name] for name in own},
        **{name: dict(config[name]) for name in sections},
    )


def canvas(config, fill: tuple[int, int, int], training: bool):
    """The host transform that puts whole images into a rectangle of one size (`config.canvas`).

    Args:
      fill: the pixel beside the image.
      training: whether to move the image's edges by `canvas.jitter`, and to draw from `canvas.scales`.
    """
    c = config.canvas
    size = (c.height or config.image_size, c.width or config.image_size)
    if c.fit == 'letterbox':
        return canvases.Letterbox(size, fill=fill)
    if c.fit == 'stretch':
        return canvases.Stretch(size, jitter=c.jitter if training else 0.0, fill=fill)
    scales = tuple(c.scales)
    shortest = (scales if training else max(scales)) if scales else c.shortest or min(sides(size))
    return canvases.ShortestSide(size, shortest=shortest, longest=c.longest or max(sides(size)), fill=fill)


def truncated(config, variables: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The config and variables with the head's dense layers cut to `evaluation.ranks` singular values: a network that
    was trained whole is scored as a smaller one (Girshick 2015, section 3.1).

    Raises:
      ValueError: the head has no such layer, or not so many singular values.
    """
    ranks = tuple(config.evaluation.get('ranks', ()))
    if not any(ranks) or tuple(config.model.ranks) == ranks:
        return config, variables
    own = config.copy_and_resolve_references()
    own.model.ranks = ranks
    by_layer = {f'fc{i}': rank for i, rank in enumerate(ranks, 6) if rank}
    return own, {**variables, 'params': fast_rcnn.truncated_svd(variables['params'], by_layer)}

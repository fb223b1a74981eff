"""How the host brings an image to the network: what is done to it in evaluation and in training, and for pictures."""

import dataclasses
from typing import Any

import numpy as np

from cnn.experiments import detectors, recipe
from cnn.experiments.errors import UserError
from cnn.experiments.sources import mean_pixel
from input_pipeline import canvas, placement, transforms


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


def training_transform(config):
    """The host's part of training: a random crop, or the canvas where objects or masks must stay whole."""
    a = config.augmentation
    if config.task in ('detection', 'segmentation') and a.crop not in recipe.DRAWN:
        return _canvas(config, training=True)
    sides = (a.resize_min, a.resize_max)
    return transforms.train(
        config.image_size, crop=a.crop, scale=(a.min_area, 1.0), resize=sides, antialias=config.input.antialias
    )


def _canvas(config, training: bool = False):
    """Whole images in a rectangle of one size, so that nothing is compiled anew for each."""
    if config.task == 'detection':
        return detectors.canvas(config, mean_pixel(config), training)
    c = config.canvas
    size = (c.height or config.image_size, c.width or config.image_size)
    return {'letterbox': canvas.Letterbox, 'pixels': canvas.PadOrCrop, 'stretch': canvas.Stretch}[c.fit](
        size, fill=mean_pixel(config)
    )


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

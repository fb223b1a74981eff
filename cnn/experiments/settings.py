"""Checks a config before anything is compiled, and derives what it leaves open, after the overrides."""

import math

import jax
import jax.numpy as jnp

from cnn.experiments import recipe
from cnn.experiments.errors import UserError, nearest
from cnn.training import optimizer, profile
from input_pipeline.selective_search import SelectiveSearch

_CHOICES = {
    'precision': ('auto', 'float32', 'bfloat16'),
    'optimizer.name': optimizer.NAMES,
    'schedule.name': optimizer.SCHEDULES,
    'augmentation.crop': ('none', 'pad', 'random', 'random_resized'),
    'augmentation.policy': ('none', 'trivial', 'rand'),
    'evaluation.views': ('center', 'ten_crop', 'dense'),
    'input.statistics': ('dataset', 'imagenet', 'half', 'caffe', 'computed'),
    'input.mode': ('auto', 'resident', 'streaming'),
}
# Fields that must be above zero, and those that may also be zero.
_POSITIVE = ('image_size', 'batch_size', 'epochs', 'optimizer.accumulate_steps', 'evaluation.every_epochs',
             'checkpoint.every_epochs', 'checkpoint.keep', 'schedule.decay_epochs', 'optimizer.epsilon')  # fmt: skip
_NOT_NEGATIVE = ('optimizer.learning_rate', 'optimizer.weight_decay', 'optimizer.clip_norm', 'schedule.warmup_epochs',
                 'devices', 'steps', 'evaluation.batch_size', 'evaluation.resize', 'augmentation.mixup',
                 'augmentation.cutmix',
                 'augmentation.lighting', 'augmentation.pad', 'augmentation.resize_min', 'augmentation.resize_max',
                 'augmentation.color_jitter', 'augmentation.box_margin', 'augmentation.hue', 'augmentation.policy_ops',
                 'augmentation.policy_magnitude', 'input.threads', 'input.resident_size',
                 'input.steps_per_dispatch', 'input.resident_bytes', 'log_every_steps', 'seed')  # fmt: skip
_FRACTIONS = ('optimizer.momentum', 'optimizer.beta1', 'optimizer.beta2', 'optimizer.ema_decay', 'loss.label_smoothing',
              'schedule.final_fraction', 'augmentation.random_erasing', 'augmentation.min_area',
              'augmentation.mix_switch', 'folds.early_stopping',
              'input.max_bad_fraction')  # fmt: skip


def field(config, path: str):
    """The value at `a.b` of a config."""
    for part in path.split('.'):
        config = config[part]
    return config


def check(config) -> None:
    """Raises a UserError for the first value that is out of range, unknown or contradictory."""
    for path in (*_CHOICES, *_POSITIVE, *_NOT_NEGATIVE, *_FRACTIONS):
        try:
            field(config, path)
        except (KeyError, AttributeError):
            raise UserError(f'the config has no field {path}: it was written for another version; add it') from None
    for path, choices in _CHOICES.items():
        value = field(config, path)
        if value not in choices:
            raise UserError(f'config.{path}={value!r} is unknown; {nearest(value, choices)}')
    for path in (*_POSITIVE, *_NOT_NEGATIVE, *_FRACTIONS):
        value = field(config, path)
        if not math.isfinite(value):
            raise UserError(f'config.{path}={value} is not a finite number')
    for path in _POSITIVE:
        if field(config, path) <= 0:
            raise UserError(f'config.{path}={field(config, path)} must be above 0')
    for path in _NOT_NEGATIVE:
        if field(config, path) < 0:
            raise UserError(f'config.{path}={field(config, path)} must not be negative')
    for path in _FRACTIONS:
        if not 0 <= field(config, path) <= 1:
            raise UserError(f'config.{path}={field(config, path)} must lie between 0 and 1')
    if config.evaluation.views == 'dense' and not config.evaluation.scales:
        raise UserError('config.evaluation.views=dense needs config.evaluation.scales, as (256,384,512)')
    if config.task == 'forecasting' and config.input.statistics != 'computed':
        raise UserError('config.input.statistics: series are scaled by their training part; use computed')
    if config.task == 'segmentation':
        _check_segmentation(config)
    if config.task == 'detection':
        _check_detection(config)
    if config.optimizer.ema_decay == 1:
        raise UserError('config.optimizer.ema_decay=1 never moves the average; use for example 0.999')
    if any(b <= a for a, b in zip(config.schedule.milestones, config.schedule.milestones[1:], strict=False)):
        raise UserError(f'config.schedule.milestones={tuple(config.schedule.milestones)} must rise')
    optimizer.parse_rates(config.optimizer.rates)
    profile.parse(config.profile)
    recipe.stages(config, 1000)
    if recipe.cut_on_device(config):
        recipe.stored_size(config)


def _check_segmentation(config) -> None:
    fits = ('letterbox', 'pixels', 'stretch')
    if config.canvas.fit not in fits:
        raise UserError(f'config.canvas.fit={config.canvas.fit!r} is unknown; {nearest(config.canvas.fit, fits)}')
    if min(config.canvas.height, config.canvas.width) < 0:
        raise UserError('config.canvas.height and width must not be negative; 0 is image_size')
    if config.evaluation.views != 'center':
        raise UserError(f'config.evaluation.views={config.evaluation.views} is for classification; use center')


def _check_detection(config) -> None:
    fits, kinds = ('letterbox', 'shortest', 'stretch'), ('area', 'eleven_point')
    for path, choices in (('canvas.fit', fits), ('evaluation.ap', kinds)):
        value = field(config, path)
        if value not in choices:
            raise UserError(f'config.{path}={value!r} is unknown; {nearest(value, choices)}')
    c, d = config.canvas, config.detection
    if min(c.height, c.width) < 0:
        raise UserError('config.canvas.height and width must not be negative; 0 is image_size')
    if c.jitter and c.fit != 'stretch':
        raise UserError(f'config.canvas.jitter moves the edges of images with fit=stretch, not with {c.fit}')
    if min(d.max_boxes, d.max_detections, config.input.max_proposals) < 1:
        raise UserError('config.detection.max_boxes and max_detections, and input.max_proposals, must be at least 1')
    SelectiveSearch(**config.input.search)
    if config.evaluation.views != 'center':
        raise UserError(f'config.evaluation.views={config.evaluation.views} is for classification; use center')
    if config.augmentation.policy != 'none' or config.augmentation.mixup or config.augmentation.cutmix:
        raise UserError('config.augmentation: policy, mixup and cutmix do not move boxes; leave them off')


def compute_dtype(config):
    """float32, or bfloat16 where `precision` says so or, with 'auto', on accelerators."""
    if config.precision == 'auto':
        return jnp.float32 if jax.default_backend() == 'cpu' else jnp.bfloat16
    return jnp.dtype(config.precision)


def evaluation_batch(config, replicas) -> int:
    """The evaluation's batch: the config's, or the training batch rounded up to the devices."""
    if config.evaluation.batch_size:
        replicas.check_batch(config.evaluation.batch_size, 'evaluation.batch_size')
        return config.evaluation.batch_size
    return -(-config.batch_size // replicas.count) * replicas.count


def steps_per_dispatch(config) -> int:
    """How many steps of a resident set one dispatch runs."""
    return config.input.steps_per_dispatch or (1 if jax.default_backend() == 'cpu' else 32)

"""The augmentation section of a config: what of it the device does, and at which image sizes."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from cnn.experiments.errors import UserError

# Crops that the host draws, unless the data is resident.
DRAWN = ('random', 'random_resized')


def device_fields(config) -> dict[str, Any]:
    """The fields of an `Augmentation` (cnn/tasks/augmentation.py) for a task on square images of `image_size`."""
    a = config.augmentation
    return {
        'size': config.image_size,
        'window': a.crop if cut_on_device(config) else 'none',
        'min_area': a.min_area,
        'resize_min': a.resize_min,
        'resize_max': a.resize_max,
        'flip': 0.5 if a.flip else 0.0,
        'pad_and_crop': a.pad if a.crop == 'pad' else 0,
        'policy': a.policy,
        'policy_ops': a.policy_ops,
        'policy_magnitude': a.policy_magnitude,
        'brightness': a.color_jitter,
        'contrast': a.color_jitter,
        'saturation': a.color_jitter,
        'hue': a.hue,
        'lighting': a.lighting,
        'random_erasing': a.random_erasing,
        'mixup': a.mixup,
        'cutmix': a.cutmix,
        'mix_switch': a.mix_switch,
    }


def without_augmentation(config):
    """A copy of the config whose task sees training images as they are."""
    plain = config.copy_and_resolve_references()
    plain.augmentation.update({'crop': 'none', 'flip': False, 'policy': 'none', 'progressive': ''})
    for name in ('lighting', 'color_jitter', 'hue', 'random_erasing', 'mixup', 'cutmix'):
        plain.augmentation[name] = 0.0
    return plain


def cut_on_device(config) -> bool:
    """Whether random crops are cut on the device, out of resident squares: only where the config asks for that.

    The host cuts whole rectangles at full resolution; the device has the central square at the stored resolution, so it
    sees less of a long picture, and enlarges where a part is smaller than what comes out. An epoch then takes no host.
    """
    return config.input.mode == 'resident' and config.augmentation.crop in DRAWN


def stored_size(config) -> int:
    """The side of resident squares that the device cuts crops out of.

    Raises:
      UserError: `input.resident_size` is smaller than `image_size`.
    """
    size, a = config.image_size, config.augmentation
    usual = a.resize_max if a.crop == 'random' else round(size / 0.875) if size > 64 else size
    stored = config.input.resident_size or usual
    if stored < size:
        raise UserError(f'config.input.resident_size={stored} is smaller than config.image_size={size}')
    return stored


@dataclasses.dataclass(frozen=True)
class Stage:
    """Training at one image size up to the step `until`."""

    size: int
    until: int


def stages(config, total: int) -> list[Stage]:
    """The stages of a training of `total` steps by `augmentation.progressive`; one where that is empty.

    Small images first are cheaper (Tan and Le 2021, arXiv:2104.00298, section 4), and the last stage adapts to the size
    that is tested (Touvron et al. 2019, arXiv:1906.06423). Stages that `total` leaves no step are left out.

    Raises:
      UserError: the text is not SIZE@SHARE,SIZE@SHARE with rising shares between 0 and 1 and sizes up to `image_size`.
    """
    text = config.augmentation.progressive
    found = []
    for item in filter(None, text.split(',')):
        size, _, share = item.partition('@')
        try:
            found.append((int(size), float(share)))
        except ValueError:
            problem = f'{item!r} is not SIZE@SHARE, as 128@0.4'
            raise UserError(f'config.augmentation.progressive={text!r}: {problem}') from None
    shares = [0.0, *(share for _, share in found), 1.0]
    if any(not a < b for a, b in itertools.pairwise(shares)):
        raise UserError(f'config.augmentation.progressive={text!r}: shares must rise between 0 and 1')
    if any(not 0 < size <= config.image_size for size, _ in found):
        raise UserError(
            f'config.augmentation.progressive={text!r}: sizes must lie between 1 and config.image_size='
            f'{config.image_size}'
        )
    ends = [round(share * total) for share in shares]
    sizes = [*(size for size, _ in found), config.image_size]
    return [Stage(size, end) for size, start, end in zip(sizes, ends, ends[1:], strict=False) if end > start]


def at_stage(config, stage: Stage):
    """The config of a stage's task: images come as they do for `config`, and the device makes them the stage's size."""
    if stage.size == config.image_size:
        return config
    copy = config.copy_and_resolve_references()
    a, ratio = copy.augmentation, stage.size / config.image_size
    copy.image_size = stage.size
    # The same share of the picture as at full size.
    a.resize_min, a.resize_max = (max(stage.size, round(side * ratio)) for side in (a.resize_min, a.resize_max))
    return copy


def check_sizes(config, task_of: Callable[[Any], Any], variables: Any, stages: Sequence[Stage]) -> None:
    """Raises a UserError where a stage would need variables of other shapes; nothing is computed."""
    shapes = jax.tree.map(np.shape, variables)
    for stage in stages:
        if stage.size == config.image_size:
            continue
        task = task_of(at_stage(config, stage))
        found = jax.eval_shape(task.init, jax.random.key(0), task.dummy_batch(stage.size))
        if jax.tree.map(np.shape, found) != shapes:
            raise UserError(
                f'config.augmentation.progressive: at {stage.size} pixels the network has parameters of other shapes; '
                'train one that pools over the whole image (resnet, densenet, googlenet)'
            )


def in_stages(advances: dict[int, Callable], stages: Sequence[Stage], step_of: Callable[[Any], int]) -> Callable:
    """One function (state, batches) -> state of those of each image size, which changes between them by the step.

    Args:
      advances: by image size.
      step_of: reads a state's step; called once, for then it is counted.
    """
    if len(stages) == 1:
        return advances[stages[0].size]
    step = None

    def advance(state, batches):
        nonlocal step
        if step is None:
            step = step_of(state)
        for stage in stages:
            part = batches[: max(stage.until - step, 0)]
            if part:
                state = advances[stage.size](state, part)
                step, batches = step + len(part), batches[len(part) :]
        return state

    return advance

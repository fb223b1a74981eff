"""The device's part of a classification recipe: which of cnn/ops/augment.py and its neighbours run, in what order."""

import dataclasses
import difflib
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cnn.ops import augment, color, keys, mixing

_PROBABILITIES = ('flip', 'random_erasing', 'mix_switch')


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths, 0 for off. Pixels first (crop, flip, colour, lighting), then normalised images (erasing, mixing).

    Attributes:
      flip: probability of a left-right flip, 0.5 as a rule.
      pad_and_crop: zeros added around, in pixels, before the original size is cut out at random.
      brightness, contrast, saturation: factors in [1 - x, 1 + x].
      hue: turns in [-x, x] of the colour circle, at most 0.5.
      lighting: standard deviation of AlexNet's colour noise, 0.1 as a rule.
      random_erasing: probability of erasing a rectangle.
      mixup, cutmix: alpha of their Beta distribution, 0.2 and 1.0 as a rule.
      mix_switch: with both on, the probability that a batch takes cutmix.
    """

    flip: float = 0.0
    pad_and_crop: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    lighting: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_switch: float = 0.5

    def __post_init__(self):
        for field in dataclasses.fields(self):
            name, value = f'augmentation.{field.name}', getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ValueError(f'{name} is {value!r}; give a number, 0 or more (0 turns it off)')
            if field.name in _PROBABILITIES and value > 1:
                raise ValueError(f'{name} is {value!r}; give a probability from 0 to 1')
        if self.pad_and_crop != int(self.pad_and_crop):
            raise ValueError(f'augmentation.pad_and_crop is {self.pad_and_crop!r}; give whole pixels')
        if self.hue > 0.5:
            raise ValueError(f'augmentation.hue is {self.hue!r}; half the colour circle, 0.5, is the most there is')

    @classmethod
    def of(cls, values: 'Augmentation | Mapping | None') -> 'Augmentation':
        """From a mapping of the field names.

        Raises:
          ValueError: for an unknown name or a value out of range, naming the right one.
        """
        if isinstance(values, cls):
            return values
        known = [f.name for f in dataclasses.fields(cls)]
        for name in values or {}:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(known)}'
                raise ValueError(f'unknown field augmentation.{name}; {hint}')
        return cls(**dict(values or {}))

    @property
    def mixes(self) -> bool:
        """Whether targets become soft."""
        return self.mixup > 0 or self.cutmix > 0

    def images(self, key, images, row, *, mean, std, dtype=jnp.float32) -> jax.Array:
        """Augments uint8 `[B, H, W, 3]` and normalises it into `dtype`; each example by the key and its `row` alone."""
        if self.pad_and_crop:
            images = augment.pad_and_crop(keys.stream(key, 'crop'), images, row, pad=int(self.pad_and_crop))
        if self.flip:
            images = augment.random_flip(keys.stream(key, 'flip'), images, row, probability=self.flip)
        jitter = {n: getattr(self, n) for n in ('brightness', 'contrast', 'saturation', 'hue')}
        if any(jitter.values()):
            images = color.color_jitter(keys.stream(key, 'color'), images, row, **jitter)
        if self.lighting:
            images = color.lighting(keys.stream(key, 'lighting'), images, row, std=self.lighting)
        images = augment.normalize(images, mean, std, dtype=dtype)
        if self.random_erasing:
            erasing_key = keys.stream(key, 'erasing')
            images = augment.random_erasing(erasing_key, images, row, probability=self.random_erasing)
        return images

    def mix(self, key, images, targets, mask) -> tuple[jax.Array, jax.Array]:
        """Mixup or cutmix of normalised images and distributions `[B, C]`, between neighbours in the batch."""
        return mixing.mix(
            keys.stream(key, 'mixing'),
            images,
            targets,
            mixup_alpha=self.mixup,
            cutmix_alpha=self.cutmix,
            switch=self.mix_switch,
            mask=mask,
        )

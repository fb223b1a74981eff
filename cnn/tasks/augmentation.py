"""The device's part of a training recipe: which of cnn/ops/augment.py and its neighbours run, in what order."""

import dataclasses
import difflib
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cnn.ops import augment, color, geometry, keys, mixing, policies, windows

_CHOICES = {'window': ('none', 'random', 'random_resized'), 'policy': ('none', 'trivial', 'rand')}
_PROBABILITIES = ('flip', 'random_erasing', 'mix_switch', 'min_area')
_WHOLE = ('size', 'pad_and_crop', 'resize_min', 'resize_max', 'policy_ops', 'policy_magnitude')


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths, 0 for off. Order: cut, flip, policy, colour, lighting; then, of normalised images, erasing and mixing.

    Attributes:
      size: the side that images are resized to, where they come with another one; 0 leaves them.
      window: what is cut out before that, of images that come larger: `random_resized` (Szegedy et al. 2015), with
        `min_area` of the image at least, or `random` (AlexNet, VGG), a square of `size` pixels of the image resized to
        between `resize_min` and `resize_max`.
      flip: probability of a left-right flip, 0.5 as a rule.
      pad_and_crop: zeros added around, in pixels, before the original size is cut out at random.
      policy: `trivial` (TrivialAugment) or `rand` (RandAugment with `policy_ops` operations of the strength
        `policy_magnitude`, 0 to 30); for images without boxes and masks, which it does not move.
      brightness, contrast, saturation: factors in [1 - x, 1 + x].
      hue: turns in [-x, x] of the colour circle, at most 0.5.
      lighting: standard deviation of AlexNet's colour noise, 0.1 as a rule.
      random_erasing: probability of erasing a rectangle.
      mixup, cutmix: alpha of their Beta distribution, 0.2 and 1.0 as a rule.
      mix_switch: with both on, the probability that a batch takes cutmix.
    """

    size: int = 0
    window: str = 'none'
    min_area: float = 0.08
    resize_min: int = 256
    resize_max: int = 256
    flip: float = 0.0
    pad_and_crop: int = 0
    policy: str = 'none'
    policy_ops: int = 2
    policy_magnitude: int = 9
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
            if field.name in _CHOICES:
                if value not in _CHOICES[field.name]:
                    raise ValueError(f'{name} is {value!r}; there are {", ".join(_CHOICES[field.name])}')
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ValueError(f'{name} is {value!r}; give a number, 0 or more (0 turns it off)')
            if field.name in _PROBABILITIES and value > 1:
                raise ValueError(f'{name} is {value!r}; give a share from 0 to 1')
            if field.name in _WHOLE and value != int(value):
                raise ValueError(f'{name} is {value!r}; give a whole number')
        if self.hue > 0.5:
            raise ValueError(f'augmentation.hue is {self.hue!r}; half the colour circle, 0.5, is the most there is')
        if self.policy_magnitude > policies.STEPS:
            raise ValueError(f'augmentation.policy_magnitude is {self.policy_magnitude!r}; give 0 to {policies.STEPS}')
        if self.window != 'none' and not self.size:
            raise ValueError(f'augmentation.window={self.window} needs augmentation.size, the side that comes out')
        if self.window == 'random' and not self.size <= self.resize_min <= self.resize_max:
            raise ValueError(
                f'augmentation.resize_min={self.resize_min} and resize_max={self.resize_max} must not fall, from '
                f'augmentation.size={self.size} on'
            )

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
        images = self.example(key, {'image': images}, row, mean=mean, std=std, dtype=dtype)['image']
        if self.random_erasing:
            erasing_key = keys.stream(key, 'erasing')
            images = augment.random_erasing(erasing_key, images, row, probability=self.random_erasing)
        return images

    def example(self, key, example, row, *, mean, std, dtype=jnp.float32) -> geometry.Example:
        """Augments examples with what belongs to their pixels; neither erases nor mixes.

        Args:
          example: `image` uint8 `[B, H, W, 3]`, and `boxes`, `box_labels`, `segmentation` where the task has them
            (cnn/ops/geometry.py); other entries pass through.
          row: int32 `[B]`; what happens to an example depends on the key and its row alone.

        Returns:
          The same entries, moved; `image` normalised, in `dtype`.

        Raises:
          ValueError: a policy for examples with boxes or masks.
        """
        example = self._cut(key, example, row)
        if self.flip:
            example = geometry.random_flip(keys.stream(key, 'flip'), example, row, probability=self.flip)
        if self.policy != 'none' and not {'boxes', 'segmentation'}.isdisjoint(example):
            raise ValueError(f'augmentation.policy={self.policy} moves pixels, not boxes or masks; set it to none')
        images = self._pixels(key, example['image'], row)
        return {**example, 'image': augment.normalize(images, mean, std, dtype=dtype)}

    def _cut(self, key, example, row) -> geometry.Example:
        size, (height, width) = self.size, example['image'].shape[1:3]
        if self.window == 'random_resized':
            draws = keys.uniforms(keys.stream(key, 'window'), row, windows.RESIZED_DRAWS)
            window = windows.random_resized(draws, height, width, area=(self.min_area, 1.0))
            example = geometry.crop_and_resize(example, window, height=size, width=size)
        elif self.window == 'random':
            draws = keys.uniforms(keys.stream(key, 'window'), row, windows.SQUARE_DRAWS)
            shortest = (self.resize_min, self.resize_max)
            window = windows.random_square(draws, height, width, size=size, shortest=shortest)
            example = geometry.crop_and_resize(example, window, height=size, width=size)
        elif size:
            example = geometry.resize(example, height=size, width=size)
        if self.pad_and_crop:
            example = geometry.pad_and_crop(keys.stream(key, 'crop'), example, row, pad=int(self.pad_and_crop))
        return example

    def _pixels(self, key, images, row) -> jax.Array:
        if self.policy == 'trivial':
            images = policies.trivial_augment(keys.stream(key, 'policy'), images, row)
        elif self.policy == 'rand' and self.policy_ops:
            ops, magnitude = int(self.policy_ops), int(self.policy_magnitude)
            images = policies.rand_augment(keys.stream(key, 'policy'), images, row, ops=ops, magnitude=magnitude)
        jitter = {n: getattr(self, n) for n in ('brightness', 'contrast', 'saturation', 'hue')}
        if any(jitter.values()):
            images = color.color_jitter(keys.stream(key, 'color'), images, row, **jitter)
        if self.lighting:
            images = color.lighting(keys.stream(key, 'lighting'), images, row, std=self.lighting)
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

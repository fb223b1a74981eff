"""Random windows to cut out of images: from uniform draws, the laws of input_pipeline/transforms.py on the device.

A window is top, left, height and width in whole pixels, float32 `[B, 4]`, and lies inside a `height` x `width` image.
"""

import math

import jax
import jax.numpy as jnp

_TRIES = 10
RESIZED_DRAWS, SQUARE_DRAWS = 4 * _TRIES, 3


def random_resized(
    draws: jax.Array,
    height: int,
    width: int,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """A part of random area and shape (Szegedy et al. 2015, arXiv:1409.4842, section 6; torchvision's sampling).

    Args:
      draws: float32 `[B, 40]` in [0, 1).
      area: least and greatest share of the image, uniform.
      ratio: least and greatest width over height, uniform in its logarithm.

    Returns:
      The first of ten tries that fits; where none does, the largest central part whose ratio is allowed.
    """
    share, shape, y, x = jnp.moveaxis(draws.reshape(-1, _TRIES, 4), -1, 0)
    target = height * width * (area[0] + share * (area[1] - area[0]))
    least, greatest = map(math.log, ratio)
    shape = jnp.exp(least + shape * (greatest - least))
    wide, tall = jnp.round(jnp.sqrt(target * shape)), jnp.round(jnp.sqrt(target / shape))
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    found = jnp.stack([_place(y, height, tall), _place(x, width, wide), tall, wide], -1)
    first = jnp.take_along_axis(found, jnp.argmax(fits, 1)[:, None, None], 1)[:, 0]
    tall, wide = height, width
    if width / height < ratio[0]:
        tall = min(height, max(1, round(width / ratio[0])))
    elif width / height > ratio[1]:
        wide = min(width, max(1, round(height * ratio[1])))
    central = jnp.asarray([(height - tall) // 2, (width - wide) // 2, tall, wide], jnp.float32)
    return jnp.where(fits.any(1)[:, None], first, central)


def random_square(
    draws: jax.Array, height: int, width: int, *, size: int, shortest: tuple[int, int] = (256, 256)
) -> jax.Array:
    """A random square of `size` pixels of an image whose shortest side is first resized to a random length.

    Krizhevsky et al. 2012 (224 of 256); Simonyan and Zisserman 2014, section 3.1 ("scale jittering", 256 to 512).

    Args:
      draws: float32 `[B, 3]` in [0, 1).
      size: at most the least of `shortest`.
      shortest: least and greatest length of the shortest side, uniform over whole pixels.

    Returns:
      The square in pixels of the image as it is.
    """
    scale, y, x = jnp.moveaxis(draws, 1, 0)
    side = jnp.minimum(shortest[0] + jnp.floor(scale * (shortest[1] - shortest[0] + 1)), shortest[1])
    square = jnp.maximum(1.0, jnp.round(size * min(height, width) / side))
    return jnp.stack([_place(y, height, square), _place(x, width, square), square, square], -1)


def _place(draw: jax.Array, side: int, length: jax.Array) -> jax.Array:
    """The start of a `length` in a `side`, each place equally likely."""
    return jnp.clip(jnp.floor(draw * (side - length + 1)), 0, side - length)

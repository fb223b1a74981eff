"""Device-side augmentation of whole batches: views, erasing, normalisation.

Pure functions: the key first, then images `[B, H, W, C]` and `row` int32 `[B]` (each example's row in the global
batch), options keyword-only. What happens to an example depends on the key and its row, not on the batch around it.
Flips and crops are in geometry.py, colour in color.py, policies in policies.py, mixing of examples in mixing.py.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from cnn.ops import keys, resample


def normalize(images: jax.Array, mean, std, *, dtype=jnp.float32) -> jax.Array:
    """`(images / 255 - mean) / std` in `dtype`, from pixels 0 to 255 (uint8 or float) `[..., C]`.

    `mean` and `std` are per channel, in units of full brightness (0 to 1). Computed in float32, then cast.
    """
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    return (images.astype(jnp.float32) * (1.0 / (255.0 * std)) - mean / std).astype(dtype)


def ten_crop(images: jax.Array, *, size: int) -> jax.Array:
    """The four corners and the centre, then their mirror images: `[B, H, W, C]` to `[B, 10, size, size, C]`, any dtype.

    The test-time views of Krizhevsky et al. 2012 (section 4.1): 224 of 256.

    Raises:
      ValueError: for images smaller than `size`.
    """
    height, width = images.shape[1:3]
    down, right = height - size, width - size
    if min(down, right) < 0:
        raise ValueError(f'ten crops of {size} x {size} do not fit in images of {height} x {width}')
    corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    crops = jnp.stack([images[:, top : top + size, left : left + size] for top, left in corners], 1)
    return jnp.concatenate([crops, crops[:, :, :, ::-1]], 1)


def scaled_views(images: jax.Array, *, sizes: Sequence[int]) -> list[jax.Array]:
    """Each image and its mirror image at several sides, for dense evaluation at several scales.

    Args:
      images: uint8 `[B, S, S, 3]`.
      sizes: sides in pixels; S itself keeps the pixels, others are resized bilinearly, antialiased.

    Returns:
      For each side s uint8 `[B, 2, s, s, 3]`.
    """
    views = []
    for size in sizes:
        scaled = resample.resize(images, height=size, width=size)
        views.append(jnp.stack([scaled, scaled[:, :, ::-1]], axis=1))
    return views


def random_erasing(
    key: jax.Array,
    images: jax.Array,
    row: jax.Array,
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 3.3),
    fill: float = 0.0,
    attempts: int = 10,
) -> jax.Array:
    """Paints a random rectangle of each image with `fill` (Zhong et al. 2020, arXiv:1708.04896); any dtype.

    Meant for normalised images, where 0 is the mean colour. The rectangle covers a uniform share `area` of the image
    with a log-uniform `aspect` ratio (height over width); the first of `attempts` draws that is smaller than the image
    in both directions is used, and an image for which none is stays as it is.
    """
    height, width = images.shape[1:3]
    draws = keys.uniforms(key, row, 1 + 4 * attempts)
    share, ratio, top, left = jnp.moveaxis(draws[:, 1:].reshape(-1, attempts, 4), -1, 0)
    share = (area[0] + share * (area[1] - area[0])) * height * width
    ratio = jnp.exp(math.log(aspect[0]) + ratio * (math.log(aspect[1]) - math.log(aspect[0])))
    tall, wide = jnp.round(jnp.sqrt(share * ratio)), jnp.round(jnp.sqrt(share / ratio))
    fits = (tall < height) & (wide < width)
    first = jnp.argmax(fits, 1)[:, None]
    tall, wide, top, left = (jnp.take_along_axis(v, first, 1) for v in (tall, wide, top, left))
    top, left = jnp.floor(top * (height - tall + 1)), jnp.floor(left * (width - wide + 1))
    erase = fits.any(1) & (draws[:, 0] < probability)
    y, x = jnp.arange(height)[None], jnp.arange(width)[None]
    rows, columns = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
    hole = rows[:, :, None] & columns[:, None, :] & erase[:, None, None]
    return jnp.where(hole[..., None], jnp.asarray(fill, images.dtype), images)

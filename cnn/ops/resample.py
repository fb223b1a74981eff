"""Antialiased resizing of windows as two matrix products an image, with the weights of Pillow's bilinear filter.

Pillow rounds to whole levels between the two directions; here nothing is rounded but the result, so that both agree to
a grey level.
"""

import jax
import jax.numpy as jnp


def crop_and_resize(images: jax.Array, windows: jax.Array, *, height: int, width: int) -> jax.Array:
    """Cuts a window out of each image and resizes it, as Pillow's `image.crop(window).resize(size, BILINEAR)`.

    Args:
      images: `[B, H, W, C]`, any dtype; integers come out rounded.
      windows: top, left, height and width in pixels, `[B, 4]` of whole numbers in any dtype, inside the image, not
        empty.
      height, width: of what comes out.

    Returns:
      `[B, height, width, C]` of the images' dtype.
    """
    top, left, tall, wide = jnp.moveaxis(windows.astype(jnp.float32), 1, 0)
    rows = _weights(top, tall, images.shape[1], height)
    columns = _weights(left, wide, images.shape[2], width)
    return jax.vmap(_resampled)(images, rows, columns)


def resize(images: jax.Array, *, height: int, width: int) -> jax.Array:
    """Whole images `[B, H, W, C]` resized to `[B, height, width, C]`; those of this size already keep their pixels."""
    if images.shape[1:3] == (height, width):
        return images
    rows, columns = (
        _weights(jnp.zeros(1), jnp.full(1, float(side)), side, size)[0]
        for side, size in zip(images.shape[1:3], (height, width), strict=True)
    )
    return jax.vmap(_resampled, (0, None, None))(images, rows, columns)


def _weights(start: jax.Array, length: jax.Array, side: int, size: int) -> jax.Array:
    """`[B, size, side]`: what each of `side` pixels adds to each of the `size` that a window becomes; rows sum to 1.

    A triangle as wide as two pixels of the result, or of the image where that is enlarged, cut off at the window.
    """
    start, length = start[:, None, None], length[:, None, None]
    scale = length / size
    pixel = jnp.arange(side) + 0.5
    centre = start + (jnp.arange(size)[:, None] + 0.5) * scale
    weights = jnp.maximum(1.0 - jnp.abs(pixel - centre) / jnp.maximum(scale, 1.0), 0.0)
    weights = jnp.where((pixel > start) & (pixel < start + length), weights, 0.0)
    return weights / weights.sum(-1, keepdims=True)


def _resampled(image, rows, columns):
    """`[H, W, C]` by weights `[S, H]` and `[T, W]` to `[S, T, C]`."""
    pixels = jnp.einsum('sh,hwc->swc', rows, image.astype(jnp.float32), precision='highest')
    pixels = jnp.einsum('tw,swc->stc', columns, pixels, precision='highest')
    if jnp.issubdtype(image.dtype, jnp.integer):
        pixels = jnp.floor(pixels + 0.5)
    return pixels.astype(image.dtype)

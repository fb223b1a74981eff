"""Regions cut out of images with some of what is around them, and warped to squares: R-CNN's input.

Girshick et al. 2014 (arXiv:1311.2524, appendix A), in whole pixels as the authors' two programs do it (rcnn_im_crop.m
of the release and Caffe's window data layer). A box is grown about its centre so that in the warped square so many
pixels of context lie on each side, whatever its shape. What of it lies beyond the image is filling.
"""

import jax
import jax.numpy as jnp

# The paper's square and context.
SIZE, CONTEXT = 227, 16
_TIE = 2.0**-10


def context_of(size: int) -> int:
    """The paper's context, 16 pixels of 227, in a square of another size."""
    return round(CONTEXT * size / SIZE)


def warp(
    images: jax.Array, boxes: jax.Array, index: jax.Array, windows: jax.Array, *, size: int = SIZE, context: int = -1
) -> jax.Array:
    """`[N, size, size, C]` of the images' dtype: region by region, two taps in either direction, not antialiased.

    Args:
      images: normalised, `[B, H, W, C]`: 0 is the mean, and the filling.
      boxes: float32 `[N, 4]`, x0, y0, x1, y1 in pixels of the input. A box without area comes out as something finite.
      index: int32 `[N]`, the image of each.
      windows: float32 `[B, 4]`, the part of the input that each image covers; beyond it is filling.
      context: pixels of the square on each side around the box; -1 for `context_of(size)`. The release's box is half a
        pixel beside its place and one pixel larger where there is any; so is this one.

    Raises:
      ValueError: a context that leaves nothing of the square.
    """
    context = context_of(size) if context < 0 else context
    if 2 * context >= size:
        raise ValueError(f'{context} pixels of context on each side leave nothing of a square of {size}')
    boxes, own = (x.astype(jnp.float32) for x in (jax.lax.stop_gradient(boxes), windows[index]))
    rows = _taps(boxes[:, 1], boxes[:, 3], own[:, 1], own[:, 3], size, context)
    columns = _taps(boxes[:, 0], boxes[:, 2], own[:, 0], own[:, 2], size, context)
    (top, bottom, down, in_rows), (left, right, across, in_columns) = rows, columns
    count, height, width, channels = images.shape
    flat, first = images.reshape(-1, channels), (index * (height * width))[:, None]

    def pixels(row, column):
        at = (first + row * width)[:, :, None] + column[:, None, :]
        return jnp.take(flat, jnp.clip(at, 0, count * height * width - 1), axis=0)

    across, down = across[:, None, :, None].astype(images.dtype), down[:, :, None, None].astype(images.dtype)
    upper = pixels(top, left) * (1 - across) + pixels(top, right) * across
    lower = pixels(bottom, left) * (1 - across) + pixels(bottom, right) * across
    inside = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    return jnp.where(inside, upper * (1 - down) + lower * down, 0)


def _taps(start, end, low, high, size, context):
    """Along one axis the two pixels `[N, size]` that each pixel of the square lies between, how far it is from the
    first to the second, and whether it shows the image.

    Args:
      start, end: of the box; `low`, `high`: of the image.
    """
    half = (end - start) / 2 * (size / (size - 2 * context))
    first, last = _round(start + (end - start) / 2 - half), _round(start + (end - start) / 2 + half)
    # The release takes the grown box's end for its last pixel, and one without context as it is.
    last = jnp.maximum(last + (1 if context else 0), first + 1)
    low, high = _round(low), _round(high)
    before = jnp.maximum(low - first, 0)
    seen = jnp.maximum(jnp.minimum(last, high) - jnp.maximum(first, low), 0)
    # In whole numbers, halves up.
    pad, count = ((2 * n * size + last - first) // (2 * (last - first)) for n in (before, seen))
    count = jnp.minimum(count, size - pad)
    place = jnp.arange(size) - pad[:, None]
    inside = (place >= 0) & (place < count[:, None])
    at = (place + 0.5) * (seen / jnp.maximum(count, 1))[:, None] - 0.5
    at = jnp.clip(at, 0, jnp.maximum(seen - 1, 0)[:, None])
    whole = jnp.floor(at).astype(jnp.int32)
    origin = jnp.maximum(first, low)[:, None]
    beyond = jnp.minimum(whole + 1, jnp.maximum(seen - 1, 0)[:, None])
    return origin + whole, origin + beyond, at - whole, inside


def _round(x):
    """To whole numbers, halves away from zero, as C and MATLAB do; int32.

    What is a half but for the rounding of float32 is one. Grown boxes of whole pixels come no nearer to another half
    than 1 / 780 at the paper's sizes.
    """
    whole = jnp.trunc(x)
    return (whole + jnp.where(jnp.abs(x - whole) >= 0.5 - _TIE, jnp.sign(x), 0)).astype(jnp.int32)

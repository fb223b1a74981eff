"""Random choices among fourteen operations on uint8 images `[B, H, W, 3]`: TrivialAugment and RandAugment.

What happens to an example depends on the key and its `row` int32 `[B]` in the global batch alone. Pixels are those of
the papers' Pillow code to a grey level: whole levels, rounded down after a blend; nearest neighbour, black outside.

One round applies one operation to each example, and a compiled step cannot skip the other thirteen. So they share their
work: the five that move pixels are one gather with a matrix of each example, the six that change a level for a level
are one gather from a table of each example, and the two that remain are one blend.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn.ops import color, keys

OPERATIONS = (
    'identity', 'shear_x', 'shear_y', 'translate_x', 'translate_y', 'rotate', 'brightness', 'color', 'contrast',
    'sharpness', 'posterize', 'solarize', 'autocontrast', 'equalize',
)  # fmt: skip
STEPS = 30
# A blend of whole levels by a hundredth never comes nearer to the next level than this, unless it is that level: what
# float32 leaves below it is not rounded down.
_HAIR = 1e-3


def trivial_augment(key: jax.Array, images: jax.Array, row: jax.Array) -> jax.Array:
    """One operation of a random strength for each image (Müller and Hutter 2021, arXiv:2103.10158; the wide space)."""
    draws = keys.uniforms(key, row, 3)
    operation = _below(draws[:, 0], len(OPERATIONS))
    step = _below(draws[:, 1], STEPS + 1)
    return apply(images, operation, _signed(_wide_space(), operation, step, draws[:, 2]))


def rand_augment(key: jax.Array, images: jax.Array, row: jax.Array, *, ops: int = 2, magnitude: int = 9) -> jax.Array:
    """`ops` random operations one after the other, all of the strength `magnitude`, 0 to 30.

    Cubuk et al. 2019 (arXiv:1909.13719), with torchvision's ranges.
    """
    draws = keys.uniforms(key, row, 2 * ops).reshape(-1, ops, 2)
    operations = _below(draws[..., 0], len(OPERATIONS))
    magnitudes = _signed(_space(*images.shape[1:3]), operations, jnp.full_like(operations, magnitude), draws[..., 1])

    def body(images, chosen):
        return apply(images, *chosen), None

    return lax.scan(body, images, (operations.T, magnitudes.T))[0]


def apply(images: jax.Array, operation: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Applies to each image its own operation.

    Args:
      images: uint8 `[B, H, W, 3]`.
      operation: places in `OPERATIONS`, int32 `[B]`.
      magnitude: float32 `[B]`: pixels across for a pixel along (shears), pixels to the right or down (translations),
        degrees against the clock (rotation), a factor less 1 (brightness, color, contrast, sharpness), bits that stay
        (posterize), the level from which on it is inverted (solarize); ignored by the others.

    Returns:
      uint8 `[B, H, W, 3]`.
    """
    tables = _tables(images, operation, magnitude)
    return jax.vmap(_transform)(images, operation, magnitude, tables)


def _is(operation: jax.Array, *names: str) -> jax.Array:
    return jnp.isin(operation, jnp.asarray([OPERATIONS.index(name) for name in names]))


def _below(uniform: jax.Array, count: int) -> jax.Array:
    return jnp.minimum((uniform * count).astype(jnp.int32), count - 1)


def _signed(space: np.ndarray, operation: jax.Array, step: jax.Array, uniform: jax.Array) -> jax.Array:
    """The magnitude of a step of an operation; of either sign with equal chance where it has one."""
    magnitude = jnp.asarray(space)[operation, step]
    mirrored = _is(operation, *OPERATIONS[1:10]) & (uniform < 0.5)
    return jnp.where(mirrored, -magnitude, magnitude)


def _space(height: int, width: int) -> np.ndarray:
    """RandAugment's magnitudes, float32 `[14, 31]`."""
    return _magnitudes(0.3, 150 / 331 * width, 150 / 331 * height, 30, 0.9, 4)


def _wide_space() -> np.ndarray:
    """TrivialAugment's magnitudes, float32 `[14, 31]`."""
    return _magnitudes(0.99, 32, 32, 135, 0.99, 6)


def _magnitudes(shear, right, down, degrees, factor, bits) -> np.ndarray:
    share = np.arange(STEPS + 1) / STEPS
    greatest = {
        'shear_x': shear, 'shear_y': shear, 'rotate': degrees,
        'brightness': factor, 'color': factor, 'contrast': factor, 'sharpness': factor,
    }  # fmt: skip
    of = {name: share * most for name, most in greatest.items()}
    # What is whole but for rounding stays whole.
    of |= {'translate_x': np.floor(share * right + 1e-9), 'translate_y': np.floor(share * down + 1e-9)}
    of |= {'posterize': 8 - np.round(share * bits), 'solarize': 255 * (1 - share)}
    return np.stack([of.get(name, np.zeros_like(share)) for name in OPERATIONS]).astype(np.float32)


def _transform(image: jax.Array, operation: jax.Array, magnitude: jax.Array, table: jax.Array) -> jax.Array:
    """One image `[H, W, 3]` through its warp, its table `[3, 256]` and its blend; at most one changes it."""
    y, x, inside = _source(operation, magnitude, *image.shape[:2])
    moved = jnp.where(inside[..., None], image[y, x], 0)
    levels = table[jnp.arange(3), moved.astype(jnp.int32)]
    other = jnp.where(_is(operation, 'color'), _grey_levels(image), _smooth(image))
    factor = jnp.where(_is(operation, 'color', 'sharpness'), 1.0 + magnitude, 1.0)
    return _whole(color.blend(levels.astype(jnp.float32), other, factor)).astype(jnp.uint8)


def _source(operation, magnitude, height: int, width: int):
    """Where each pixel comes from: rows and columns int32 `[H, W]`, and whether they lie inside the image."""

    def of(name):
        return jnp.where(_is(operation, name), magnitude, 0.0)

    angle = jnp.deg2rad(-of('rotate'))
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    # Rotations turn about the centre, shears keep the top left corner, as in the papers' code.
    centre_y, centre_x = (jnp.where(_is(operation, 'rotate'), side / 2, 0.0) for side in (height, width))
    y = (jnp.arange(height) + 0.5 - centre_y)[:, None]
    x = (jnp.arange(width) + 0.5 - centre_x)[None, :]
    from_x = jnp.floor(cosine * x + (sine + of('shear_x')) * y + centre_x - of('translate_x')).astype(jnp.int32)
    from_y = jnp.floor((of('shear_y') - sine) * x + cosine * y + centre_y - of('translate_y')).astype(jnp.int32)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    return jnp.clip(from_y, 0, height - 1), jnp.clip(from_x, 0, width - 1), inside


def _whole(levels: jax.Array) -> jax.Array:
    return jnp.floor(levels + _HAIR)


def _grey_levels(images: jax.Array) -> jax.Array:
    """Pillow's conversion to grey: luma rounded to whole levels, float32 `[..., 1]`."""
    return jnp.floor(color.grey(images) + 0.5)


def _smooth(image: jax.Array) -> jax.Array:
    """Pillow's SMOOTH filter: 5 for the pixel, 1 for each of its eight neighbours; the border stays as it is."""
    height, width = image.shape[:2]
    levels = image.astype(jnp.int32)
    padded = jnp.pad(levels, ((1, 1), (1, 1), (0, 0)))
    rows = sum(padded[i : i + height] for i in range(3))
    box = sum(rows[:, i : i + width] for i in range(3))
    y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
    border = (y == 0) | (y == height - 1) | (x == 0) | (x == width - 1)
    return jnp.where(border, levels, (2 * (box + 4 * levels) + 13) // 26).astype(jnp.float32)


def _tables(images: jax.Array, operation: jax.Array, magnitude: jax.Array) -> jax.Array:
    """What each level of each channel becomes: int32 `[B, 3, 256]`; itself for the operations without a table."""
    level = jnp.arange(256, dtype=jnp.float32)
    given = magnitude[:, None, None]
    factor = 1.0 + given
    # A mean over whole levels, added up without rounding.
    grey = _grey_levels(images).astype(jnp.int32).sum((1, 2, 3)) / (images.shape[1] * images.shape[2])
    grey = jnp.floor(grey + 0.5)[:, None, None]
    low, high = (jnp.moveaxis(f(images, (1, 2)).astype(jnp.float32)[:, None], 1, 2) for f in (jnp.min, jnp.max))
    stretched = jnp.where(high > low, (level - low) * (255.0 / jnp.maximum(high - low, 1.0)), level)
    step = jnp.exp2(8.0 - given)
    tables = {
        'brightness': color.blend(level, 0.0, factor),
        'contrast': color.blend(level, grey, factor),
        'posterize': jnp.floor(level / step) * step,
        'solarize': jnp.where(level < given, level, 255.0 - level),
        'autocontrast': jnp.clip(stretched, 0.0, 255.0),
    }
    shape = (len(images), 3, 256)
    tables = {name: jnp.broadcast_to(table, shape) for name, table in tables.items()}
    chosen = [_is(operation, name)[:, None, None] for name in tables]
    found = jnp.select(chosen, list(tables.values()), jnp.broadcast_to(level, shape))
    return _equalized(images, operation, _whole(found).astype(jnp.int32))


def _equalized(images: jax.Array, operation: jax.Array, tables: jax.Array) -> jax.Array:
    """Sets the tables of the images to be equalized: Pillow's, a step for each 255th of the pixels below the brightest.

    Histograms are counted one image at a time and only where one is needed, for counting costs more than all the rest.
    """
    needed = _is(operation, 'equalize')
    order = jnp.argsort(~needed)

    def body(i, tables):
        image = images[order[i]].reshape(-1, 3).astype(jnp.int32)
        counts = jnp.zeros(3 * 256, jnp.int32).at[image + 256 * jnp.arange(3)].add(1).reshape(3, 256)
        brightest = jnp.take_along_axis(counts, image.max(0)[:, None], 1)
        step = (image.shape[0] - brightest) // 255
        below = jnp.cumsum(counts, 1) - counts
        table = jnp.minimum((step // 2 + below) // jnp.maximum(step, 1), 255)
        return tables.at[order[i]].set(jnp.where(step > 0, table, jnp.arange(256)))

    return lax.fori_loop(0, needed.sum(), body, tables)

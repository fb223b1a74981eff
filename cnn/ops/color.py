"""Device-side colour augmentation: images `[B, H, W, 3]` of red, green and blue from 0 to 255, float32 out.

The key first, `row` int32 `[B]` names each example in the global batch, options are keyword-only.
"""

import jax
import jax.numpy as jnp

from cnn.ops import keys

# Principal components of ImageNet's training pixels (0 to 1): standard deviations along them, and directions as
# columns. Krizhevsky et al. 2012 (section 4.1) describe the method without numbers; these are the figures of
# facebook/fb.resnet.torch, datasets/imagenet.lua (BSD).
LIGHTING_EIGENVALUES = (0.2175, 0.0188, 0.0045)
LIGHTING_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)

# Luma of ITU-R BT.601, which PIL and torchvision call grey.
GREY = (0.299, 0.587, 0.114)


def lighting(key: jax.Array, images: jax.Array, row: jax.Array, *, std: float = 0.1) -> jax.Array:
    """AlexNet's colour noise: one offset for all pixels of an image along the principal axes of ImageNet's colours.

    Each axis is scaled by its eigenvalue and a normal number of deviation `std`. Not clipped, as in the source.
    """
    alpha = keys.normals(key, row, 3) * (std * jnp.asarray(LIGHTING_EIGENVALUES))
    # Three numbers an image: written out, so that no backend rounds them in a matrix unit.
    offset = (alpha[:, None, :] * jnp.asarray(LIGHTING_EIGENVECTORS)).sum(-1) * 255.0
    return images.astype(jnp.float32) + offset[:, None, None, :]


def color_jitter(
    key: jax.Array,
    images: jax.Array,
    row: jax.Array,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> jax.Array:
    """Changes brightness, contrast, saturation and hue by random amounts, clipping to 0..255 after each.

    The first three factors are uniform in [max(0, 1 - x), 1 + x], the hue turns by a share of the circle uniform in
    [-hue, hue], hue at most 0.5; torchvision's amounts, always in this order (torchvision shuffles it).
    """
    draws = keys.uniforms(key, row, 4)

    def factor(column, strength):
        low = max(0.0, 1.0 - strength)
        return (low + draws[:, column] * (1.0 + strength - low))[:, None, None, None]

    images = images.astype(jnp.float32)
    if brightness:
        images = blend(images, jnp.zeros_like(images), factor(0, brightness))
    if contrast:
        images = blend(images, grey(images).mean((1, 2), keepdims=True), factor(1, contrast))
    if saturation:
        images = blend(images, grey(images), factor(2, saturation))
    if hue:
        images = shift_hue(images, (2.0 * draws[:, 3] - 1.0)[:, None, None] * hue)
    return images


def grey(images: jax.Array) -> jax.Array:
    """Luma `[..., 1]` of `[..., 3]`, float32."""
    return (images.astype(jnp.float32) * jnp.asarray(GREY)).sum(-1, keepdims=True)


def blend(images: jax.Array, other: jax.Array, factor: jax.Array) -> jax.Array:
    """`factor` of the image and the rest of `other`, clipped to 0..255; factors above 1 move away from `other`."""
    return jnp.clip(factor * images + (1.0 - factor) * other, 0.0, 255.0)


def shift_hue(images: jax.Array, shift: jax.Array) -> jax.Array:
    """Turns the hue of float pixels `[..., 3]` by `shift` `[...]` (1 is the full circle); value and saturation stay.

    In hexagonal HSV coordinates (Smith 1978): each channel falls from the largest to the smallest by its distance on
    the circle from its own sector.
    """
    red, green, blue = jnp.moveaxis(images, -1, 0)
    high, low = images.max(-1), images.min(-1)
    chroma = high - low
    safe = jnp.where(chroma > 0, chroma, 1.0)
    sector = jnp.where(
        high == red,
        (green - blue) / safe,
        jnp.where(high == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    sector = sector + 6.0 * shift
    # Channel n of (red, green, blue) starts its fall at 5, 3, 1 sixths: the closed form of the six cases.
    position = (jnp.asarray((5.0, 3.0, 1.0)) + sector[..., None]) % 6.0
    fall = jnp.clip(jnp.minimum(position, 4.0 - position), 0.0, 1.0)
    return high[..., None] - chroma[..., None] * fall

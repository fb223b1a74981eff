"""Examples mixed in pairs: mixup and cutmix, with the soft targets that go with them.

Each example's partner is the one before it in the replica's batch (the first takes the last): batches are shuffled, so
any fixed pairing is random. One draw serves the whole step, from a key that all replicas share.
"""

import jax
import jax.numpy as jnp
from jax import lax


def mixup(key: jax.Array, images: jax.Array, targets: jax.Array, *, alpha: float, mask: jax.Array | None = None):
    """Blends each image with its partner: `share * own + (1 - share) * partner` (Zhang et al., arXiv:1710.09412).

    Args:
      images: float `[B, H, W, C]`, normalised.
      targets: distributions float32 `[B, C]`.
      alpha: above 0; `share` is drawn from Beta(alpha, alpha), once for the batch.
      mask: float `[B]`; an example whose partner is padding (0) stays as it is.

    Returns:
      Images of the same dtype and targets float32 `[B, C]` mixed with the same share.
    """
    share = jax.random.beta(key, alpha, alpha, dtype=jnp.float32)
    keep = jnp.full((1, *images.shape[1:3], 1), share)
    return _mix(images, targets, keep, share, mask)


def cutmix(key: jax.Array, images: jax.Array, targets: jax.Array, *, alpha: float, mask: jax.Array | None = None):
    """Pastes a rectangle of the partner into each image (Yun et al., arXiv:1905.04899); arguments as `mixup`.

    The rectangle has the image's aspect ratio and, before it is cut at the border, the share 1 - lambda of its area,
    lambda from Beta(alpha, alpha); its centre is uniform over the pixels. The targets' share is the exact share of
    pixels that remain.
    """
    height, width = images.shape[1:3]
    beta_key, place_key = jax.random.split(key)
    side = jnp.sqrt(1.0 - jax.random.beta(beta_key, alpha, alpha, dtype=jnp.float32))
    center = jax.random.randint(place_key, (2,), 0, jnp.asarray([height, width]))
    inside = []
    for axis, size in enumerate((height, width)):
        half = jnp.floor(side * size).astype(jnp.int32) // 2
        place = jnp.arange(size)
        inside.append((place >= center[axis] - half) & (place < center[axis] + half))
    box = inside[0][:, None] & inside[1][None, :]
    keep = 1.0 - box.astype(jnp.float32)
    share = 1.0 - box.sum().astype(jnp.float32) / (height * width)
    return _mix(images, targets, keep[None, :, :, None], share, mask)


def mix(
    key: jax.Array,
    images: jax.Array,
    targets: jax.Array,
    *,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
    switch: float = 0.5,
    mask: jax.Array | None = None,
):
    """Mixup, cutmix, or per batch one of the two (cutmix with probability `switch`); an alpha of 0 turns one off."""
    if mixup_alpha and cutmix_alpha:
        switch_key, key = jax.random.split(key)
        return lax.cond(
            jax.random.bernoulli(switch_key, switch),
            lambda: cutmix(key, images, targets, alpha=cutmix_alpha, mask=mask),
            lambda: mixup(key, images, targets, alpha=mixup_alpha, mask=mask),
        )
    if cutmix_alpha:
        return cutmix(key, images, targets, alpha=cutmix_alpha, mask=mask)
    if mixup_alpha:
        return mixup(key, images, targets, alpha=mixup_alpha, mask=mask)
    return images, targets


def _mix(images, targets, keep, share, mask):
    """`keep` float32 `[1, H, W, 1]` of each own pixel, `share` its mean."""
    if mask is not None:
        alone = jnp.roll(mask, 1) <= 0
        keep = jnp.where(alone[:, None, None, None], 1.0, keep)
        share = jnp.where(alone, 1.0, share)[:, None]
    images32 = images.astype(jnp.float32)
    mixed = keep * images32 + (1.0 - keep) * jnp.roll(images32, 1, 0)
    return mixed.astype(images.dtype), share * targets + (1.0 - share) * jnp.roll(targets, 1, 0)

"""Examples mixed in pairs: mixup and cutmix, with the soft targets that go with them.

Neighbours in the batch are partners: rows 0 and 1, 2 and 3, and so on; the last of an odd number stays alone. Batches
are shuffled, so any fixed pairing is random, and this one gives the same result however an even share of the batch is
spread over devices or micro-batches. One draw serves the whole step, from a key that all replicas share.
"""

import jax
import jax.numpy as jnp


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
    draw_key, _ = jax.random.split(key)
    return _blend(images, targets, _beta(draw_key, alpha), mask)


def cutmix(key: jax.Array, images: jax.Array, targets: jax.Array, *, alpha: float, mask: jax.Array | None = None):
    """Pastes a rectangle of the partner into each image (Yun et al., arXiv:1905.04899); arguments as `mixup`.

    The rectangle has the image's aspect ratio and, before it is cut at the border, the share 1 - lambda of its area,
    lambda from Beta(alpha, alpha); its centre is uniform over the pixels. The targets' share is the exact share of
    pixels that remain.
    """
    draw_key, place_key = jax.random.split(key)
    return _blend(images, targets, _outside_box(place_key, _beta(draw_key, alpha), images.shape[1:3]), mask)


def mix(key, images, targets, *, mixup_alpha: float = 0.0, cutmix_alpha: float = 0.0, switch: float = 0.5, mask=None):
    """Mixup, cutmix, or per batch one of the two (cutmix with probability `switch`); an alpha of 0 turns one off.

    Arguments and results as `mixup`.
    """
    if not mixup_alpha and not cutmix_alpha:
        return images, targets
    if not cutmix_alpha:
        return mixup(key, images, targets, alpha=mixup_alpha, mask=mask)
    if not mixup_alpha:
        return cutmix(key, images, targets, alpha=cutmix_alpha, mask=mask)
    switch_key, key = jax.random.split(key)
    draw_key, place_key = jax.random.split(key)
    cut = jax.random.bernoulli(switch_key, switch)
    # One draw for both: the sampler is most of what there is to compile.
    share = _beta(draw_key, jnp.where(cut, cutmix_alpha, mixup_alpha))
    keep = jnp.where(cut, _outside_box(place_key, share, images.shape[1:3]), share)
    return _blend(images, targets, keep, mask)


def _beta(key, alpha):
    """A number from Beta(alpha, alpha), as a ratio of two gamma numbers kept as logarithms: small alphas underflow."""
    first, second = jax.random.loggamma(key, jnp.asarray(alpha, jnp.float32), (2,))
    return jax.nn.sigmoid(first - second)


def _outside_box(key, share, size):
    """1 outside a rectangle of the area 1 - `share`, 0 inside: float32 `[H, W]`."""
    side = jnp.sqrt(1.0 - share)
    center = jax.random.randint(key, (2,), 0, jnp.asarray(size))
    inside = []
    for axis, pixels in enumerate(size):
        half = jnp.floor(side * pixels).astype(jnp.int32) // 2
        place = jnp.arange(pixels)
        inside.append((place >= center[axis] - half) & (place < center[axis] + half))
    return 1.0 - (inside[0][:, None] & inside[1][None, :]).astype(jnp.float32)


def _blend(images, targets, keep, mask):
    """Keeps the share `keep` (a number, or float32 `[H, W]`) of each own pixel; targets keep its mean."""
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    keep = jnp.broadcast_to(keep, images.shape[1:3])
    share = jnp.mean(keep)
    keep = keep[None, :, :, None]
    # 1, 0, 3, 2, ...: a swap within pairs.
    partner = jnp.minimum(jnp.arange(len(images)) ^ 1, len(images) - 1)
    if mask is not None:
        alone = mask[partner] <= 0
        keep = jnp.where(alone[:, None, None, None], 1.0, keep)
        share = jnp.where(alone, 1.0, share)[:, None]
    own = images.astype(jnp.float32)
    mixed = keep * own + (1.0 - keep) * own[partner]
    return mixed.astype(images.dtype), share * targets + (1.0 - share) * targets[partner]

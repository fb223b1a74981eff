"""What R-CNN and SPPNet say of a region: a softmax while the network is trained, and then what is solved for on its
features, a linear support vector machine and a linear regression of the box for each class.

Letters: N regions, C classes without the background, which is class 0 of the softmax's C + 1.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers
from cnn.models.detectors.roi_heads import DenseBody

CLASSIFIERS = ('softmax', 'svm', 'both')


class Said(NamedTuple):
    """Of N regions.

    Attributes:
      features: `[N, D]`, of the last layer before the classifier: what support vector machines read.
      pooled: `[N, F]`, the map that the dense layers read (pool5), flat: what regressions read.
      logits: float32 `[N, C + 1]`, or None without a softmax.
      margins: float32 `[N, C]`, the machines', or None without them.
      deltas: float32 `[N, C, 4]`, `boxes.encode`'s, or None without regressions.
    """

    features: jax.Array
    pooled: jax.Array
    logits: jax.Array | None
    margins: jax.Array | None
    deltas: jax.Array | None


class MeanBody(nn.Module):
    """The mean over space, for networks whose classifier reads that: `[N, h, w, F]` to `[N, F]`."""

    @nn.compact
    def __call__(self, maps: jax.Array, train: bool) -> jax.Array:
        return layers.global_avg_pool(maps)


class LinearHead(nn.Module):
    """`apply(variables, maps [N, h, w, F] or [N, bins, F], train) -> Said`.

    Layers: those of `body`, `cls_score`, and `svm` and `bbox_pred`, which are zeros until they are solved for.

    Attributes:
      body: module from the maps to `[N, D]`, called with `train`; with a `MeanBody` regressions read the mean too.
      classifier: 'softmax', 'svm', or 'both'.
      regress: whether there are regressions.
    """

    num_classes: int
    body: nn.Module
    classifier: str
    regress: bool

    @nn.compact
    def __call__(self, maps: jax.Array, train: bool = False) -> Said:
        count, x = self.num_classes, self.body(maps, train).astype(jnp.float32)
        flat = x if isinstance(self.body, MeanBody) else maps.reshape(maps.shape[0], -1).astype(jnp.float32)
        logits = margins = deltas = None
        if self.classifier != 'svm':
            logits = layers.Dense(count + 1, kernel_init=initializers.normal(0.01), name='cls_score')(x)
        if self.classifier != 'softmax':
            margins = layers.Dense(count, kernel_init=initializers.zeros, name='svm')(x)
        if self.regress:
            deltas = layers.Dense(4 * count, kernel_init=initializers.zeros, name='bbox_pred')(flat)
            deltas = deltas.reshape(deltas.shape[0], count, 4)
        return Said(x, flat, logits, margins, deltas)


def body_of(hidden: tuple[int, ...], dropout: float, dtype: layers.Dtype) -> nn.Module:
    """Dense layers `fc6`, `fc7` ... of these features, or the mean over space where there are none."""
    if not hidden:
        return MeanBody()
    # The classifiers' own deviation suits their wide layers; thin ones would pass on almost nothing.
    init = initializers.normal(0.01) if min(hidden) >= 1024 else initializers.he_fan_in
    return DenseBody(hidden, (), dropout, init, dtype)

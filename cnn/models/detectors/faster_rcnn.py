"""Faster R-CNN (Ren, He, Girshick, Sun 2015, arXiv:1506.01497): a trunk, a network that proposes regions, `rpn`, and
Fast R-CNN's head, `head`, on the same map.

Between the two stand the proposals, which are no layer: what becomes a region is chosen by the caller, without
gradients (cnn/tasks/faster_rcnn.py).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import layers
from cnn.models.detectors import fast_rcnn, rpn
from cnn.models.detectors.rpn import Judged
from cnn.ops import anchors as anchors_ops


class FasterRCNN(nn.Module):
    """`apply(variables, images [B, H, W, 3], choose, train) -> (Judged, logits [B, R, C+1], deltas [B, R, C+1, 4])`.

    `choose` takes what the RPN says (rpn.Judged) and gives boxes float32 `[B, R, 4]`; without it the whole image is the
    one region. Otherwise as fast_rcnn.FastRCNN.
    """

    num_classes: int
    trunk: nn.Module
    endpoint: str
    rpn: nn.Module
    head: nn.Module
    freeze_norm: bool = False

    @nn.compact
    def __call__(
        self, images: jax.Array, choose: Callable[[Judged], jax.Array] | None = None, train: bool = False
    ) -> tuple[Judged, jax.Array, jax.Array]:
        features = self.trunk(images, train and not self.freeze_norm)[1][self.endpoint]
        judged = self.rpn(features)
        boxes = fast_rcnn.whole(images) if choose is None else jax.lax.stop_gradient(choose(judged))
        return judged, *self.head(features, boxes, train)


def create(
    num_classes: int,
    *,
    variant: str = 'L',
    rpn_features: int = 0,
    ratios: tuple[float, ...] = anchors_ops.RATIOS,
    scales: tuple[float, ...] = (),
    freeze_norm: bool = False,
    dtype: layers.Dtype = jnp.float32,
    trunk: str = '',
    depth: int = 0,
    trunk_variant: str = '',
    stem: str = '',
    width: float = 0,
    norm: str = '',
    endpoint: str = '',
    head: str = '',
    hidden: tuple[int, ...] = (),
    ranks: tuple[int, ...] = (),
    pooling: str = '',
    pool_size: int = 0,
    dropout: float = -1.0,
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
) -> FasterRCNN:
    """A Faster R-CNN; what is not given is the variant's.

    Args:
      num_classes: C, without the background.
      variant: 'L' (VGG-16) or 'ZF', the paper's; else as in fast_rcnn.create, whose all the sizes below are.
      rpn_features: maps of the RPN's 3x3 convolution.
      ratios: of the anchors, heights over widths; `scales`: their sides in units of 16 pixels. () is the variant's; the
        release adds 4 to them for COCO.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one, or sizes that do not go together.
    """
    whole = fast_rcnn.create(
        num_classes, variant=variant, freeze_norm=freeze_norm, dtype=dtype, trunk=trunk, depth=depth,
        trunk_variant=trunk_variant, stem=stem, width=width, norm=norm, endpoint=endpoint, head=head, hidden=hidden,
        ranks=ranks, pooling=pooling, pool_size=pool_size, dropout=dropout, norm_axis=norm_axis,
        norm_momentum=norm_momentum,
    )  # fmt: skip
    own = VARIANTS[variant]
    proposing = rpn.create(
        rpn_features or own['rpn_features'],
        stride=whole.head.stride,
        first_centre=whole.head.first_centre,
        ratios=tuple(ratios),
        scales=tuple(scales) or own['scales'],
        dtype=dtype,
    )
    return FasterRCNN(num_classes, whole.trunk, whole.endpoint, proposing, whole.head, freeze_norm)


# Scales of 1.25, 2 and 3 are sides of 20, 32 and 48 pixels.
VARIANTS = {name: {'rpn_features': 256, 'scales': anchors_ops.SCALES} for name in ('S', 'M', 'ZF')}
VARIANTS |= {name: {'rpn_features': 512, 'scales': anchors_ops.SCALES} for name in ('L', 'C4')}
VARIANTS['small'] = {'rpn_features': 64, 'scales': (1.25, 2.0, 3.0)}

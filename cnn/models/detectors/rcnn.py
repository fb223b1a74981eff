"""R-CNN's network (Girshick et al. 2014, arXiv:1311.2524): a classifier of warped regions, with linear machines on it.

A trunk read at its last map (pool5) and a head of dense layers on that (linear_heads.py). The paper's nets are S
(CaffeNet: T-Net) and L (VGG-16: O-Net); any other network of `cnn.models` will do.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import layers
from cnn.models.detectors import trunks
from cnn.models.detectors.linear_heads import CLASSIFIERS, LinearHead, Said, body_of
from cnn.ops import resample
from cnn.ops.warp import warp


class RCNN(nn.Module):
    """`apply(variables, images [B, H, W, 3], boxes [N, 4], index [N], windows [B, 4], train) -> Said` of N regions.

    Regions are cut out of the normalised images, warped (ops/warp.py says what each argument is) and go through the
    whole network one by one. Without boxes each whole image, resized, is a region. Dropout draws from the stream
    `dropout`.

    Attributes:
      size: pixels of a warped region's side, `context` of them on each side around the box.
      chunk: regions that go through the network at a time where it is not trained.
    """

    num_classes: int
    trunk: nn.Module
    head: LinearHead
    size: int
    context: int
    chunk: int

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        boxes: jax.Array | None = None,
        index: jax.Array | None = None,
        windows: jax.Array | None = None,
        train: bool = False,
    ) -> Said:
        if boxes is None:
            regions = resample.resize(images, height=self.size, width=self.size)
        else:
            regions = warp(images, boxes, index, windows, size=self.size, context=self.context)
        return self.head(self.trunk(regions, train)[0], train)


def create(
    num_classes: int,
    *,
    variant: str = 'S',
    trunk: str = '',
    depth: int = 0,
    trunk_variant: str = '',
    stem: str = '',
    width: float = 0,
    stages: int = 0,
    norm: str = '',
    hidden: tuple[int, ...] = (),
    size: int = 0,
    context: int = -1,
    chunk: int = 0,
    classifier: str = 'both',
    regress: bool = True,
    dropout: float = -1.0,
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    dtype: layers.Dtype = jnp.float32,
) -> RCNN:
    """An R-CNN; what is not given is the variant's.

    Args:
      num_classes: C, without the background.
      variant: 'S' or 'L', the paper's; 'small', for images of 96 pixels.
      trunk: any network of `cnn.models`, with its `depth`, `trunk_variant` (its own `variant`), `stem`, `width`,
        `stages`, `norm` where they are given. Its regions are 224 pixels large and it has no dense layers, unless
        `size` and `hidden` say so: its classifier reads the mean over its last map.
      context: pixels of the warped region around the box; -1 for the paper's 16 of 227.
      chunk: regions to a pass: memory against speed.
      classifier: 'softmax', 'svm', or 'both': the softmax that trains the network, and the machines beside it.
      regress: whether there is a regression of the box for each class.
      dropout: behind each dense layer; -1 is the variant's.

    Raises:
      ValueError: for an unknown choice, naming the nearest right one.
    """
    layers.check_choice('variant', variant, tuple(VARIANTS))
    layers.check_choice('classifier', classifier, CLASSIFIERS)
    sizes = VARIANTS[variant]
    own = {} if trunk else dict(sizes['sizes'])
    asked = {'depth': depth, 'variant': trunk_variant, 'stem': stem, 'width': width, 'stages': stages, 'norm': norm,
             'norm_axis': norm_axis, 'norm_momentum': 0 if norm_momentum == 0.9 else norm_momentum}  # fmt: skip
    given = own | {key: value for key, value in asked.items() if value}
    network = trunks.create(trunk or sizes['trunk'], dtype=dtype, **given)
    hidden = tuple(hidden) or (() if trunk else sizes['hidden'])
    body = body_of(hidden, sizes['dropout'] if dropout < 0 else dropout, dtype)
    return RCNN(
        num_classes,
        network,
        LinearHead(num_classes, body, classifier, regress),
        size or (224 if trunk else sizes['size']),
        context,
        chunk or sizes['chunk'],
    )


# CaffeNet is AlexNet but for the order of its first layers (it pools before it normalises).
_CLASSIC = {'hidden': (4096, 4096), 'dropout': 0.5}
VARIANTS = {
    'S': _CLASSIC | {'trunk': 'alexnet', 'sizes': {'lrn': 'caffe'}, 'size': 227, 'chunk': 256},
    'L': _CLASSIC | {'trunk': 'vgg', 'sizes': {'variant': '16'}, 'size': 224, 'chunk': 64},
    # The network whose first stages the other detectors' small variants pool from.
    'small': {
        'trunk': 'resnet', 'sizes': {'depth': 18, 'width': 32},
        'hidden': (), 'dropout': 0.0, 'size': 48, 'chunk': 256,
    },
}  # fmt: skip

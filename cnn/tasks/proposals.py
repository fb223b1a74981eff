"""Where regions come from: the RPN's proposals and its losses (Ren et al. 2015, arXiv:1506.01497, section 3.1), and
sliding windows for detectors that have none.

Letters: B images, N anchors, P proposals.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn.models.detectors.rpn import Judged
from cnn.ops import anchors as anchors_ops
from cnn.ops import boxes as boxes_ops
from cnn.ops import matching, nms, roi_sampling
from cnn.ops.losses import smooth_l1, softmax_cross_entropy
from cnn.tasks.detection import Scene, clip_to_window
from cnn.tasks.regions import check_shares, on_ignored


@dataclasses.dataclass(frozen=True)
class ProposalOptions:
    """A config's section `rpn`; the defaults are the authors' release's.

    Attributes:
      batch: anchors of an image that are learnt, at most `positive_share` of them objects.
      positive: least overlap of an object's anchor, its best one aside; `negative`: what is below is background.
      border: pixels by which anchors that are learnt may leave the image; -1 for any number.
      sigma: where smooth L1 turns from a square to a line, at 1 / sigma**2.
      weight: of the loss of boxes against that of objectness.
      train_before, train_after: highest scores that are suppressed, and those that remain; `test_*` outside training.
      nms_threshold: of that suppression.
      min_size: pixels of the network's input (the release: of the image), of either side.
    """

    batch: int = 256
    positive_share: float = 0.5
    positive: float = 0.7
    negative: float = 0.3
    border: float = 0.0
    sigma: float = 3.0
    weight: float = 1.0
    train_before: int = 12000
    train_after: int = 2000
    test_before: int = 6000
    test_after: int = 300
    nms_threshold: float = 0.7
    min_size: float = 16.0

    def __post_init__(self):
        check_shares('rpn', self, ('positive_share', 'positive', 'negative', 'nms_threshold'))
        counts = (self.batch, self.train_before, self.train_after, self.test_before, self.test_after)
        if min(counts) < 1 or self.sigma <= 0:
            raise ValueError('config.rpn: batch, sigma and the numbers before and after suppression must be above 0')


class Proposals(NamedTuple):
    """P boxes of each image, float32 `[B, P, 4]`, zeros for padding; and bool `[B, P]`, which of them are real."""

    boxes: jax.Array
    valid: jax.Array

    def padded(self) -> jax.Array:
        """The boxes, zeros where they are not real."""
        return jnp.where(self.valid[..., None], self.boxes, 0.0)


def propose(judged: Judged, window: jax.Array, options: ProposalOptions, *, train: bool) -> Proposals:
    """The anchors moved, cut to the image, without the small ones, suppressed; no gradient flows through it.

    Args:
      window: float32 `[B, 4]`, `Scene.window`.
    """
    judged = jax.tree.map(lax.stop_gradient, judged)
    before = options.train_before if train else options.test_before
    after = options.train_after if train else options.test_after
    # Ordered as the softmax is.
    scores = judged.logits[..., 1] - judged.logits[..., 0]
    boxes = clip_to_window(boxes_ops.decode(judged.deltas, judged.anchors), window)
    scores = jnp.where(boxes_ops.at_least(boxes, max(options.min_size, boxes_ops.SMALLEST_SIDE)), scores, -jnp.inf)
    scores, index = lax.top_k(scores, min(before, scores.shape[1]))
    boxes = matching.take(boxes, index)
    kept = nms.nms(boxes, scores, iou_threshold=options.nms_threshold, count=after)
    return Proposals(jnp.where(kept.valid[..., None], matching.take(boxes, kept.index), 0.0), kept.valid)


def matched(anchors: jax.Array, scene: Scene, options: ProposalOptions) -> matching.Match:
    """Which anchors, `[N, 4]`, learn which object of each image, and which learn that there is none."""
    border = jnp.inf if options.border < 0 else options.border
    inside = (anchors[:, :2] >= scene.window[:, None, :2] - border).all(-1)
    inside &= (anchors[:, 2:] <= scene.window[:, None, 2:] + border).all(-1)
    return matching.match(
        boxes_ops.iou(anchors, scene.boxes),
        scene.valid,
        positive=options.positive,
        negative=(0.0, options.negative),
        best_too=True,
        usable=inside,
        ignored=on_ignored(anchors, scene),
    )


def losses(
    key: jax.Array, judged: Judged, scene: Scene, options: ProposalOptions
) -> tuple[jax.Array, jax.Array]:
    """The losses of objectness and of boxes, float32 `[B]` each, over a sample of an image's anchors.

    Both are divided by the sample's size, as in the authors' release; the paper divides the second by the number of
    cells and multiplies by ten, which is about the same.
    """
    anchors = jnp.asarray(judged.anchors)
    found = matched(anchors, scene, options)
    share = options.positive_share
    drawn = roi_sampling.sample(key, scene.row, found.label, count=options.batch, positive_share=share)
    is_object, counts = drawn.label == matching.POSITIVE, drawn.label != matching.NEITHER
    number = jnp.maximum(counts.sum(1), 1)
    of_object = softmax_cross_entropy(matching.take(judged.logits, drawn.index), is_object.astype(jnp.int32))
    objects = matching.take(scene.boxes, matching.take(found.index, drawn.index))
    targets = boxes_ops.encode(objects, anchors[drawn.index])
    off = jnp.where(is_object[..., None], matching.take(judged.deltas, drawn.index) - targets, 0.0)
    of_object = jnp.where(counts, of_object, 0.0).sum(1) / number
    return of_object, options.weight * smooth_l1(off, sigma=options.sigma).sum((1, 2)) / number


def sliding(
    scene: Scene, *, stride: float, scales: Sequence[float], ratios: Sequence[float] = (1.0,)
) -> Proposals:
    """Windows every `stride` pixels, the same for every image, cut to it: for detectors without proposals of their own.

    Args:
      scales: sides in units of 16 pixels; `ratios`: heights over widths (anchors.base).
    """
    height, width = scene.images.shape[1:3]
    cell = anchors_ops.base(ratios=ratios, scales=scales)
    rows, columns = -(-height // int(stride)), -(-width // int(stride))
    windows = anchors_ops.grid(rows, columns, stride, cell, offset=stride / 2 - 8)
    boxes = clip_to_window(jnp.broadcast_to(windows, (scene.images.shape[0], *windows.shape)), scene.window)
    return Proposals(boxes, boxes_ops.area(boxes) > 0)

"""What a head learns of regions and says of them: Fast R-CNN's sampling, its two losses and its detections.

Girshick 2015 (arXiv:1504.08083, sections 2.3 and 3). Letters: B images, P proposals, R sampled regions, C classes
without the background, which is class 0 of the C + 1 here.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnn.ops import boxes as boxes_ops
from cnn.ops import detections, matching, roi_sampling
from cnn.ops.detections import Detections
from cnn.ops.losses import smooth_l1, softmax_cross_entropy
from cnn.tasks.detection import Scene, clip_to_window


@dataclasses.dataclass(frozen=True)
class RegionOptions:
    """A config's section `roi`.

    Attributes:
      batch: R, regions of an image that are learnt: 64 in the paper (two images to a batch), 128 in Faster R-CNN's
        release (one).
      positive_share: at most so many of them are objects.
      positive: least overlap with an object to be one.
      background_low, background_high: overlaps of what is background, the first included; 0.1 or 0.
      add_truth: objects' own boxes are among the proposals, so that there is always something to be learnt.
      stds: of the normalised targets.
      sigma: where smooth L1 turns from a square to a line, at 1 / sigma**2.
      weight: of the loss of boxes against that of classes.
      regress: whether boxes are learnt, and moved in detection; without, regions are named as they were proposed
        (Girshick 2015, section 5.1).
    """

    batch: int = 64
    positive_share: float = 0.25
    positive: float = 0.5
    background_low: float = 0.1
    background_high: float = 0.5
    add_truth: bool = True
    stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    sigma: float = 1.0
    weight: float = 1.0
    regress: bool = True

    def __post_init__(self):
        check_shares('roi', self, ('positive_share', 'positive', 'background_low', 'background_high'))
        if self.batch < 1 or self.sigma <= 0 or len(self.stds) != 4 or min(self.stds) <= 0:
            raise ValueError('config.roi: batch, sigma and the four stds must be above 0')


class Regions(NamedTuple):
    """R regions of each image, and what is to be said of them.

    Attributes:
      boxes: float32 `[B, R, 4]`.
      labels: int32 `[B, R]`, 0 for background, class + 1 for objects.
      targets: float32 `[B, R, 4]`, normalised deltas to the object; zeros where there is none.
      counts: bool `[B, R]`; False for padding.
    """

    boxes: jax.Array
    labels: jax.Array
    targets: jax.Array
    counts: jax.Array


def check_shares(section: str, options, names: tuple[str, ...]) -> None:
    """Raises ValueError for the first of these fields that is not a share."""
    for name in names:
        if not 0 <= getattr(options, name) <= 1:
            raise ValueError(f'config.{section}.{name} is {getattr(options, name)!r}; give a number from 0 to 1')


def on_ignored(candidates: jax.Array, scene: Scene) -> jax.Array:
    """Which candidates `[..., N, 4]` are at least half in a crowd, or overlap a difficult object by half: `[B, N]`."""
    in_crowd = matching.on_ignored(boxes_ops.covered(candidates, scene.boxes), scene.crowd)
    return in_crowd | matching.on_ignored(boxes_ops.iou(candidates, scene.boxes), scene.ignored & ~scene.crowd)


def choose(
    key: jax.Array, boxes: jax.Array, valid: jax.Array, scene: Scene, options: RegionOptions
) -> tuple[Regions, jax.Array]:
    """Draws the regions to learn from, with their labels and targets; no gradient flows through it.

    Args:
      key: a stream of the step's.
      boxes: proposals, float32 `[B, P, 4]`; `valid` bool `[B, P]`.

    Returns:
      The regions, and how many objects of each image a proposal overlaps by half, float32 `[B]`.
    """
    boxes, matched, found = _matched(boxes, valid, scene, options)
    share = options.positive_share
    drawn = roi_sampling.sample(key, scene.row, matched.label, count=options.batch, positive_share=share)
    return _targets(boxes, matched.index, drawn, scene, options), found


def choose_together(
    key: jax.Array, boxes: jax.Array, valid: jax.Array, scene: Scene, options: RegionOptions
) -> tuple[Regions, jax.Array, jax.Array]:
    """`choose` over all images of the batch at once, as R-CNN does: B * R regions, the share of the whole.

    Returns:
      The regions, each array `[B * R, ...]`; the image of each, int32 `[B * R]`; and the objects found, `[B]`.
    """
    boxes, matched, found = _matched(boxes, valid, scene, options)
    images, candidates = matched.label.shape
    drawn = roi_sampling.sample_together(
        key, scene.row, matched.label, count=images * options.batch, positive_share=options.positive_share
    )
    image = drawn.index // candidates
    # As many images of one region each.
    own = scene._replace(boxes=scene.boxes[image], labels=scene.labels[image])
    alone = roi_sampling.Sample(jnp.zeros_like(image)[:, None], drawn.label[:, None])
    flat = boxes.reshape(-1, 1, 4)[drawn.index]
    regions = _targets(flat, matched.index.reshape(-1, 1)[drawn.index], alone, own, options)
    return Regions(*(x[:, 0] for x in regions)), image, found


def _matched(boxes, valid, scene, options):
    """The candidates `[B, N, 4]`, what they are, and how many objects of each image a proposal overlaps by half."""
    boxes = jax.lax.stop_gradient(boxes)
    overlap = jnp.where((valid[..., None] & scene.valid[:, None]), boxes_ops.iou(boxes, scene.boxes), 0.0)
    found = (overlap.max(1, initial=0.0) >= 0.5).sum(1).astype(jnp.float32)
    if options.add_truth:
        boxes, valid = jnp.concatenate([boxes, scene.boxes], 1), jnp.concatenate([valid, scene.valid], 1)
    matched = matching.match(
        boxes_ops.iou(boxes, scene.boxes),
        scene.valid,
        positive=options.positive,
        negative=(options.background_low, options.background_high),
        usable=valid,
        ignored=on_ignored(boxes, scene),
    )
    return boxes, matched, found


def _targets(boxes, index, drawn, scene, options):
    is_object = drawn.label == matching.POSITIVE
    index = matching.take(index, drawn.index)
    boxes = matching.take(boxes, drawn.index)
    labels = jnp.where(is_object, matching.take(scene.labels, index) + 1, 0)
    targets = boxes_ops.encode(matching.take(scene.boxes, index), boxes, stds=options.stds)
    targets = jnp.where(is_object[..., None], targets, 0.0)
    return Regions(boxes, labels, targets, drawn.label != matching.NEITHER)


def losses(
    logits: jax.Array, deltas: jax.Array, regions: Regions, options: RegionOptions
) -> tuple[jax.Array, jax.Array]:
    """The losses of classes and of boxes, float32 `[B]` each: means over an image's regions, 0 where it has none.

    Args:
      logits: float32 `[B, R, C + 1]`; `deltas`: float32 `[B, R, C + 1, 4]`, of which those of the true class count.
    """
    number = jnp.maximum(regions.counts.sum(1), 1)
    of_class = softmax_cross_entropy(logits, regions.labels)
    own = jnp.take_along_axis(deltas, regions.labels[..., None, None], axis=2)[:, :, 0]
    of_box = smooth_l1(own - regions.targets, sigma=options.sigma).sum(-1)
    of_class = jnp.where(regions.counts, of_class, 0.0).sum(1) / number
    # Background has no box to find.
    of_box = jnp.where(regions.counts & (regions.labels > 0), of_box, 0.0).sum(1) / number
    return of_class, options.weight * of_box


def detect(
    logits: jax.Array,
    deltas: jax.Array,
    boxes: jax.Array,
    valid: jax.Array,
    window: jax.Array,
    options: RegionOptions,
    *,
    nms_threshold: float,
    score_threshold: float,
    count: int,
    margins: jax.Array | None = None,
) -> Detections:
    """Every region as every class, each with a box of its own unless boxes are not moved, suppressed class by class.

    Args:
      margins: float32 `[B, R, C]`, of support vector machines that score in place of the softmax.
    """
    if margins is None:
        scores = jax.nn.softmax(logits.astype(jnp.float32), -1)[..., 1:]
    else:
        scores = jax.nn.sigmoid(margins)
    moved = boxes
    if options.regress:
        moved = boxes_ops.decode(deltas[..., 1:, :], boxes[..., None, :], stds=options.stds)
        shape = moved.shape
        moved = clip_to_window(moved.reshape(shape[0], -1, 4), window).reshape(shape)
    return detections.select(
        moved, scores, iou_threshold=nms_threshold, score_threshold=score_threshold, count=count, valid=valid
    )

"""R-CNN as a task: every proposal, warped, through the whole network (Girshick et al. 2014, arXiv:1311.2524).

Training is the paper's fine-tuning: a softmax over classes and background, on regions drawn from all images of a batch.
What follows, `fit`, is solved for (region_fit.py).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cnn.models.detectors.linear_heads import Said
from cnn.ops import keys
from cnn.ops.detections import Detections
from cnn.ops.losses import softmax_cross_entropy
from cnn.tasks import regions
from cnn.tasks.base import Variables
from cnn.tasks.detection import Scene
from cnn.tasks.fast_rcnn import FastRCNN
from cnn.tasks.faster_rcnn import recall
from cnn.tasks.region_chunks import by_chunks
from cnn.tasks.region_fit import PARTS


class RCNN(FastRCNN):
    """The network on every proposal.

    Args:
      module: of cnn/models/detectors/rcnn.py.
      roi: fields of `regions.RegionOptions`: `batch` regions an image are learnt on average, over the whole batch.
      **shared: what `FastRCNN` takes.
    """

    parts = PARTS

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """`class`; shown are `region_accuracy`, and `proposal_recall` as in FasterRCNN."""
        drawn, image, found = regions.choose_together(
            keys.stream(key, 'regions'), *self.proposals(scene), scene, self.roi
        )
        said, updates = self.apply(variables, scene, drawn.boxes, image, scene.window, key=key)
        of_class, right = by_image(said.logits, drawn, image, scene.images.shape[0])
        shown = {'region_accuracy': right, 'proposal_recall': recall(found, scene)}
        return {'class': of_class}, shown, updates

    def describe(
        self, variables: Variables, scene: Scene, boxes: jax.Array, valid: jax.Array, pick: Callable[[Said], Any]
    ) -> Any:
        """See `Fitting`."""

        def say(boxes, index):
            return pick(self.apply(variables, scene, boxes, index, scene.window))

        return by_chunks(say, boxes, valid, self.module.chunk)

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """By the machines or the softmax, as `linear` says."""
        return self.judged(variables, scene)


def by_image(
    logits: jax.Array, drawn: regions.Regions, image: jax.Array, images: int
) -> tuple[jax.Array, jax.Array]:
    """Regions' losses as a number for each image, float32 `[images]`, whose mean is the mean over all regions; and the
    share of the regions whose class is right, in the same way.

    Args:
      logits: float32 `[n, C + 1]`; `drawn`: arrays `[n, ...]`; `image`: int32 `[n]`, of each.
    """
    number = jnp.maximum(drawn.counts.sum(), 1)
    right = (logits.argmax(-1) == drawn.labels).astype(jnp.float32)
    values = jnp.stack([softmax_cross_entropy(logits, drawn.labels), right], -1)
    values = jnp.where(drawn.counts[:, None], values, 0.0) * (images / number)
    return tuple(jax.ops.segment_sum(values, image, images).T)

"""Faster R-CNN as a task: the RPN's losses and the head's at once, on one map (approximate joint training).

The gradient of the head's loss by the proposals' coordinates is left out, as in the authors' release (Ren et al. 2015,
arXiv:1506.01497, section 3.2 of the journal version).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from cnn.ops import keys
from cnn.ops.detections import Detections
from cnn.tasks import proposals, regions
from cnn.tasks.base import Batch, Variables
from cnn.tasks.detection import Detection, Scene


class FasterRCNN(Detection):
    """A region proposal network and Fast R-CNN's head on it.

    Args:
      module: of cnn/models/detectors/faster_rcnn.py.
      rpn: fields of `proposals.ProposalOptions`; `roi`: of `regions.RegionOptions`.
      **shared: what `Detection` takes.
    """

    def __init__(self, module: Any, *, rpn: Mapping | None = None, roi: Mapping | None = None, **shared: Any):
        super().__init__(module, **shared)
        self.rpn = proposals.ProposalOptions(**(rpn or {}))
        self.roi = regions.RegionOptions(**(roi or {}))

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """`objectness`, `rpn_box`, `class` and `box`; shown is `proposal_recall`, the share of an image's objects that
        a proposal overlaps by half (1 where there is none)."""
        chosen = {}

        def choose(judged):
            found = proposals.propose(judged, scene.window, self.rpn, train=True)
            stream = keys.stream(key, 'regions')
            chosen['regions'], chosen['found'] = regions.choose(stream, *found, scene, self.roi)
            return chosen['regions'].boxes

        (judged, logits, deltas), updates = self.apply(variables, scene, choose, key=key)
        objectness, rpn_box = proposals.losses(keys.stream(key, 'anchors'), judged, scene, self.rpn)
        of_class, of_box = regions.losses(logits, deltas, chosen['regions'], self.roi)
        parts = {'objectness': objectness, 'rpn_box': rpn_box, 'class': of_class, 'box': of_box}
        return parts, {'proposal_recall': recall(chosen['found'], scene)}, updates

    def propose(self, variables: Variables, batch: Batch) -> proposals.Proposals:
        """The proposals that raw images are judged by, highest score first, in pixels of the input."""
        scene, chosen = self.scene(batch), {}

        def choose(judged):
            chosen['found'] = proposals.propose(judged, scene.window, self.rpn, train=False)
            return chosen['found'].boxes

        self.apply(variables, scene, choose)
        return chosen['found']

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """The head on the best proposals."""
        chosen = {}

        def choose(judged):
            chosen['found'] = proposals.propose(judged, scene.window, self.rpn, train=False)
            return chosen['found'].boxes

        _, logits, deltas = self.apply(variables, scene, choose)
        limits = {'nms_threshold': self.nms_threshold, 'score_threshold': self.score_threshold}
        count = self.max_detections
        return regions.detect(logits, deltas, *chosen['found'], scene.window, self.roi, **limits, count=count)


def recall(found: jax.Array, scene: Scene) -> jax.Array:
    """The share of an image's objects that were found, float32 `[B]`; 1 where there is none."""
    number = scene.valid.sum(1)
    return jnp.where(number > 0, found / jnp.maximum(number, 1), 1.0)

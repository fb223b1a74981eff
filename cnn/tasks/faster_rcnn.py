"""Faster R-CNN as a task: the RPN's losses and the head's, at once on one map or by turns.

At once is the authors' approximate joint training, where the gradient of the head's loss by the proposals' coordinates
is left out (Ren et al. 2015, arXiv:1506.01497, section 3.2 of the journal version). By turns is the paper's alternating
training in four steps, each a run with `parts` and frozen parameters (configs/faster_rcnn.py).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn.ops import anchors as anchors_ops
from cnn.ops import boxes as boxes_ops
from cnn.ops import keys
from cnn.ops.detections import Detections
from cnn.tasks import proposals, region_pictures, regions
from cnn.tasks.base import Batch, Variables
from cnn.tasks.detection import Detection, Scene
from cnn.tasks.proposals import Proposals

PARTS = ('joint', 'rpn', 'head')


class FasterRCNN(Detection):
    """A region proposal network and Fast R-CNN's head on it.

    Args:
      module: of cnn/models/detectors/faster_rcnn.py.
      rpn: fields of `proposals.ProposalOptions`; `roi`: of `regions.RegionOptions`.
      parts: whose losses are learnt: 'joint', both; 'rpn'; or 'head', on the batch's `proposals` where it brings them.
        Those are also judged in its evaluation, before the network's own.
      **shared: what `Detection` takes.

    Raises:
      ValueError: for unknown parts.
    """

    def __init__(
        self,
        module: Any,
        *,
        rpn: Mapping | None = None,
        roi: Mapping | None = None,
        parts: str = 'joint',
        **shared: Any,
    ):
        super().__init__(module, **shared)
        if parts not in PARTS:
            raise ValueError(f'config.loss.parts is {parts!r}; there are {", ".join(PARTS)}')
        self.rpn = proposals.ProposalOptions(**(rpn or {}))
        self.roi = regions.RegionOptions(**(roi or {}))
        self.parts = parts

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """`objectness`, `rpn_box`, `class` and `box`, or those of `parts`; of the head, `proposal_recall` is shown, the
        share of an image's objects that a proposal overlaps by half (1 where there is none)."""
        parts, shown, chosen = {}, {}, {}

        def choose(judged):
            found = self._proposals(judged, scene, train=True)
            stream = keys.stream(key, 'regions')
            chosen['regions'], chosen['found'] = regions.choose(stream, *found, scene, self.roi)
            return chosen['regions'].boxes

        learns_head = self.parts != 'rpn'
        (judged, logits, deltas), updates = self.apply(variables, scene, choose if learns_head else None, key=key)
        if self.parts != 'head':
            of_object, of_box = proposals.losses(keys.stream(key, 'anchors'), judged, scene, self.rpn)
            parts |= {'objectness': of_object, 'rpn_box': of_box}
        if learns_head:
            of_class, of_box = regions.losses(logits, deltas, chosen['regions'], self.roi)
            parts |= {'class': of_class, 'box': of_box}
            shown['proposal_recall'] = recall(chosen['found'], scene)
        return parts, shown, updates

    def _proposals(self, judged, scene: Scene, train: bool) -> Proposals:
        """The network's own proposals, or those that its head is learning from."""
        if self.parts == 'head' and scene.proposals is not None:
            return Proposals(scene.proposals, boxes_ops.area(scene.proposals) > 0)
        return proposals.propose(judged, scene.window, self.rpn, train=train)

    def propose(self, variables: Variables, batch: Batch) -> Proposals:
        """The network's proposals for raw images, highest score first, in pixels of the input."""
        scene = self.scene(batch)
        judged, _, _ = self.apply(variables, scene)
        return proposals.propose(judged, scene.window, self.rpn, train=False)

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """The head on the best proposals."""
        return self.judge(variables, scene)[0]

    def judge(self, variables: Variables, scene: Scene) -> tuple[Detections, jax.Array]:
        """See `Detection`."""
        chosen = {}

        def choose(judged):
            chosen['found'] = self._proposals(judged, scene, train=False)
            return chosen['found'].boxes

        _, logits, deltas = self.apply(variables, scene, choose)
        limits = {'nms_threshold': self.nms_threshold, 'score_threshold': self.score_threshold}
        count, found = self.max_detections, chosen['found']
        said = regions.detect(logits, deltas, *found, scene.window, self.roi, **limits, count=count)
        return said, found.padded()

    def anchors(self, height: int, width: int) -> np.ndarray:
        """The anchors over an input, float32 `[rows, columns, A, 4]`."""
        trunk, rpn = self.module.trunk, self.module.rpn
        images = jax.ShapeDtypeStruct((1, height, width, 3), self.dtype)
        ((_, maps), _) = jax.eval_shape(trunk.init_with_output, jax.random.key(0), images)
        rows, columns = maps[self.module.endpoint].shape[1:3]
        found = anchors_ops.grid(rows, columns, rpn.stride, np.asarray(rpn.cell, np.float32), offset=rpn.offset)
        return np.asarray(found).reshape(rows, columns, -1, 4)

    def draw(self, folder: str, states: dict[str, Any], collector: Any, source: Any) -> list[str]:
        """As `Detection` does; with a source also `proposals.png` and `anchors.png`."""
        drawn = super().draw(folder, states, collector, source)
        example = collector.example()
        if source is None or example is None:
            return drawn
        image = source.image(example.seen.index)
        region_pictures.proposals(folder, image, example)
        region_pictures.anchors(folder, image, example.seen, self.anchors(*image.shape[:2]), self.rpn)
        return [*drawn, region_pictures.PROPOSALS, region_pictures.ANCHORS]


def recall(found: jax.Array, scene: Scene) -> jax.Array:
    """The share of an image's objects that were found, float32 `[B]`; 1 where there is none."""
    number = scene.valid.sum(1)
    return jnp.where(number > 0, found / jnp.maximum(number, 1), 1.0)

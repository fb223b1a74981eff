"""Fast R-CNN as a task: a head on regions that come with the images or from any function (Girshick 2015,
arXiv:1504.08083)."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

from cnn.models.detectors.linear_heads import Said
from cnn.ops import boxes as boxes_ops
from cnn.ops import keys
from cnn.ops.detections import Detections
from cnn.tasks import proposals, region_pictures, regions
from cnn.tasks.base import Batch, Variables
from cnn.tasks.detection import Detection, Scene
from cnn.tasks.faster_rcnn import recall
from cnn.tasks.proposals import Proposals
from cnn.tasks.region_fit import Fitting, LinearOptions


class FastRCNN(Fitting, Detection):
    """One pass over the image, the head on every proposal.

    Args:
      module: of cnn/models/detectors/fast_rcnn.py.
      roi: fields of `regions.RegionOptions`.
      windows: what `proposals.sliding` takes, for batches that bring no `proposals`.
      provider: a function of the scene, instead of that.
      linear: fields of `region_fit.LinearOptions`; by default the softmax classifies (section 5.4 compares both).
      **shared: what `Detection` takes.
    """

    # Boxes are learnt with the network.
    parts = ('svm',)

    def __init__(
        self,
        module: Any,
        *,
        roi: Mapping | None = None,
        windows: Mapping | None = None,
        provider: Callable[[Scene], Proposals] | None = None,
        linear: Mapping | None = None,
        **shared: Any,
    ):
        super().__init__(module, **shared)
        self.linear = LinearOptions(**({'classifier': 'softmax'} if linear is None else linear))
        self.roi = regions.RegionOptions(**(roi or {}))
        default = {'stride': 16, 'scales': (4, 8, 16), 'ratios': (0.5, 1, 2)}
        self.provider = provider or partial(proposals.sliding, **(windows or default))

    def proposals(self, scene: Scene) -> Proposals:
        """The batch's own, or the provider's."""
        if scene.proposals is None:
            return self.provider(scene)
        return Proposals(scene.proposals, boxes_ops.area(scene.proposals) > 0)

    def propose(self, variables: Variables, batch: Batch) -> Proposals:
        """The proposals that raw images are judged by, in pixels of the input."""
        return self.proposals(self.scene(batch))

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """`class` and, where boxes are learnt, `box`; shown is `proposal_recall`, as in FasterRCNN."""
        drawn, found = regions.choose(keys.stream(key, 'regions'), *self.proposals(scene), scene, self.roi)
        (logits, deltas), updates = self.apply(variables, scene, drawn.boxes, key=key)
        of_class, of_box = regions.losses(logits, deltas, drawn, self.roi)
        parts = {'class': of_class} | ({'box': of_box} if self.roi.regress else {})
        return parts, {'proposal_recall': recall(found, scene)}, updates

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """The head on all proposals."""
        found, margins = self.proposals(scene), None
        logits, deltas, said = self._said(variables, scene, found.boxes)
        if self.linear.classifier == 'svm':
            margins = said['margins'][0].reshape(*found.boxes.shape[:2], -1)
        limits = {'nms_threshold': self.nms_threshold, 'score_threshold': self.score_threshold}
        roi = dataclasses.replace(self.roi, regress=self.roi.regress and self.linear.regress)
        return regions.detect(
            logits, deltas, *found, scene.window, roi, **limits, count=self.max_detections, margins=margins
        )

    def describe(
        self, variables: Variables, scene: Scene, boxes: jax.Array, valid: jax.Array, pick: Callable[[Said], Any]
    ) -> Any:
        """See `Fitting`; there are `features` and `margins`, no regressions of their own."""
        said = self._said(variables, scene, boxes)[2]
        picked = pick(Said(said['features'][0], None, None, said['margins'][0], None))
        return jax.tree.map(lambda x: x.reshape(*boxes.shape[:2], *x.shape[1:]), picked)

    def _said(self, variables, scene, boxes):
        """Logits, deltas, and what the head keeps besides."""
        (logits, deltas), kept = self.module.apply(
            variables, scene.images, boxes, train=False, mutable=['intermediates']
        )
        return logits, deltas, kept.get('intermediates', {}).get('head', {})

    def judge(self, variables: Variables, scene: Scene) -> tuple[Detections, jax.Array]:
        """See `Detection`."""
        return self.detect(variables, scene), self.proposals(scene).padded()

    def draw(self, folder: str, states: dict[str, Any], collector: Any, source: Any) -> list[str]:
        """As `Detection` does; with a source also `proposals.png`."""
        drawn, example = super().draw(folder, states, collector, source), collector.example()
        if source is None or example is None:
            return drawn
        region_pictures.proposals(folder, source.image(example.seen.index), example)
        return [*drawn, region_pictures.PROPOSALS]

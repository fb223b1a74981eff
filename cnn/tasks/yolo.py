"""YOLO v1 as a task: the grid's loss and boxes (cnn/ops/yolo.py) on the network of cnn/models/detectors/yolo.py."""

from typing import Any

import jax

from cnn.ops import boxes as boxes_ops
from cnn.ops import detections, yolo
from cnn.ops.detections import Detections
from cnn.tasks.base import Variables
from cnn.tasks.detection import Detection, Scene, clip_to_window


class YOLO(Detection):
    """The loss of Redmon et al. 2016 (arXiv:1506.02640, equation 3) and detections by confidence times class.

    Args:
      module: returns (output `[B, S, S, 5 P + C]`, endpoints) and has P as `boxes`.
      coord, noobj: weights of places and sizes, and of the confidences that are to become 0.
      rescore, rmse_fallback, sqrt: as in cnn/ops/yolo.py.
      **shared: what `Detection` takes.
    """

    # A product of an overlap and a probability; darknet shows those from here on.
    drawn_score = 0.2

    def __init__(
        self,
        module: Any,
        *,
        coord: float = 5.0,
        noobj: float = 0.5,
        rescore: bool = True,
        rmse_fallback: bool = False,
        sqrt: bool = True,
        **shared: Any,
    ):
        super().__init__(module, **shared)
        self.options = {
            'coord': coord, 'noobj': noobj, 'rescore': rescore, 'rmse_fallback': rmse_fallback, 'sqrt': sqrt,
        }  # fmt: skip

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """`place`, `size`, `confidence`, `background` and `class`; `iou` and `assigned` are shown."""
        (output, _), updates = self.apply(variables, scene, key=key)
        height, width = scene.images.shape[1:3]
        parts, shown = yolo.loss(
            output,
            scene.boxes,
            scene.labels,
            scene.valid,
            predictors=self.module.boxes,
            height=height,
            width=width,
            **self.options,
        )
        return parts, shown, updates

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """Both boxes of every cell with every class, suppressed class by class."""
        output, _ = self.apply(variables, scene)
        height, width = scene.images.shape[1:3]
        boxes, scores = yolo.decode(
            output, predictors=self.module.boxes, height=height, width=width, sqrt=self.options['sqrt']
        )
        boxes = clip_to_window(boxes, scene.window)
        return detections.select(
            boxes,
            scores,
            iou_threshold=self.nms_threshold,
            score_threshold=self.score_threshold,
            count=self.max_detections,
            valid=boxes_ops.area(boxes) > 0,
        )

"""SPPNet as a task: one pass over the image, dense layers on the pyramid of every proposal (He et al. 2014,
arXiv:1406.4729, section 4).

Training is the paper's fine-tuning, of the dense layers alone where the config freezes the trunk; what follows, `fit`,
is solved for (region_fit.py). For data that no classifier was trained on, the network can be one of objects first.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cnn.models.detectors.linear_heads import Said
from cnn.ops import boxes as boxes_ops
from cnn.ops import keys, matching, roi_sampling
from cnn.ops.detections import Detections
from cnn.ops.warp import warp
from cnn.tasks import regions
from cnn.tasks.base import Variables
from cnn.tasks.detection import Scene
from cnn.tasks.faster_rcnn import recall
from cnn.tasks.rcnn import RCNN, by_image
from cnn.tasks.region_chunks import by_chunks


class SPPNet(RCNN):
    """The dense layers on every proposal.

    Args:
      module: of cnn/models/detectors/sppnet.py.
      pretrain: 0, or pixels of a square: the network is trained as a classifier of squares cut out around objects, as
        the paper's is of ImageNet's photographs, and sees no background.
      **shared: what `RCNN` takes.
    """

    def __init__(self, module: Any, *, pretrain: int = 0, **shared: Any):
        super().__init__(module, **shared)
        if pretrain < 0:
            raise ValueError(f'config.loss.pretrain is {pretrain!r}; give pixels, or 0 for none')
        self.pretrain = int(pretrain)

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """`class`; shown are `region_accuracy` and, of regions, `proposal_recall` as in FasterRCNN."""
        images = scene.images.shape[0]
        if self.pretrain:
            count = images * self.roi.batch
            drawn, image, cut = around_objects(keys.stream(key, 'objects'), scene, self.pretrain, count)
            said, updates = self.apply(variables, scene._replace(images=cut), key=key)
            of_class, right = by_image(said.logits, drawn, image, images)
            return {'class': of_class}, {'region_accuracy': right}, updates
        drawn, image, found = regions.choose_together(
            keys.stream(key, 'regions'), *self.proposals(scene), scene, self.roi
        )
        said, updates = self.apply(variables, scene, drawn.boxes, image, key=key)
        of_class, right = by_image(said.logits, drawn, image, images)
        return {'class': of_class}, {'region_accuracy': right, 'proposal_recall': recall(found, scene)}, updates

    def describe(
        self, variables: Variables, scene: Scene, boxes: jax.Array, valid: jax.Array, pick: Callable[[Said], Any]
    ) -> Any:
        """See `Fitting`."""
        maps = self.apply(variables, scene, method='maps')

        def say(boxes, index):
            said = self.module.apply(variables, maps, scene.images.shape[1:3], boxes, index, method='say')
            return pick(said)

        return by_chunks(say, boxes, valid, self.module.chunk)

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """By the machines or the softmax, as `linear` says."""
        return self.judged(variables, scene)


def around_objects(
    key: jax.Array, scene: Scene, side: int, count: int
) -> tuple[regions.Regions, jax.Array, jax.Array]:
    """Squares of `side` pixels around objects, at the size they have: `count` of them at most, drawn from all images.

    Returns:
      The squares as regions, arrays `[n, ...]`; the image of each, int32 `[n]`; and their pixels, `[n, side, side, 3]`.
    """
    images, most = scene.labels.shape
    label = jnp.where(scene.valid, matching.POSITIVE, matching.NEITHER)
    drawn = roi_sampling.sample_together(
        key, scene.row, label, count=min(count, images * most), positive_share=1.0
    )
    centre = boxes_ops.xyxy_to_cxcywh(scene.boxes)[..., :2].reshape(-1, 2)[drawn.index]
    # On whole pixels, so that nothing is resampled.
    corner = jnp.floor(centre - side / 2)
    squares = jnp.concatenate([corner, corner + side], -1)
    counts, image = drawn.label == matching.POSITIVE, drawn.index // most
    labels = jnp.where(counts, scene.labels.ravel()[drawn.index] + 1, 0)
    cut = warp(scene.images, squares, image, scene.window, size=side, context=0)
    return regions.Regions(squares, labels, jnp.zeros_like(squares), counts), image, cut

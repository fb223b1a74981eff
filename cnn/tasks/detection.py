"""Object detection: what every detector shares, whatever its network, its loss and the way its boxes are read.

A batch of B examples has, beside the fields of every batch (cnn/tasks/base.py), N padded objects for each, in pixels of
the network's input, H x W: `boxes` float32 `[B, N, 4]` x0, y0, x1, y1 (zeros for padding), `box_labels` int32 `[B, N]`
(-1 for padding), `box_difficult` and `box_crowd` bool `[B, N]`, `box_count` int32 `[B]`, and `placement` float32
`[B, 6]`, where the image's pixels went; for detectors that are given their regions, `proposals` float32 `[B, P, 4]`.

A detector is a subclass: it defines `losses` and `detect`, and `init` where the network takes more than images.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.metrics.base import Average
from cnn.metrics.proposals import recall
from cnn.ops import augment, keys
from cnn.ops import boxes as boxes_ops
from cnn.ops.detections import PADDING, Detections
from cnn.tasks.augmentation import Augmentation
from cnn.tasks.base import Batch, LossOutput, Variables, dummy_images
from cnn.tasks.detection_record import Detected

# Average precision of PASCAL VOC: area under the curve (2010 on) or its mean at eleven recalls (2007).
AP_KINDS = ('area', 'eleven_point')
# Images in a picture.
DRAWN = 8


class Scene(NamedTuple):
    """A batch as a detector sees it: augmented and normalised.

    Attributes:
      images: `[B, H, W, 3]`, normalised, in the compute type.
      window: float32 `[B, 4]`: the part of the input that the image covers; what is beyond it is filling.
      row: int32 `[B]`, the example's row in the global batch, to key random numbers by (ops/keys.py).
      proposals: float32 `[B, P, 4]`, zeros for padding; None where the batch brings none.
      boxes: float32 `[B, N, 4]`, the objects; None outside training, as all that follows.
      labels: int32 `[B, N]`; -1 for padding.
      valid: bool `[B, N]`, objects to be learnt: real ones, neither crowds nor (unless asked for) difficult.
      ignored: bool `[B, N]`, the other real ones: neither to be found nor to be taken for background.
      crowd: bool `[B, N]`, those of `ignored` whose box holds many objects.
    """

    images: jax.Array
    window: jax.Array
    row: jax.Array
    proposals: jax.Array | None = None
    boxes: jax.Array | None = None
    labels: jax.Array | None = None
    valid: jax.Array | None = None
    ignored: jax.Array | None = None
    crowd: jax.Array | None = None


class Detection:
    """What detectors share: data in and out, sums of losses, evaluation and pictures.

    Args:
      module: takes normalised images `[B, H, W, 3]`.
      num_classes: C, without a background.
      mean, std: per channel, for pixels divided by 255.
      class_names: C names for the pictures, or none.
      augmentation: an `Augmentation` or a mapping of its fields that move boxes as well: no policy, mixing or erasing.
      max_boxes: N, for `dummy_batch` alone.
      max_detections: D, how many an image has at most.
      score_threshold: what scores less is no detection; low, because average precision counts the tail as well.
      nms_threshold: overlap above which the lesser of two boxes of a class is suppressed.
      use_difficult: whether objects marked difficult are learnt, as R-CNN and Fast R-CNN do (its table 1); SPPNet,
        Faster R-CNN and YOLO do not. They are never scored.
      ap: of `map_50`, one of AP_KINDS.
      dtype: what images are cast to; the network's compute type.

    Raises:
      ValueError: for class names that are not C, thresholds or an augmentation out of range.
    """

    # The least score drawn in pictures.
    drawn_score = 0.5

    def __init__(
        self,
        module: nn.Module,
        *,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] = (),
        augmentation: Augmentation | Mapping | None = None,
        max_boxes: int = 32,
        max_detections: int = 100,
        score_threshold: float = 0.001,
        nms_threshold: float = 0.5,
        use_difficult: bool = False,
        ap: str = 'area',
        dtype: Any = jnp.float32,
    ):
        if class_names and len(class_names) != num_classes:
            raise ValueError(f'{len(class_names)} class names for {num_classes} classes; give one for each')
        if ap not in AP_KINDS:
            raise ValueError(f'evaluation.ap is {ap!r}; there are {", ".join(AP_KINDS)}')
        for name, value in (('score_threshold', score_threshold), ('nms_threshold', nms_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f'detection.{name} is {value!r}; give a number from 0 to 1')
        self.module = module
        self.num_classes = num_classes
        self.mean, self.std = tuple(mean), tuple(std)
        self.class_names = tuple(class_names)
        self.augmentation = Augmentation.of(augmentation)
        if self.augmentation.mixes or self.augmentation.random_erasing or self.augmentation.policy != 'none':
            raise ValueError('augmentation.policy, mixup, cutmix and random_erasing do not move boxes; turn them off')
        self.max_boxes, self.max_detections = max_boxes, max_detections
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.use_difficult = use_difficult
        self.ap = ap
        self.dtype = dtype

    def losses(
        self, variables: Variables, scene: Scene, key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Variables]:
        """Defined by the detector.

        Args:
          key: the step's, the same on every replica; `Detection.apply` takes dropout's from it.

        Returns:
          The parts of the loss by name, float32 `[B]` each, which are added up; what else the record shows, `[B]` each;
          and the collections that the network updated ({} without any).
        """
        raise NotImplementedError

    def detect(self, variables: Variables, scene: Scene) -> Detections:
        """Defined by the detector: D detections an image, in input pixels, suppressed and clipped to `window`."""
        raise NotImplementedError

    def judge(self, variables: Variables, scene: Scene) -> tuple[Detections, jax.Array | None]:
        """`detect`, and what was judged: float32 `[B, P, 4]`, best first, zeros for padding; None for a detector that
        judges no proposals."""
        return self.detect(variables, scene), None

    def dummy_batch(self, size: int) -> dict[str, np.ndarray]:
        """One black image without an object."""
        n = self.max_boxes
        return dummy_images(size) | {
            'boxes': np.zeros((1, n, 4), np.float32),
            'box_labels': np.full((1, n), PADDING, np.int32),
            'box_difficult': np.zeros((1, n), bool),
            'box_crowd': np.zeros((1, n), bool),
            'box_count': np.zeros(1, np.int32),
            'placement': np.float32([[1, 1, 0, 0, size, size]]),
        }

    def init(self, key: jax.Array, batch: Batch) -> Variables:
        """Fresh variables; in training mode, so that heads which only training reads have theirs too."""
        images = jax.ShapeDtypeStruct((1, *batch['image'].shape[-3:]), self.dtype)
        streams = {name: keys.stream(key, name) for name in ('params', 'dropout')}
        # Lazily: only the parameters are computed, not a forward pass, operation by operation.
        return dict(self.module.lazy_init(streams, images, train=True))

    def apply(self, variables: Variables, scene: Scene, *arguments, key: jax.Array | None = None, method=None):
        """`module.apply` on the scene's images and `arguments`, in training mode where there is a key.

        Returns:
          What the network returns; in training mode a pair of that and of the collections it updated.
        """
        if key is None:
            return self.module.apply(variables, scene.images, *arguments, train=False, method=method)
        # Dropout draws one mask for the whole replica: the first row tells replicas and micro-batches apart.
        dropout_key = jax.random.fold_in(keys.stream(key, 'dropout'), scene.row[0])
        return self.module.apply(
            variables,
            scene.images,
            *arguments,
            train=True,
            mutable=[name for name in variables if name != 'params'],
            rngs={'dropout': dropout_key},
            method=method,
        )

    def loss(self, variables: Variables, batch: Batch, key: jax.Array) -> LossOutput:
        """Training loss of raw images; `key` is the step's, the same on every replica."""
        parts, shown, updates = self.losses(variables, self.scene(batch, key), key)
        loss = Average.of(sum(parts.values()), batch['mask'])
        metrics = {name: Average.of(value, batch['mask']) for name, value in (parts | shown).items()}
        state = {name: tree for name, tree in variables.items() if name != 'params'}
        return LossOutput(
            total=loss.total, weight=loss.count, model_state={**state, **updates}, metrics={'loss': loss, **metrics}
        )

    def scene(self, batch: Batch, key: jax.Array | None = None) -> Scene:
        """A raw batch as the network sees it; with a key augmented, and with its objects."""
        window = self._window(batch)
        if key is None:
            images = augment.normalize(batch['image'], self.mean, self.std, dtype=self.dtype)
            return Scene(images, window, batch['row'], batch.get('proposals'))
        # One array of all that moves with the pixels: objects, the window, proposals.
        n, proposals = batch['boxes'].shape[1], batch.get('proposals')
        moving = [batch['boxes'], window[:, None], *(() if proposals is None else (proposals,))]
        example = {'image': batch['image'], 'boxes': jnp.concatenate(moving, 1)}
        example = self.augmentation.example(key, example, batch['row'], mean=self.mean, std=self.std, dtype=self.dtype)
        boxes, window, moved = jnp.split(example['boxes'], [n, n + 1], axis=1)
        return Scene(
            images=example['image'],
            window=window[:, 0],
            row=batch['row'],
            proposals=None if proposals is None else moved,
            **self.objects(batch, boxes),
        )

    def objects(self, batch: Batch, boxes: jax.Array) -> dict[str, jax.Array]:
        """The fields of a `Scene` that are of its objects, whose boxes, `[B, N, 4]`, may have moved since they came."""
        # A crop drops objects: what is left of them is a box without area.
        real = (batch['box_labels'] >= 0) & (boxes_ops.area(boxes) > 0)
        ignored = batch['box_crowd'] if self.use_difficult else batch['box_crowd'] | batch['box_difficult']
        return {
            'boxes': boxes,
            'labels': jnp.where(real, batch['box_labels'], PADDING),
            'valid': real & ~ignored,
            'ignored': real & ignored,
            'crowd': real & batch['box_crowd'],
        }

    @staticmethod
    def _window(batch: Batch) -> jax.Array:
        """Where the image lies in the input, float32 `[B, 4]`."""
        y, x, dy, dx, height, width = jnp.moveaxis(batch['placement'].astype(jnp.float32), -1, 0)
        whole = jnp.stack([dx, dy, width * x + dx, height * y + dy], -1)
        return boxes_ops.clip(whole[:, None], *batch['image'].shape[1:3])[:, 0]

    def predict(self, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        """`boxes` float32 `[B, D, 4]` in pixels of the input, `scores` float32 `[B, D]` from the highest down, `labels`
        int32 `[B, D]` (-1 for padding), and `source_boxes`, the boxes in pixels of the upright image; of the batch's
        objects the same in `source_truth` `[B, N, 4]`; and the `proposals` that were judged, if any were."""
        found, proposed = self.judge(variables, self.scene(batch))
        predictions = found._asdict() | {'source_boxes': boxes_ops.to_source(found.boxes, batch['placement'])}
        if 'boxes' in batch:
            predictions['source_truth'] = boxes_ops.to_source(batch['boxes'], batch['placement'])
        if proposed is not None:
            predictions['proposals'] = proposed
        return predictions

    def metrics(self, predictions: dict[str, jax.Array], batch: Batch) -> dict[str, Any]:
        """The proposals' recall, where there are any; average precision ranks the detections of all images (see
        `collector`)."""
        if 'proposals' not in predictions:
            return {}
        counts = (batch['box_labels'] >= 0) & ~batch['box_difficult'] & ~batch['box_crowd']
        counts &= batch['mask'][:, None] > 0
        return recall(predictions['proposals'], boxes_ops.area(predictions['proposals']) > 0, batch['boxes'], counts)

    def collector(self) -> Detected:
        """Keeps each image's detections and objects, in pixels of the upright image."""
        return Detected(self.num_classes, ap=self.ap)

    def draw(self, folder: str, states: dict[str, Any], collector: Detected, source: Any) -> list[str]:
        """Writes `precision_recall.png`, `errors.png` (kinds of mistakes) and, with a source, `detections.png`: the
        first images, their objects beside what was found.

        Args:
          source: gives `image(index)`, uint8 `[H, W, 3]`, as the network sees it; or None.

        Returns:
          The names of the files written.
        """
        from cnn.plots import detection, error_split, precision_recall, text

        names = text.without_wordnet(self.class_names) or tuple(str(i) for i in range(self.num_classes))
        curves, values = collector.curves()
        precision_recall.draw(curves, values, names, os.path.join(folder, 'precision_recall.png'))
        error_split.draw({'all classes': collector.errors(names)}, os.path.join(folder, 'errors.png'))
        if source is None:
            return ['precision_recall.png', 'errors.png']
        rows, file = collector.drawn(DRAWN), 'detections.png'
        path = os.path.join(folder, file)
        detection.draw_pairs(rows, source.image, names, path, title='The first images', least=self.drawn_score)
        return ['precision_recall.png', 'errors.png', file]


def clip_to_window(boxes: jax.Array, window: jax.Array) -> jax.Array:
    """Boxes `[B, R, 4]` cut to the part of the input that each image covers, `[B, 4]` (`Scene.window`)."""
    low, high = (jnp.tile(window[:, None, i : i + 2], 2) for i in (0, 2))
    return jnp.clip(boxes, low, high)

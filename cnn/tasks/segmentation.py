"""Semantic segmentation: `segmentation` uint8 `[B, H, W]` beside the fields that every batch has (cnn/tasks/base.py).

A label that is no class, 255 as a rule, is ignored: it costs nothing and counts nowhere. So are the parts of a canvas
that an image does not cover.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.metrics.base import Average
from cnn.metrics.segmentation import PixelConfusion, class_iou, confusions
from cnn.ops import augment, keys, losses
from cnn.tasks.augmentation import Augmentation
from cnn.tasks.base import Batch, LossOutput, Variables, dummy_images
from cnn.tasks.segmentation_record import Segmented

IGNORED = 255
REDUCTIONS = ('mean', 'sum')
# torchvision's FCN-ResNets add half of the auxiliary head's loss.
AUXILIARY_WEIGHT = 0.5


class Segmentation:
    """Softmax cross entropy of each pixel, on a network that returns `(logits [B, H, W, C], endpoints)`.

    Args:
      module: takes normalised images `[B, H, W, 3]`; `aux_logits` among its endpoints is an auxiliary head.
      num_classes: C, at most 255.
      mean, std: per channel, for pixels divided by 255.
      class_names: C names for the pictures, or none.
      augmentation: an `Augmentation` or a mapping of its fields, without erasing and mixing.
      class_weights: C factors on the loss of pixels of each class, or none.
      reduction: what the gradient is of: 'mean', over all labelled pixels of the batch (weighted, where classes are);
        or 'sum' over an image's pixels, averaged over images: with one image the unnormalised loss of Long et al. 2015,
        whose learning rates (1e-10 ...) are made for it.
      label_smoothing: 0 up to, but not including, 1; training only.
      dtype: what images are cast to; the network's compute type.

    Raises:
      ValueError: for class names or weights that are not C, an unknown reduction, an augmentation that has no meaning
        for masks.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] = (),
        augmentation: Augmentation | Mapping | None = None,
        class_weights: Sequence[float] = (),
        reduction: str = 'mean',
        label_smoothing: float = 0.0,
        dtype: Any = jnp.float32,
    ):
        for what, values in (('class names', class_names), ('loss.class_weights', class_weights)):
            if len(values) not in (0, num_classes):
                raise ValueError(f'{len(values)} {what} for {num_classes} classes; give one for each')
        if any(not weight >= 0 for weight in class_weights) or (class_weights and not sum(class_weights)):
            raise ValueError(f'loss.class_weights are {tuple(class_weights)}; give numbers, 0 or more, not all 0')
        if num_classes > IGNORED:
            raise ValueError(f'{num_classes} classes: a mask of bytes has room for {IGNORED}')
        if reduction not in REDUCTIONS:
            raise ValueError(f'loss.reduction is {reduction!r}; there are {", ".join(REDUCTIONS)}')
        if isinstance(label_smoothing, int | float) and not 0 <= label_smoothing < 1:
            raise ValueError(f'label_smoothing is {label_smoothing!r}; give a share from 0 up to, but not including, 1')
        self.module = module
        self.num_classes = num_classes
        self.mean, self.std = tuple(mean), tuple(std)
        self.class_names = tuple(class_names)
        self.augmentation = Augmentation.of(augmentation)
        if self.augmentation.mixes or self.augmentation.random_erasing:
            raise ValueError('augmentation.mixup, cutmix and random_erasing are for classification; set them to 0')
        self.class_weights = tuple(class_weights)
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self.dtype = dtype

    def dummy_batch(self, size: int) -> dict[str, np.ndarray]:
        """One black image whose pixels are of class 0."""
        return {**dummy_images(size), 'segmentation': np.zeros((1, size, size), np.uint8)}

    def init(self, key: jax.Array, batch: Batch) -> Variables:
        """Fresh variables; in training mode, so that heads which only training reads have theirs too."""
        images = jax.ShapeDtypeStruct((1, *batch['image'].shape[-3:]), self.dtype)
        streams = {name: keys.stream(key, name) for name in ('params', 'dropout')}
        # Lazily: only the parameters are computed, not a forward pass, operation by operation.
        return dict(self.module.lazy_init(streams, images, train=True))

    def loss(self, variables: Variables, batch: Batch, key: jax.Array) -> LossOutput:
        """Training loss of raw images; `key` is the step's, the same on every replica."""
        row = batch['row']
        example = {name: batch[name] for name in ('image', 'segmentation')}
        example = self.augmentation.example(key, example, row, mean=self.mean, std=self.std, dtype=self.dtype)
        # Dropout draws one mask for the whole replica: the first row tells replicas and micro-batches apart.
        dropout_key = jax.random.fold_in(keys.stream(key, 'dropout'), row[0])
        state = {name: tree for name, tree in variables.items() if name != 'params'}
        (logits, endpoints), updates = self.module.apply(
            variables, example['image'], train=True, mutable=list(state), rngs={'dropout': dropout_key}
        )
        truth, weights = self._targets(example['segmentation'], batch['mask'])
        values = losses.softmax_cross_entropy(logits, truth, label_smoothing=self.label_smoothing)
        if 'aux_logits' in endpoints:
            auxiliary = losses.softmax_cross_entropy(
                endpoints['aux_logits'], truth, label_smoothing=self.label_smoothing
            )
            values = values + AUXILIARY_WEIGHT * auxiliary
        # In images, not pixels, so that float32 sums over a window of the record keep their digits.
        area = float(truth.shape[1] * truth.shape[2])
        total, weight = (values * weights).sum() / area, weights.sum() / area
        hits = ((jnp.argmax(logits, -1) == truth) * (weights > 0)).sum() / area
        metrics = {'loss': Average(total, weight), 'pixel_accuracy': Average(hits, (weights > 0).sum() / area)}
        if self.reduction == 'sum':
            total, weight = total * area, batch['mask'].astype(jnp.float32).sum()
        # A batch without a labelled pixel moves nothing; its loss is 0 / 1e-12.
        weight = jnp.maximum(weight, 1e-12)
        return LossOutput(total=total, weight=weight, model_state={**state, **updates}, metrics=metrics)

    def _targets(self, truth: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The class of each pixel, int32 `[B, H, W]`, 0 where there is none; its weight, float32, 0 there."""
        truth = truth.astype(jnp.int32)
        known = (truth < self.num_classes) & (mask[:, None, None] > 0)
        truth = jnp.where(known, truth, 0)
        weights = jnp.asarray(self.class_weights, jnp.float32)[truth] if self.class_weights else 1.0
        return truth, jnp.where(known, weights, 0.0)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        """`segmentation` uint8 `[B, H, W]`, the likeliest class of each pixel.

        Where the batch has the truth, what scores need instead of its logits: `confusions` int32 `[B, C, C]`, and each
        image's `loss_sum` and number of labelled `pixels`, float32 `[B]`. Where it has none, `probability` float32 `[B,
        H, W]` of that class.
        """
        images = augment.normalize(batch['image'], self.mean, self.std, dtype=self.dtype)
        logits, _ = self.module.apply(variables, images, train=False)
        predictions = {'segmentation': jnp.argmax(logits, -1).astype(jnp.uint8)}
        if 'segmentation' not in batch:
            return predictions | {'probability': nn.softmax(logits.astype(jnp.float32)).max(-1)}
        truth, weights = self._targets(batch['segmentation'], batch['mask'])
        values = losses.softmax_cross_entropy(logits, truth)
        return predictions | {
            'confusions': confusions(predictions['segmentation'], batch['segmentation'], self.num_classes),
            'loss_sum': (values * weights).sum((1, 2)),
            'pixels': weights.sum((1, 2)),
        }

    def metrics(self, predictions: dict[str, jax.Array], batch: Batch) -> dict[str, Any]:
        """States: `loss` (weighted by class, without smoothing), and `pixels`, whose values are those of Long et al."""
        mask = (batch['mask'] > 0).astype(jnp.float32)
        sums = ((predictions[name] * mask).sum() for name in ('loss_sum', 'pixels'))
        return {'loss': Average(*sums), 'pixels': PixelConfusion.of(predictions['confusions'], batch['mask'])}

    def collector(self) -> Segmented:
        """Keeps each image's scores, and the masks of the first and the worst."""
        return Segmented()

    def draw(self, folder: str, states: dict[str, Any], collector: Segmented, source: Any) -> list[str]:
        """Writes `class_iou.png` and, with a source, `segmentations.png` (the first images) and `worst.png`.

        Args:
          source: gives `image(index)`, uint8 `[H, W, 3]`, as the network sees it; or None.

        Returns:
          The names of the files written.
        """
        from cnn.plots import class_iou as bars
        from cnn.plots import segmentation, text

        names = text.without_wordnet(self.class_names) or tuple(str(i) for i in range(self.num_classes))
        written = ['class_iou.png']
        matrix = np.asarray(states['pixels'].matrix)
        bars.draw(class_iou(matrix), matrix.sum(1), names, os.path.join(folder, written[0]))
        if source is None:
            return written
        for file, title, rows in (
            ('segmentations.png', 'The first images', collector.first()),
            ('worst.png', 'The images of least mean IU', collector.worst()),
        ):
            segmentation.draw_pairs(rows, source.image, names, os.path.join(folder, file), title=title)
            written.append(file)
        return written

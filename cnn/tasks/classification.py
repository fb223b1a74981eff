"""Image classification: `label` int32 `[B]` beside the fields that every batch has (cnn/tasks/base.py)."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.metrics.base import Average
from cnn.metrics.classification import ClassCounts, Confusion, top_k_hits
from cnn.ops import augment, keys, losses
from cnn.tasks.augmentation import Augmentation
from cnn.tasks.base import Batch, LossOutput, Variables, dummy_images

# GoogLeNet's auxiliary heads add 0.3 of their loss each (Szegedy et al. 2015, arXiv:1409.4842, section 5).
AUXILIARY_HEADS = ('aux1_logits', 'aux2_logits')
AUXILIARY_WEIGHT = 0.3
# Above so many the worst of them get a picture of their own.
MANY_CLASSES = 20


class Classification:
    """Softmax cross entropy on a network that returns `(logits [B, C], endpoints)`.

    Args:
      module: takes normalised images `[B, H, W, 3]`.
      num_classes: C.
      mean, std: per channel, for pixels divided by 255.
      class_names: C names for the pictures, or none.
      augmentation: an `Augmentation` or a mapping of its fields.
      label_smoothing: 0 up to, but not including, 1; training only.
      dtype: what images are cast to; the network's compute type.
      confusion_limit: up to so many classes the confusion matrix is kept.
      ten_crop: with a side above 0, predictions average ten crops of that side (cnn/ops/augment.py), taken from larger
        images on the device.
      scales: with sides, predictions average each image and its mirror image at these sides (Simonyan and Zisserman
        2014, section 3.2); for networks that take any size.

    Raises:
      ValueError: for class names that are not C, a smoothing or augmentation out of range.
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
        label_smoothing: float = 0.0,
        dtype: Any = jnp.float32,
        confusion_limit: int = 1000,
        ten_crop: int = 0,
        scales: Sequence[int] = (),
    ):
        if class_names and len(class_names) != num_classes:
            raise ValueError(f'{len(class_names)} class names for {num_classes} classes; give one for each')
        if isinstance(label_smoothing, int | float) and not 0 <= label_smoothing < 1:
            raise ValueError(f'label_smoothing is {label_smoothing!r}; give a share from 0 up to, but not including, 1')
        self.module = module
        self.num_classes = num_classes
        self.mean, self.std = tuple(mean), tuple(std)
        self.class_names = tuple(class_names)
        self.augmentation = Augmentation.of(augmentation)
        self.label_smoothing = label_smoothing
        self.dtype = dtype
        self.confusion_limit = confusion_limit
        self.ten_crop, self.scales = ten_crop, tuple(scales)

    def dummy_batch(self, size: int) -> dict[str, np.ndarray]:
        """One black image of class 0."""
        return {**dummy_images(size), 'label': np.zeros(1, np.int32)}

    def init(self, key: jax.Array, batch: Batch) -> Variables:
        """Fresh variables; in training mode, so that heads which only training reads have theirs too."""
        height, width, channels = batch['image'].shape[-3:]
        size = (self.ten_crop, self.ten_crop) if self.ten_crop else (height, width)
        images = jax.ShapeDtypeStruct((1, *size, channels), self.dtype)
        streams = {name: keys.stream(key, name) for name in ('params', 'dropout')}
        # Lazily: only the parameters are computed, not a forward pass, operation by operation.
        return dict(self.module.lazy_init(streams, images, train=True))

    def loss(self, variables: Variables, batch: Batch, key: jax.Array) -> LossOutput:
        """Training loss of raw images; `key` is the step's, the same on every replica."""
        mask, row = batch['mask'].astype(jnp.float32), batch['row']
        images = self.augmentation.images(key, batch['image'], row, mean=self.mean, std=self.std, dtype=self.dtype)
        targets = batch['label']
        if self.augmentation.mixes:
            targets = jax.nn.one_hot(targets, self.num_classes, dtype=jnp.float32)
            images, targets = self.augmentation.mix(key, images, targets, mask)
        # Dropout draws one mask for the whole replica: the first row tells replicas and micro-batches apart.
        dropout_key = jax.random.fold_in(keys.stream(key, 'dropout'), row[0])
        state = {name: tree for name, tree in variables.items() if name != 'params'}
        (logits, endpoints), updates = self.module.apply(
            variables, images, train=True, mutable=list(state), rngs={'dropout': dropout_key}
        )
        values = losses.softmax_cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        for head in AUXILIARY_HEADS:
            if head in endpoints:
                auxiliary = losses.softmax_cross_entropy(
                    endpoints[head], targets, label_smoothing=self.label_smoothing
                )
                values = values + AUXILIARY_WEIGHT * auxiliary
        loss = Average.of(values, mask)
        metrics = {'loss': loss, 'accuracy': Average.of(_hits(logits, targets), mask)}
        return LossOutput(total=loss.total, weight=loss.count, model_state={**state, **updates}, metrics=metrics)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        """`logits` and `probabilities`, float32 `[B, C]`.

        Images `[B, V, H, W, 3]` are V views of each example (crops, flips): their probabilities are averaged, and
        `logits` are the logarithms of the averages.
        """
        images = batch['image']
        if self.ten_crop and images.ndim == 4:
            images = augment.ten_crop(images, size=self.ten_crop)
        if self.scales:
            views = [self._views(variables, scaled) for scaled in augment.scaled_views(images, sizes=self.scales)]
            logits = _average(jnp.concatenate(views, axis=1))
        elif images.ndim == 5:
            logits = _average(self._views(variables, images))
        else:
            logits = self._views(variables, images[:, None])[:, 0]
        return {'logits': logits, 'probabilities': jax.nn.softmax(logits)}

    def _views(self, variables: Variables, images: jax.Array) -> jax.Array:
        """`[B, V, H, W, 3] -> [B, V, C]` float32 logits."""
        flat = images.reshape(-1, *images.shape[-3:])
        flat = augment.normalize(flat, self.mean, self.std, dtype=self.dtype)
        logits, _ = self.module.apply(variables, flat, train=False)
        return logits.astype(jnp.float32).reshape(*images.shape[:2], -1)

    def metrics(self, predictions: dict[str, jax.Array], batch: Batch) -> dict[str, Any]:
        """States: `loss` (without smoothing), `accuracy`, `top5_accuracy` (top C below five classes), `confusion`."""
        logits, labels, mask = predictions['logits'], batch['label'], batch['mask']
        counts = Confusion if self.num_classes <= self.confusion_limit else ClassCounts
        return {
            'loss': Average.of(losses.softmax_cross_entropy(logits, labels), mask),
            'accuracy': Average.of(top_k_hits(logits, labels, 1), mask),
            'top5_accuracy': Average.of(top_k_hits(logits, labels, min(5, self.num_classes)), mask),
            'confusion': counts.of(jnp.argmax(logits, 1), labels, mask, self.num_classes),
        }

    def collector(self) -> 'Collected':
        """Keeps each example's prediction."""
        return Collected()

    def draw(self, folder: str, states: dict[str, Any], collector: 'Collected', source: Any) -> list[str]:
        """Writes `confusion.png`, above twenty classes `class_accuracy.png`, and with a source the examples themselves.

        Args:
          source: gives `image(index)`, uint8 `[H, W, 3]`, for `mistakes.png` and `confused_pairs.png`; or None.

        Returns:
          The names of the files written.
        """
        from cnn.plots import class_accuracy, confused_pairs, confusion, mistakes, text

        names = text.without_wordnet(self.class_names) or tuple(str(i) for i in range(self.num_classes))
        state, written = states.get('confusion'), []

        def to(file: str) -> str:
            written.append(file)
            return os.path.join(folder, file)

        matrix = np.asarray(state.matrix) if isinstance(state, Confusion) else None
        if matrix is not None:
            confusion.draw(matrix, names, to('confusion.png'))
        if state is not None and self.num_classes > MANY_CLASSES:
            hits, counts = (np.diagonal(matrix), matrix.sum(1)) if matrix is not None else (state.hits, state.counts)
            class_accuracy.draw(hits, counts, names, to('class_accuracy.png'))
        if source is not None:
            mistakes.draw(collector.mistakes(), source.image, names, to('mistakes.png'))
            if matrix is not None:
                confused_pairs.draw(matrix, collector.table(), source.image, names, to('confused_pairs.png'))
        return written


class Collected:
    """One evaluation's predictions, example by example, on the host."""

    def __init__(self):
        self._parts: list[dict[str, np.ndarray]] = []

    def update(self, predictions: dict[str, Any], batch: dict[str, Any]) -> None:
        """Takes one batch, NumPy arrays, padding included."""
        real = np.asarray(batch['mask']) > 0
        probabilities = np.asarray(predictions['probabilities'], np.float32)[real]
        label = np.asarray(batch['label'])[real]
        prediction = probabilities.argmax(1)
        every = np.arange(len(label))
        self._parts.append({
            'index': np.asarray(batch['index'])[real],
            'label': label,
            'prediction': prediction,
            'confidence': probabilities[every, prediction],
            'label_probability': probabilities[every, label],
        })

    def compute(self) -> dict[str, float]:
        """Nothing that sums do not already hold."""
        return {}

    def table(self) -> dict[str, np.ndarray]:
        """Columns `index`, `label`, `prediction`, `confidence` and `label_probability`, sorted by `index`."""
        columns = ('index', 'label', 'prediction', 'confidence', 'label_probability')
        table = {c: np.concatenate([p[c] for p in self._parts] or [np.zeros(0)]) for c in columns}
        order = np.argsort(table['index'], kind='stable')
        return {c: values[order] for c, values in table.items()}

    def mistakes(self) -> dict[str, np.ndarray]:
        """The rows of `table` whose prediction is wrong, most confident first; equal ones by index."""
        table = self.table()
        wrong = np.flatnonzero(table['prediction'] != table['label'])
        order = wrong[np.argsort(-table['confidence'][wrong], kind='stable')]
        return {c: values[order] for c, values in table.items()}


def _average(logits: jax.Array) -> jax.Array:
    """`[B, V, C] -> [B, C]`: the logarithms of the probabilities averaged over the views."""
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=1) - jnp.log(logits.shape[1])


def _hits(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """The share of the target's mass on the predicted class, float32 `[B]`: 0 or 1 unless targets are mixed."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return top_k_hits(logits, targets, 1)
    return jnp.take_along_axis(targets, jnp.argmax(logits, 1)[:, None], 1)[:, 0]

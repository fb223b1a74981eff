"""A source: random access to the examples of one split, by index."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.datasets import DatasetInfo


class Source:
    """N examples of one split. Subclasses implement `__len__`, `labels`, `example_id` and `read`.

    Attributes:
      info: the data set's entry, class names included.
      split: the split as it was asked for.
    """

    info: DatasetInfo
    split: str

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def labels(self) -> np.ndarray:
        """int32 `[N]` class of each example; may read the whole set once where labels are stored with the images.

        Raises:
          ValueError: where an image has no one class.
        """
        raise NotImplementedError

    def example_id(self, i: int) -> str:
        """A name that finds the example again: a file, or a shard and a record."""
        raise NotImplementedError

    def read(self, i: int) -> dict[str, Any]:
        """What example `i` holds, as far as the data set provides it (`info.provides`).

        Returns:
          `image`: encoded bytes, or uint8 `[H, W, 3]`. `label`: int. `boxes`: float32 `[objects, 4]`, x0, y0, x1, y1 in
          0..1 of the image as shown (EXIF orientation applied), as the data has them, faults included; with them
          `box_labels` int32 `[objects]` and, where known, `box_difficult` and `box_crowd` bool `[objects]`.
          `segmentation`: encoded bytes, or uint8 `[H, W]`, of the size of the image as shown, in values that
          `info.mask_values` and `info.mask_void` explain.

        Raises:
          UnreadableError: where this one example cannot be read.
          ValueError: where its label is outside the classes.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """16 hexadecimal digits over the data set's name, split, length, example names and labels.

        Does not depend on where the data lies, so that a run may be resumed on another machine.
        """
        kind = self.info.name.partition(':')[0]
        digest = hashlib.sha256(f'{kind}|{self.info.num_classes}|{len(self)}'.encode())
        digest.update('\n'.join(self.example_id(i) for i in range(len(self))).encode())
        digest.update(np.ascontiguousarray(self.labels, dtype='<i4').tobytes())
        return digest.hexdigest()[:16]

    def select(self, indices: Sequence[int] | np.ndarray) -> 'Source':
        """The examples at `indices`, in that order, as a source of their own."""
        return Selection(self, indices)

    def whole(self) -> tuple['Source', np.ndarray]:
        """The source that this is a selection of, itself where it is none; and int64 `[N]`, the places there."""
        return self, np.arange(len(self))


class UnreadableError(ValueError):
    """One example could not be read or decoded; the message says why, not which."""


class Selection(Source):
    """Some examples of another source."""

    def __init__(self, parent: Source, indices: Sequence[int] | np.ndarray):
        indices = np.asarray(indices, dtype=np.int64)
        if indices.ndim != 1 or not len(indices):
            raise ValueError(f'{parent.info.name}: a selection needs at least one index')
        if indices.min() < 0 or indices.max() >= len(parent):
            raise ValueError(f'{parent.info.name}: indices must lie in 0..{len(parent) - 1}')
        self.info, self.split = parent.info, parent.split
        self._parent, self._indices = parent, indices

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def labels(self) -> np.ndarray:
        return self._parent.labels[self._indices]

    def example_id(self, i: int) -> str:
        return self._parent.example_id(int(self._indices[i]))

    def read(self, i: int) -> dict[str, Any]:
        return self._parent.read(int(self._indices[i]))

    def whole(self) -> tuple[Source, np.ndarray]:
        root, places = self._parent.whole()
        return root, places[self._indices]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self._parent.fingerprint().encode())
        digest.update(self._indices.astype('<i8').tobytes())
        return digest.hexdigest()[:16]


class Changed(Source):
    """Another source's examples, as many and under the same names; subclasses change what `read` gives."""

    def __init__(self, parent: Source):
        self.info, self.split, self._parent = parent.info, parent.split, parent

    def __len__(self) -> int:
        return len(self._parent)

    @property
    def labels(self) -> np.ndarray:
        return self._parent.labels

    def example_id(self, i: int) -> str:
        return self._parent.example_id(i)


class ArraySource(Source):
    """Images that are already in memory.

    Args:
      info: the data set's entry.
      split: name of the split.
      images: uint8 `[N, H, W, 3]`.
      labels: int `[N]`.
      ids: name of each example.

    Raises:
      ValueError: for wrong shapes or dtypes, no examples, or a label outside the classes.
    """

    def __init__(self, info: DatasetInfo, split: str, images: np.ndarray, labels: np.ndarray, ids: Sequence[str]):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f'{info.name}: images must be uint8 [N, H, W, 3], not {images.dtype} {list(images.shape)}')
        if len(images) != len(labels) or len(images) != len(ids):
            raise ValueError(f'{info.name}: {len(images)} images, but {len(labels)} labels and {len(ids)} names')
        if not len(images):
            raise ValueError(f'{info.name}: split {split!r} is empty')
        check_labels(info, labels, lambda i: ids[i])
        self.info, self.split = info, split
        self._images, self._labels, self._ids = images, np.asarray(labels, np.int32), list(ids)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    def example_id(self, i: int) -> str:
        return self._ids[i]

    def read(self, i: int) -> dict[str, Any]:
        return {'image': self._images[i], 'label': int(self._labels[i])}


def check_labels(info: DatasetInfo, labels: np.ndarray, example_id) -> None:
    """Raises ValueError naming the first example whose label is not one of the classes 0..num_classes - 1."""
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise ValueError(f'{info.name}: labels must be whole numbers [N], not {labels.dtype} {list(labels.shape)}')
    wrong = np.flatnonzero((labels < 0) | (labels >= info.num_classes))
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f'{info.name}: label {int(labels[first])} of example {example_id(first)} is not one of the '
            f'{info.num_classes} classes 0..{info.num_classes - 1} ({len(wrong)} such examples)'
        )

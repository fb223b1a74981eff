"""The statistics that images are normalised by, where a run measures its own."""

from collections.abc import Iterable

import numpy as np


def channel_statistics(batches: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Each channel's mean and standard deviation (divided by n) over images, of pixels scaled to 0..1.

    Args:
      batches: uint8 `[B, H, W, C]` each. Summed as whole numbers, so exact whatever the batches.

    Raises:
      ValueError: for no pixels. A channel of one value gets the deviation 1 / 255, that of one grey level.
    """
    count, total, squares = 0, 0, 0
    for images in batches:
        for image in images:
            # Counts of each value a channel: no wide copy of the pixels is made.
            pixels = image.reshape(-1, image.shape[-1])
            counts = np.stack([np.bincount(pixels[:, c], minlength=256) for c in range(pixels.shape[1])])
            total = total + counts @ np.arange(256)
            squares = squares + counts @ np.arange(256) ** 2
            count += len(pixels)
    if not count:
        raise ValueError('statistics cannot be computed over no images')
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    std = np.maximum(np.sqrt(variance), 1.0)
    return tuple(float(m) / 255 for m in mean), tuple(float(s) / 255 for s in std)

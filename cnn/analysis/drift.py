"""How the distribution of a layer's values moves in training (Ioffe and Szegedy 2015, arXiv:1502.03167, figure 1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# The paper's percentiles: the middle, and about one standard deviation to either side.
QUANTILES = (0.15, 0.5, 0.85)


def drift(values: Sequence[np.ndarray]) -> dict[str, Any]:
    """What moves from one moment of training to the next.

    Args:
      values: of the layer, `[..., C]`, on the same images at each of two moments or more.

    Returns:
      `quantiles`: `[moments, 3]` of all values together. `drift`: how far a channel's mean moves from one moment to the
      next, in standard deviations of the channel at the two, averaged over channels and pairs of moments; a channel
      that is constant at both does not move.

    Raises:
      ValueError: fewer than two moments, or values that are not finite.
    """
    if len(values) < 2:
        raise ValueError(f'a drift needs two moments of training, not {len(values)}')
    flat = [np.asarray(v, np.float64).reshape(-1, np.shape(v)[-1]) for v in values]
    if not all(np.isfinite(v).all() for v in flat):
        raise ValueError('values that are not finite have no drift')
    means, variances = np.stack([v.mean(0) for v in flat]), np.stack([v.var(0) for v in flat])
    spread = np.sqrt((variances[1:] + variances[:-1]) / 2)
    moved = np.abs(np.diff(means, axis=0)) / np.where(spread > 0, spread, 1.0)
    return {
        'quantiles': [np.quantile(v, QUANTILES).tolist() for v in flat],
        'drift': float(np.where(spread > 0, moved, 0.0).mean()),
    }

"""Forecasts without a network, to compare with: the last value, a straight line, an autoregression, one linear map.

Shapes: N examples, T past values, H values ahead. All in float64 NumPy.
"""

import numpy as np


def last_value(past: np.ndarray, horizon: int) -> np.ndarray:
    """`[N, T] -> [N, H]`: what is, stays (the naive forecast)."""
    return np.repeat(np.asarray(past, float)[:, -1:], horizon, 1)


def trend(past: np.ndarray, horizon: int, points: int) -> np.ndarray:
    """`[N, T] -> [N, H]`: the least-squares line through the last `points` values, 2 or more, continued."""
    last = np.asarray(past, float)[:, -points:]
    place = np.arange(points) - (points - 1) / 2
    slope = last @ place / (place @ place)
    ahead = np.arange(1, horizon + 1) + (points - 1) / 2
    return last.mean(1, keepdims=True) + slope[:, None] * ahead


def autoregression(series: np.ndarray, past: np.ndarray, horizon: int, order: int) -> np.ndarray:
    """`[n]` to fit on and `[N, T]` to go on from `-> [N, H]`: y[t] = c + sum of a[k] y[t - k], by least squares.

    The forecast of one value ahead is fed back for the next. Where `series` is too short for as many equations as
    unknowns the last value is repeated.
    """
    series, past = np.asarray(series, float), np.asarray(past, float)
    if len(series) < 2 * order + 1:
        return last_value(past, horizon)
    before = [series[order - 1 - k : len(series) - 1 - k] for k in range(order)]
    weights = np.linalg.lstsq(np.stack([*before, np.ones(len(series) - order)], 1), series[order:], rcond=None)[0]
    known = past[:, : -order - 1 : -1]  # the latest first
    ahead = []
    for _ in range(horizon):
        ahead.append(known @ weights[:-1] + weights[-1])
        known = np.concatenate([ahead[-1][:, None], known[:, :-1]], 1)
    return np.stack(ahead, 1)


def linear_map(past: np.ndarray, future: np.ndarray, read: np.ndarray) -> np.ndarray:
    """`[M, T]`, `[M, H]` to fit on and `[N, T] -> [N, H]`: one affine map for all, by least squares.

    Give changes from the last value in each subject's own steps: the linear counterpart of what the network sees.
    """
    past, read = (np.c_[np.asarray(x, float), np.ones(len(x))] for x in (past, read))
    return read @ np.linalg.lstsq(past, np.asarray(future, float), rcond=None)[0]

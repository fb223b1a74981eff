"""Convolutions as plain NumPy loops, term by term as their definitions: the oracle of fast ones."""

import itertools

import numpy as np


def padded(x, padding):
    return np.pad(x, ((0, 0), *padding, (0, 0)))


def conv(x, kernel, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    """`x` `[B, H, W, C]`, `kernel` `[kh, kw, C / groups, F]`, in float64."""
    x = padded(np.asarray(x, np.float64), padding)
    kh, kw, inputs, features = kernel.shape
    height = (x.shape[1] - dilation[0] * (kh - 1) - 1) // strides[0] + 1
    width = (x.shape[2] - dilation[1] * (kw - 1) - 1) // strides[1] + 1
    y = np.zeros((x.shape[0], height, width, features))
    for i, j, f in itertools.product(range(height), range(width), range(features)):
        first = f // (features // groups) * inputs
        for a, b in itertools.product(range(kh), range(kw)):
            pixel = x[:, i * strides[0] + a * dilation[0], j * strides[1] + b * dilation[1]]
            y[:, i, j, f] += pixel[:, first : first + inputs] @ kernel[a, b, :, f]
    return y


def max_pool(x, window, stride, ceil_mode=False):
    """Without padding; with `ceil_mode` windows may stand over the far edges."""
    extra = window - 1 if ceil_mode else 0
    counts = [(n - window + (stride - 1 if ceil_mode else 0)) // stride + 1 for n in x.shape[1:3]]
    x = np.pad(x, ((0, 0), (0, extra), (0, extra), (0, 0)), constant_values=-np.inf)
    y = np.empty((x.shape[0], *counts, x.shape[3]))
    for i, j in np.ndindex(*counts):
        y[:, i, j] = x[:, i * stride : i * stride + window, j * stride : j * stride + window].max((1, 2))
    return y


def bilinear(image, row, column):
    """`image` `[H, W, C]` at one point; zero outside."""
    value = np.zeros(image.shape[-1])
    for i, j in itertools.product(*(range(int(np.floor(p)), int(np.floor(p)) + 2) for p in (row, column))):
        if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
            value += (1 - abs(row - i)) * (1 - abs(column - j)) * image[i, j]
    return value


def deformable_conv(x, offsets, kernel, mask=None, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    """As `cnn.ops.sampling.deformable_conv`; offsets (down, right) of each tap, tap after tap, group after group."""
    x = np.asarray(x, np.float64)
    kh, kw, inputs, features = kernel.shape
    groups = offsets.shape[-1] // (2 * kh * kw)
    share = inputs // groups
    y = np.zeros((*offsets.shape[:3], features))
    for b, i, j in np.ndindex(*offsets.shape[:3]):
        for g, a, c in itertools.product(range(groups), range(kh), range(kw)):
            tap = (g * kh + a) * kw + c
            down, right = offsets[b, i, j, 2 * tap : 2 * tap + 2]
            row = i * strides[0] - padding[0][0] + a * dilation[0] + down
            column = j * strides[1] - padding[1][0] + c * dilation[1] + right
            channels = slice(g * share, (g + 1) * share)
            sample = bilinear(x[b][..., channels], row, column)
            factor = 1.0 if mask is None else mask[b, i, j, tap]
            y[b, i, j] += factor * sample @ kernel[a, c, channels]
    return y

"""Resampling of uint8 images, antialiased wherever an image shrinks."""

import math

import cv2
import numpy as np
import PIL.Image


def resize_fast(image: np.ndarray, out: np.ndarray, antialias: bool = True) -> None:
    """Resamples `image` uint8 `[h, w, 3]` into `out` uint8 `[H, W, 3]`, for training.

    Bilinear interpolation, after a blur along each axis that shrinks. Shrinking by s, Pillow widens the triangle of
    bilinear interpolation by s, to a variance of s^2 / 6; interpolation itself brings 1 / 6, the blur the rest. That
    costs a third of area averaging and comes as near to Pillow or nearer (root mean square difference 1 to 2 grey
    levels on photographs, where plain bilinear has up to 5). Without `antialias` it is plain bilinear, with neither.
    """
    height, width = out.shape[:2]
    if not antialias:
        cv2.resize(image, out.shape[1::-1], dst=out, interpolation=cv2.INTER_LINEAR)
        return
    # A blur of five taps suffices up to here; what shrinks more is averaged to a half first.
    while image.shape[0] > 2.7 * height or image.shape[1] > 2.7 * width:
        half_height = image.shape[0] // 2 if image.shape[0] > 2.7 * height else image.shape[0]
        half_width = image.shape[1] // 2 if image.shape[1] > 2.7 * width else image.shape[1]
        image = cv2.resize(image, (half_width, half_height), interpolation=cv2.INTER_AREA)
    if image.shape[:2] == (height, width):
        out[:] = image
        return
    rows, columns = _blur(image.shape[0] / height), _blur(image.shape[1] / width)
    if len(rows) > 1 or len(columns) > 1:
        # A third cheaper than OpenCV's own Gaussian blur, which does the same.
        image = cv2.sepFilter2D(image, -1, columns, rows, borderType=cv2.BORDER_REPLICATE)
    cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)


_NONE = np.ones(1, np.float32)


def _blur(shrinking: float) -> np.ndarray:
    """Taps, float32 `[1, 3 or 5]`, of sum 1 and variance (s^2 - 1) / 6; one, which is none, where it gains little."""
    if shrinking < 1.2:
        return _NONE
    variance = (shrinking * shrinking - 1) / 6
    if variance > 0.5:
        return cv2.getGaussianKernel(5, math.sqrt(variance), cv2.CV_32F)[:, 0]
    side = variance / 2  # [a, 1 - 2a, a] has the variance 2a
    return np.array([side, 1 - variance, side], np.float32)


def resize_and_cut(image: np.ndarray, height: int, width: int, top: int, left: int, out: np.ndarray) -> None:
    """Resamples `image` to `height` x `width` and cuts `out` from it at `top`, `left`, for evaluation.

    Pillow's bilinear filter, widened where the image shrinks: what the published accuracies of the classic networks
    were measured with, bit for bit. (Resampling only what is kept would be a quarter cheaper, but rounds differently.)
    """
    resized = PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR)
    out[:] = np.asarray(resized)[top : top + out.shape[0], left : left + out.shape[1]]

"""Resampling of uint8 images, antialiased wherever an image shrinks."""

import cv2
import numpy as np
import PIL.Image


def resize_fast(image: np.ndarray, out: np.ndarray) -> None:
    """Resamples `image` uint8 `[h, w, 3]` into `out` uint8 `[H, W, 3]`, for training.

    Bilinear where it grows; where it shrinks, the mean over the area that an output pixel covers. An axis that grows
    while the other shrinks is done on its own, second.
    """
    height, width = image.shape[:2]
    new_height, new_width = out.shape[:2]
    if (height, width) == (new_height, new_width):
        out[:] = image
        return
    if height >= new_height and width >= new_width:
        cv2.resize(image, (new_width, new_height), dst=out, interpolation=cv2.INTER_AREA)
        return
    if height > new_height or width > new_width:
        smaller = (min(width, new_width), min(height, new_height))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    cv2.resize(image, (new_width, new_height), dst=out, interpolation=cv2.INTER_LINEAR)


def resize_exact(image: np.ndarray, box: tuple[float, float, float, float], out: np.ndarray) -> None:
    """Resamples the part `box` (left, top, right, bottom, in pixels) of `image` into `out`, for evaluation.

    Pillow's bilinear filter, widened where the image shrinks: what published accuracies of the classic networks were
    measured with. A box gives the same pixels as resizing the whole and cutting the part out.
    """
    size = (out.shape[1], out.shape[0])
    out[:] = np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BILINEAR, box=box))

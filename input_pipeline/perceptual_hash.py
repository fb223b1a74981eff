"""What an image looks like, in 1,024 bytes and in 64 bits: grey thumbnails, their hashes, how alike two of them are."""

import concurrent.futures
import os

import cv2
import numpy as np
from scipy import fft, ndimage

from input_pipeline.decode import decode_crop
from input_pipeline.source import UnreadableError

SIDE = 32
# Thumbnails with less spread than this (grey levels) have no content to compare.
FLAT = 2.0
# Moves of a thumbnail, in its pixels: 3 % of the image.
SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def thumbnails(images) -> tuple[np.ndarray, list[int]]:
    """Grey thumbnails, uint8 `[N, 32, 32]`, of a source or of uint8 `[N, H, W]` or `[N, H, W, C]`; and who has none.

    The whole image is squeezed into the square by area averaging. An unreadable image's thumbnail is zero and its index
    is listed.
    """
    read = (lambda i: images.read(i)['image']) if hasattr(images, 'read') else images.__getitem__
    out, unreadable = np.zeros((len(images), SIDE, SIDE), np.uint8), []

    def fill(i):
        try:
            pixels = decode_crop(read(i), lambda height, width: (0, 0, height, width), 2 * SIDE)[0]
            grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
            out[i] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        except UnreadableError:
            unreadable.append(i)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(fill, range(len(images))):
            pass
    return out, sorted(unreadable)


def hashes(thumbs: np.ndarray) -> np.ndarray:
    """uint64 `[N]`: the signs of 64 low frequencies of the discrete cosine transform, brightness left out.

    After the pHash of Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions, 2010), with signs for
    comparisons to the median: half the bits change under recompression, and contrast does not matter.
    """
    waves = np.concatenate([_waves(thumbs[start : start + 4096]) for start in range(0, max(1, len(thumbs)), 4096)])
    return np.packbits(waves > 0, axis=1).view(np.uint64)[:, 0]


def _waves(thumbs):
    low = fft.dctn(thumbs.astype(np.float32), axes=(1, 2))[:, :9, :9]
    return np.concatenate([low[:, :8, :8].reshape(len(thumbs), 64)[:, 1:], low[:, 8, :1]], axis=1)


def shifted(thumbs: np.ndarray, down: int, right: int) -> np.ndarray:
    """Thumbnails moved by a pixel or none, the edge repeated."""
    padded = np.pad(thumbs, ((0, 0), (1, 1), (1, 1)), mode='edge')
    return padded[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE]


# Gaussian blurs along one axis as matrices: products are ten times as fast as filters here.
_FINE, _COARSE = (
    ndimage.gaussian_filter1d(np.eye(SIDE, dtype=np.float32), sigma, axis=0, mode='nearest') for sigma in (0.7, 3.0)
)


def details(thumbs: np.ndarray) -> np.ndarray:
    """float32 `[N, 32, 32]`: shapes of about 1 to 3 thumbnail pixels, without shading and noise within a pixel."""
    grey = thumbs.astype(np.float32)
    return _FINE @ grey @ _FINE.T - _COARSE @ grey @ _COARSE.T


def cuts(detail: np.ndarray, down: int = 0, right: int = 0) -> np.ndarray:
    """Unit vectors float32 `[N, 900]` of the middle 30 x 30 of a move, so that products are correlations."""
    flat = detail[:, 1 - down : 31 - down, 1 - right : 31 - right].reshape(len(detail), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3)

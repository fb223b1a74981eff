"""From an encoded image to uint8 `[H, W, 3]`, whatever the file holds.

Every file comes out as three channels of eight bits: grey is repeated, transparency is dropped, a palette is looked up,
CMYK is converted, sixteen bits keep their upper eight, an animation gives its first frame. EXIF orientation is applied,
always and everywhere, so that images stand as a viewer shows them; boxes are taken to refer to the image as shown.
"""

import io
import warnings

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import simplejpeg

from input_pipeline.source import UnreadableError

# Pillow's own limit before it warns; 89 million pixels are 256 MiB decoded.
MAX_PIXELS = 89_478_485

# Decoding runs in a pool of its own; threads inside OpenCV's calls would only compete with it.
cv2.setNumThreads(1)


def decode(image: bytes | np.ndarray, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """uint8 `[H, W, 3]` of an encoded file; an array of that form is returned as it is.

    Args:
      image: the file's bytes, or uint8 `[H, W, 3]`, `[H, W, 1]` or `[H, W]`.
      max_pixels: images whose header declares more are refused before they are decoded.

    Raises:
      UnreadableError: truncated, empty, not an image, or too large.
    """
    if isinstance(image, np.ndarray):
        return _three_channels(image)
    if image[:2] == b'\xff\xd8' and orientation(image) == 1:
        decoded = _decode_jpeg(image, max_pixels)
        if decoded is not None:
            return decoded
    return _decode_any(image, max_pixels)


def _decode_jpeg(data: bytes, max_pixels: int) -> np.ndarray | None:
    """Decodes grey and YCbCr JPEG; None where another decoder must (CMYK)."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise UnreadableError(f'damaged JPEG header: {error}') from error
    check_size(height, width, max_pixels)
    if colorspace not in ('YCbCr', 'Gray', 'RGB'):
        return None
    try:
        return simplejpeg.decode_jpeg(data, 'RGB')
    except ValueError as error:
        raise UnreadableError(f'damaged JPEG: {error}') from error


def _decode_any(data: bytes, max_pixels: int) -> np.ndarray:
    """Decodes with Pillow: slower, every format."""
    if not data:
        raise UnreadableError('empty file')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # its own size warning, odd metadata: what matters is checked below
            with PIL.Image.open(io.BytesIO(data)) as image:
                check_size(image.height, image.width, max_pixels)
                image.load()
                image = PIL.ImageOps.exif_transpose(image)
                return _three_channels(_pixels(image))
    except UnreadableError:
        raise
    except PIL.UnidentifiedImageError as error:
        kind = ': it looks like a web page' if data.lstrip()[:1] == b'<' else ''
        raise UnreadableError(f'not an image{kind}') from error
    except PIL.Image.DecompressionBombError as error:
        raise UnreadableError(f'too large: {error}') from error
    # Pillow's plugins raise most of the built-in errors on damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise UnreadableError(f'damaged image: {error}') from error


def _pixels(image: PIL.Image.Image) -> np.ndarray:
    """uint8 array of a loaded Pillow image in any mode."""
    if image.mode.startswith('I;16') or image.mode == 'I':
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    if image.mode == 'F':
        raise UnreadableError('floating-point images have no stated range')
    return np.asarray(image if image.mode in ('RGB', 'L') else image.convert('RGB'))


def _three_channels(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise UnreadableError(f'pixels must be uint8 [H, W, 3], not {array.dtype} {list(array.shape)}')
    if array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.shape[2] not in (3, 4):
        raise UnreadableError(f'an image of {array.shape[2]} channels')
    return array[..., :3]


def check_size(height: int, width: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raises UnreadableError where a header declares no pixels or more than `max_pixels`."""
    if height < 1 or width < 1:
        raise UnreadableError(f'the header declares {width} x {height} pixels')
    if height * width > max_pixels:
        raise UnreadableError(f'the header declares {width} x {height} pixels, more than the limit of {max_pixels}')


def orientation(data: bytes) -> int:
    """EXIF orientation (1..8) of a JPEG file; 1 where none is stated."""
    at = 2
    while data[at : at + 1] == b'\xff' and at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], 'big')
        if marker == 0xE1 and data[at + 4 : at + 10] == b'Exif\0\0':
            return _exif_orientation(data[at + 10 : at + 2 + length])
        # APP0..APP15 and comments may precede it; anything else starts the image itself.
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or length < 2:
            return 1
        at += 2 + length
    return 1


def _exif_orientation(tiff: bytes) -> int:
    """Reads tag 0x0112 of the first directory; 1 where it is absent or damaged."""
    order = {b'II': 'little', b'MM': 'big'}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    at = int.from_bytes(tiff[4:8], order)
    for entry in range(int.from_bytes(tiff[at : at + 2], order)):
        field = tiff[at + 2 + 12 * entry : at + 14 + 12 * entry]
        if len(field) < 12:
            return 1
        if int.from_bytes(field[:2], order) == 0x0112:
            value = int.from_bytes(field[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1

"""From an encoded image to uint8 `[H, W, 3]`, whatever the file holds.

Every file comes out as three channels of eight bits: grey is repeated, transparency is dropped, a palette is looked up,
CMYK is converted, sixteen bits keep their upper eight, an animation gives its first frame. EXIF orientation is applied,
always and everywhere, so that images stand as a viewer shows them; boxes are taken to refer to the image as shown.
"""

import contextlib
import io
import struct
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import PIL.Image

from input_pipeline import jpeg
from input_pipeline.placement import sides
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
    head = jpeg.header(image) if image[:2] == b'\xff\xd8' else None
    if head is None:
        return upright(*_decode_any(image, max_pixels))
    check_size(head.height, head.width, max_pixels)
    # CMYK, stray bytes and truncation are for Pillow to judge.
    decoded = jpeg.decode_whole(image) if head.components in (1, 3) else None
    if decoded is None:
        decoded = _decode_any(image, max_pixels)[0]
    return upright(decoded, head.orientation)


def _decode_any(data: bytes, max_pixels: int) -> tuple[np.ndarray, int]:
    """Pixels as stored and their EXIF orientation, by Pillow: slower, every format."""
    with _opened(data, max_pixels) as image:
        return _three_channels(_pixels(image)), _stated_orientation(image)


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[PIL.Image.Image]:
    """A file that Pillow has decoded; whatever is wrong with it is an UnreadableError."""
    if not data:
        raise UnreadableError('empty file')
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            check_size(image.height, image.width, max_pixels)
            image.load()
            yield image
    except UnreadableError:
        raise
    except PIL.UnidentifiedImageError as error:
        kind = ': it looks like a web page' if data.lstrip()[:1] == b'<' else ''
        raise UnreadableError(f'not an image{kind}') from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise UnreadableError(f'too large: {error}') from error
    # Pillow's plugins raise most of the built-in errors on damaged files; the last where warnings are errors.
    except (OSError, ValueError, SyntaxError, LookupError, TypeError, ArithmeticError, struct.error, Warning) as error:
        raise UnreadableError(f'damaged image: {error}') from error


def _stated_orientation(image: PIL.Image.Image) -> int:
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF data does not make an image unreadable
        return 1
    return value if value in range(1, 9) else 1


def upright(pixels: np.ndarray, stated: int) -> np.ndarray:
    """Turns pixels as stored, of EXIF orientation `stated` (1..8; EXIF 2.3, 4.6.4), to how a viewer shows them."""
    if stated >= 5:  # rows of the picture are stored as columns
        pixels = pixels.transpose(1, 0, 2)
    if stated in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if stated in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def upright_boxes(boxes: np.ndarray, stated: int) -> np.ndarray:
    """Boxes x0, y0, x1, y1 in 0..1 of the pixels as stored, of EXIF orientation `stated`, in those of `upright`."""
    if stated >= 5:
        boxes = boxes[:, [1, 0, 3, 2]]
    if stated in (3, 4, 7, 8):
        boxes = np.stack([boxes[:, 0], 1 - boxes[:, 3], boxes[:, 2], 1 - boxes[:, 1]], axis=1)
    if stated in (2, 3, 6, 7):
        boxes = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
    return boxes


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


def decode_crop(
    image: bytes | np.ndarray,
    choose: Callable[[int, int], tuple[int, int, int, int]],
    size: int | tuple[int, int],
    *,
    max_pixels: int = MAX_PIXELS,
) -> tuple[np.ndarray, tuple[int, int, int, int], tuple[int, int]]:
    """Decodes a part of an image that is to be resized to `size`, and little more than that part.

    Args:
      image: as in `decode`.
      choose: from the upright image's height and width to the part's top, left, height and width, in pixels.
      size: pixels, a square's side or height and width; where the part is at least twice (four, eight times) as large
        both ways, it comes out at a half (a quarter, an eighth) of its resolution, averaged in the decoder, and is
        moved to whole pixels of that.

    Returns:
      The part, uint8 `[h, w, 3]`, which is to be used before this thread decodes again; where it lies: top, left,
      height and width in pixels of the upright image; and that image's height and width.

    Raises:
      UnreadableError: as `decode`.
    """
    head = jpeg.header(image) if not isinstance(image, np.ndarray) and image[:2] == b'\xff\xd8' else None
    if head is None or head.components not in (1, 3) or head.orientation != 1:
        pixels = decode(image, max_pixels=max_pixels)
        top, left, height, width = window = choose(*pixels.shape[:2])
        return pixels[top : top + height, left : left + width], window, pixels.shape[:2]
    check_size(head.height, head.width, max_pixels)
    top, left, height, width = window = choose(head.height, head.width)
    k = _shrinking(height, width, *sides(size))
    top, left, height, width = top // k, left // k, height // k, width // k
    pixels = jpeg.decode_top(image, head, k * (top + height), k)
    if pixels is None:
        top, left, height, width = window
        pixels, k = decode(image, max_pixels=max_pixels), 1
    window = (k * top, k * left, k * height, k * width)
    return pixels[top : top + height, left : left + width], window, (head.height, head.width)


def _shrinking(height: int, width: int, out_height: int, out_width: int) -> int:
    """By what a JPEG decoder may divide the sides of a part that is to be resized: 1, 2, 4 or 8."""
    ratio = min(height / out_height, width / out_width)
    return 8 if ratio >= 8 else 4 if ratio >= 4 else 2 if ratio >= 2 else 1


def decode_labels(mask: bytes | np.ndarray, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """uint8 `[H, W]` of a mask: the palette's index, or the grey value, of each pixel, never a colour.

    Args:
      mask: an encoded file, or uint8 `[H, W]` or `[H, W, 1]`.
      max_pixels: as in `decode`.

    Raises:
      UnreadableError: truncated, empty, not an image, too large.
      ValueError: a colour image, or values above 255.
    """
    if isinstance(mask, np.ndarray):
        return mask.reshape(mask.shape[:2])
    with _opened(mask, max_pixels) as image:
        mode, values = image.mode, np.asarray(image)
    if mode not in ('P', 'L', '1') and not mode.startswith('I'):
        raise ValueError(f'a mask in colour ({mode}); it must have one channel, or a palette, of class indices')
    if mode.startswith('I') and not 0 <= values.min() <= values.max() <= 255:
        raise ValueError(f'a mask with values {values.min()}..{values.max()}; class indices must lie in 0..255')
    return values.astype(np.uint8, copy=False)


def check_size(height: int, width: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raises UnreadableError where a header declares no pixels or more than `max_pixels`."""
    if height < 1 or width < 1:
        raise UnreadableError(f'the header declares {width} x {height} pixels')
    if height * width > max_pixels:
        raise UnreadableError(f'the header declares {width} x {height} pixels, more than the limit of {max_pixels}')

"""Decoding the top of a file gives the whole image's rows, bit for bit, for every way that JPEG stores colour."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
import simplejpeg

from input_pipeline import jpeg
from input_pipeline.decode import decode, decode_crop


@pytest.fixture(scope='module')
def photo(shared_data):
    with PIL.Image.open(shared_data / 'imagenet100' / 'n01440764_tench.JPEG') as image:
        return np.asarray(image.convert('RGB'))[40:243, 30:211]  # odd sides


def _pillow(image, **options) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, 'JPEG', **options)
    return buffer.getvalue()


@pytest.mark.parametrize('sampling', ['444', '422', '420', '440', '411', 'Gray'])
@pytest.mark.parametrize('shrink', [1, 2, 4, 8])
def test_rows_are_those_of_the_whole_image(photo, sampling, shrink):
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(photo), quality=90, colorsubsampling=sampling)
    height, width = photo.shape[:2]
    head = jpeg.header(data)
    assert (head.height, head.width, head.sequential) == (height, width, True)
    sides = {'min_height': -(-height // shrink), 'min_width': -(-width // shrink)} if shrink > 1 else {}
    whole = simplejpeg.decode_jpeg(data, 'RGB', **sides)
    for bottom in (1, 8, 9, 16, 17, 31, 100, 150, 185, 198, 199, 200, height):
        top = jpeg.decode_top(data, head, bottom, shrink)
        rows = bottom // shrink
        assert top.shape[1] == -(-width // shrink)
        assert len(top) >= rows
        np.testing.assert_array_equal(top[:rows], whole[:rows])
        if shrink == 1 and bottom < height - 50:
            assert len(top) < height  # no more than asked for was decoded


def test_progressive_and_restart_markers(photo):
    for data in (
        _pillow(photo, progressive=True, quality=80),
        _pillow(photo, quality=80, restart_marker_rows=1),
        _pillow(photo, quality=80, optimize=True),
    ):
        head = jpeg.header(data)
        np.testing.assert_array_equal(jpeg.decode_top(data, head, 70, 1)[:70], simplejpeg.decode_jpeg(data)[:70])


def test_header_of_what_is_no_jpeg():
    for data in (b'', b'\xff\xd8', b'\xff\xd8\xff', b'\xff\xd8' + bytes(40), b'\xff\xd8\xff\xe0\x00\x00' + bytes(20)):
        assert jpeg.header(data) is None


def test_a_preview_inside_exif_is_not_the_image(photo):
    preview = _pillow(photo[:16, :24])
    app1 = b'Exif\0\0II*\0\x08\0\0\0\0\0' + preview
    data = _pillow(photo)
    data = data[:2] + b'\xff\xe1' + struct.pack('>H', len(app1) + 2) + app1 + data[2:]
    head = jpeg.header(data)
    assert (head.height, head.width, head.orientation) == (*photo.shape[:2], 1)
    assert decode(data).shape == photo.shape


def test_truncated_files_are_not_taken_for_whole(photo):
    data = _pillow(photo, quality=90)
    assert jpeg.decode_top(data[: len(data) // 2], jpeg.header(data), 20, 1) is None
    # A writer that pads after the end marker is no truncation.
    padded = data + bytes(20)
    np.testing.assert_array_equal(jpeg.decode_top(padded, jpeg.header(data), 20, 1)[:20], decode(data)[:20])


@pytest.mark.parametrize('window', [(0, 0, 203, 181), (10, 20, 64, 32), (150, 100, 53, 81), (202, 180, 1, 1)])
def test_a_crop_is_the_crop_of_the_whole(photo, window):
    top, left, height, width = window
    png = io.BytesIO()
    PIL.Image.fromarray(photo).save(png, 'PNG')
    turned = _pillow(photo, exif=b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0')
    cmyk = io.BytesIO()
    PIL.Image.fromarray(photo).convert('CMYK').save(cmyk, 'JPEG', quality=95)
    for image in (_pillow(photo), png.getvalue(), turned, cmyk.getvalue(), photo):
        whole, asked = decode(image), []
        part, where, _ = decode_crop(image, lambda h, w, seen=asked: seen.append((h, w)) or window, size=200)
        assert where == window
        np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])
        assert asked == [whole.shape[:2]]


def test_a_large_crop_comes_out_smaller_but_not_below_the_size(photo):
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(photo), quality=95)
    for size, shrink in ((181, 1), (91, 1), (90, 2), (45, 4), (22, 8)):
        part, where, _ = decode_crop(data, lambda h, w: (0, 0, h, w), size=size)
        assert where == (0, 0, 203 // shrink * shrink, 181 // shrink * shrink)
        assert part.shape[:2] == (203 // shrink, 181 // shrink)
        # Averages of blocks, to a few grey levels: the decoder scales in the frequency domain.
        blocks = decode(data)[: 203 // shrink * shrink, : 181 // shrink * shrink].astype(float)
        blocks = blocks.reshape(203 // shrink, shrink, 181 // shrink, shrink, 3).mean(axis=(1, 3))
        assert np.abs(part - blocks).mean() < 2

    part, where, _ = decode_crop(data, lambda h, w: (33, 21, 150, 151), size=70)
    assert where == (32, 20, 150, 150)
    whole, *_ = decode_crop(data, lambda h, w: (0, 0, h, w), size=90)
    np.testing.assert_array_equal(part, whole[16:91, 10:85])

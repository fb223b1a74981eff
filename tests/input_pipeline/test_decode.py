"""Every kind of file that turns up in real data comes out as three channels of eight bits, or as a named error."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import input_pipeline
from input_pipeline.decode import decode
from input_pipeline.source import UnreadableError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
SMOOTH = np.stack(np.meshgrid(np.arange(48) * 5, np.arange(32) * 7, indexing='xy'), -1).astype(np.uint8)
SMOOTH = np.concatenate([SMOOTH, SMOOTH[..., :1] // 2], axis=-1)


def _file(image, kind='PNG', **options) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_lossless_colour():
    for kind in ('PNG', 'BMP', 'TIFF', 'PPM'):
        np.testing.assert_array_equal(decode(_file(PIXELS, kind)), PIXELS)
    np.testing.assert_array_equal(decode(_file(PIXELS, 'WEBP', lossless=True)), PIXELS)


def test_grey_is_repeated():
    grey = np.repeat(PIXELS[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(decode(_file(PIXELS[..., 0])), grey)
    jpeg = decode(_file(SMOOTH[..., 0], 'JPEG', quality=98))
    np.testing.assert_array_equal(jpeg[..., 0], jpeg[..., 2])
    np.testing.assert_allclose(jpeg[..., 0].astype(int), SMOOTH[..., 0], atol=6)


def test_transparency_is_dropped():
    alpha = np.full((7, 5, 1), 9, np.uint8)
    np.testing.assert_array_equal(decode(_file(np.concatenate([PIXELS, alpha], axis=-1))), PIXELS)
    grey = np.concatenate([PIXELS[..., :1], alpha], axis=-1)
    np.testing.assert_array_equal(decode(_file(grey)), np.repeat(PIXELS[..., :1], 3, axis=-1))


def test_palette_and_one_bit():
    image = PIL.Image.new('P', (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(_file(image)), [[[10, 20, 30], [200, 100, 0]]])
    np.testing.assert_array_equal(decode(_file(image, transparency=0)), [[[10, 20, 30], [200, 100, 0]]])
    bits = PIL.Image.fromarray(np.array([[0, 255]], np.uint8)).convert('1')
    np.testing.assert_array_equal(decode(_file(bits)), [[[0] * 3, [255] * 3]])


def test_sixteen_bits_keep_the_upper_eight():
    values = np.array([[0, 255, 256, 0x1234, 65535]], np.uint16)
    expected = np.repeat(np.array([[0, 0, 1, 0x12, 255]], np.uint8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decode(_file(values)), expected)
    np.testing.assert_array_equal(decode(_file(values, 'TIFF')), expected)
    colour = np.array([[[0x0102, 0x2233, 0xFFEE]]], '>u2')
    np.testing.assert_array_equal(decode(_png(1, 1, colour.tobytes(), depth=16)), [[[0x01, 0x22, 0xFF]]])


def test_cmyk():
    """Red, white and black blocks in ink: photographs in print colours sit in ImageNet too."""
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, :16] = [0, 255, 255, 0]
    inks[:, 32:] = [0, 0, 0, 255]
    for kind, options in (('JPEG', {'quality': 100}), ('TIFF', {})):
        pixels = decode(_file(_cmyk(inks), kind, **options))
        for column, colour in ((8, [255, 0, 0]), (24, [255, 255, 255]), (40, [0, 0, 0])):
            np.testing.assert_allclose(pixels[8, column].astype(int), colour, atol=8)


def _cmyk(inks):
    return PIL.Image.merge('CMYK', [PIL.Image.fromarray(inks[..., c]) for c in range(4)])


@pytest.mark.parametrize('value', range(1, 9))
@pytest.mark.parametrize('order', ['II', 'MM'])
def test_exif_orientation_is_applied(value, order):
    little = order == 'II'
    pack = '<' if little else '>'
    tiff = order.encode() + struct.pack(f'{pack}HIHHHIHHI', 42, 8, 1, 0x0112, 3, 1, value, 0, 0)
    for kind, exif in (('JPEG', b'Exif\0\0' + tiff), ('PNG', tiff), ('WEBP', tiff)):
        turned = _file(SMOOTH, kind, exif=exif)
        with PIL.Image.open(io.BytesIO(turned)) as image:
            assert image.getexif()[0x0112] == value
            expected = np.asarray(PIL.ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(decode(turned), expected)


def test_damaged_exif_is_ignored():
    for tiff in (b'', b'II', b'XX*\0\x08\0\0\0', b'II*\0\xff\xff\0\0', b'II*\0\x08\0\0\0\x05\0'):
        data = _file(SMOOTH, 'JPEG', exif=b'Exif\0\0' + tiff)
        assert decode(data).shape == SMOOTH.shape


def test_first_frame_of_an_animation():
    frames = [PIL.Image.new('RGB', (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = _file(frames[0], 'GIF', save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data), np.full((4, 4, 3), [255, 0, 0]))


def test_real_photographs_equal_pillows(shared_data):
    files = [*sorted((shared_data / 'imagenet100').glob('*.JPEG'))[:12],
             *sorted((shared_data / 'camvid' / 'train').glob('*.png'))[:1]]  # fmt: skip
    for file in files:
        with PIL.Image.open(file) as image:
            np.testing.assert_array_equal(decode(file.read_bytes()), np.asarray(image.convert('RGB')))


def test_a_missing_end_marker_costs_nothing_a_missing_part_the_image(shared_data):
    data = (shared_data / 'imagenet100' / 'n01440764_tench.JPEG').read_bytes()
    assert data[-2:] == b'\xff\xd9'
    np.testing.assert_array_equal(decode(data[:-2]), decode(data))
    for keep in (len(data) - 200, len(data) // 2, 700, 100, 10, 3):
        with pytest.raises(UnreadableError):
            decode(data[:keep])
    np.testing.assert_array_equal(decode(data + b'trailing'), decode(data))


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'JPEG'])
def test_truncated_files(kind):
    data = _file(SMOOTH, kind)
    for keep in (0, 1, 5, 20, len(data) // 2):
        with pytest.raises(UnreadableError):
            decode(data[:keep])


def test_what_is_not_an_image_says_so():
    for data, reason in (
        (b'', 'empty file'),
        (b'\n <!DOCTYPE html><html></html>', 'web page'),
        (b'hello there', 'not an image'),
        (bytes(1000), 'not an image'),
    ):
        with pytest.raises(UnreadableError, match=reason):
            decode(data)
    with pytest.raises(UnreadableError, match='floating-point'):
        decode(_file(np.zeros((4, 4), np.float32), 'TIFF'))


def _png(width, height, raw=b'', depth=8) -> bytes:
    """A PNG of RGB, row by row without a filter; with a `raw` shorter than declared the header lies."""
    rows = b''.join(b'\0' + raw[i : i + width * 3 * depth // 8] for i in range(0, len(raw), width * 3 * depth // 8))

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, depth, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def test_a_bomb_is_refused_by_its_header():
    with pytest.raises(UnreadableError, match=r'60000 x 60000 pixels, more than|too large: Image size \(3600000000'):
        decode(_png(60000, 60000, bytes(100)))
    jpeg = bytearray(_file(SMOOTH, 'JPEG'))
    at = jpeg.find(b'\xff\xc0')
    jpeg[at + 5 : at + 9] = struct.pack('>HH', 65000, 65000)
    with pytest.raises(UnreadableError, match='65000 x 65000 pixels'):
        decode(bytes(jpeg))
    with pytest.raises(UnreadableError, match='48 x 32 pixels, more than the limit of 1000'):
        decode(_file(SMOOTH, 'JPEG'), max_pixels=1000)


def test_one_pixel_and_one_line():
    for shape in ((1, 1), (1, 300), (300, 1)):
        image = np.full((*shape, 3), 77, np.uint8)
        for kind in ('PNG', 'JPEG'):
            np.testing.assert_allclose(decode(_file(image, kind)).astype(int), 77, atol=1)


def test_arrays():
    assert decode(PIXELS) is not None
    np.testing.assert_array_equal(decode(PIXELS), PIXELS)
    np.testing.assert_array_equal(decode(PIXELS[..., 0]), np.repeat(PIXELS[..., :1], 3, axis=-1))
    for wrong in (PIXELS.astype(float), PIXELS[0, 0], np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8)):
        with pytest.raises(UnreadableError):
            decode(wrong)


SEEDS = [_file(SMOOTH, 'JPEG'), _file(SMOOTH, 'JPEG', progressive=True), _file(PIXELS), _file(PIXELS, 'GIF')]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_give_an_image_or_the_named_error(data, changes):
    damaged = bytearray(data)
    for where, byte in changes:
        damaged[min(int(where * len(damaged)), len(damaged) - 1)] = byte
    try:
        pixels = decode(bytes(damaged), max_pixels=10**6)
    except UnreadableError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


def test_read_images_of_a_person(tmp_path):
    (tmp_path / 'deep').mkdir()
    (tmp_path / 'b.png').write_bytes(_file(PIXELS))
    (tmp_path / 'deep' / 'a.jpg').write_bytes(_file(SMOOTH, 'JPEG'))
    (tmp_path / 'notes.txt').write_text('no')
    found = input_pipeline.read_images(tmp_path)
    assert [path for path, _ in found] == [str(tmp_path / 'b.png'), str(tmp_path / 'deep' / 'a.jpg')]
    np.testing.assert_array_equal(found[0][1], PIXELS)
    assert len(input_pipeline.read_images([tmp_path / 'b.png', str(tmp_path / 'deep')])) == 2
    (tmp_path / 'c.png').write_text('<html>')
    (tmp_path / 'd.jpg').write_bytes(b'')
    with pytest.raises(ValueError, match=r'cannot read 2 of 4 images: .*c\.png \(not an image.*d\.jpg \(empty'):
        input_pipeline.read_images(tmp_path)
    for paths, message in ((tmp_path / 'none', 'no such image'), ([], 'no images given')):
        with pytest.raises(ValueError, match=message):
            input_pipeline.read_images(paths)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='no images in'):
        input_pipeline.read_images(tmp_path / 'empty')

"""Selective search on pictures whose regions are known, on a photograph, and the same in another process."""

import hashlib
import io
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from input_pipeline.selective_search import SelectiveSearch
from input_pipeline.source import UnreadableError

AS_THEY_ARE = {'width': 0, 'min_side': 4.0}


def picture():
    """40 x 60: grey, with a red rectangle and a blue one, far apart."""
    pixels = np.full((40, 60, 3), 120, np.uint8)
    pixels[8:28, 6:22] = (220, 30, 30)
    pixels[14:34, 36:54] = (30, 30, 220)
    return pixels


def encoded(pixels, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, **options)
    return file.getvalue()


def overlaps(boxes, box):
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.clip(high - low, 0, None).prod(1)
    return common / ((boxes[:, 2:] - boxes[:, :2]).prod(1) + np.prod(box[2:] - box[:2]) - common)


@pytest.mark.parametrize('mode', ['fast', 'quality'])
def test_it_finds_the_rectangles_of_a_picture(mode):
    found = SelectiveSearch(mode=mode, **AS_THEY_ARE)(picture())
    assert found.dtype == np.float32
    assert (found[:, 2:] > found[:, :2]).all()
    assert len(np.unique(found, axis=0)) == len(found)
    for box in ([6, 8, 22, 28], [36, 14, 54, 34], [0, 0, 60, 40]):
        # The blur before the division may move an edge by a pixel.
        assert overlaps(found, np.array(box) / [60, 40, 60, 40]).max() > 0.8
    # What every hierarchy ends with is what most of them found.
    np.testing.assert_array_equal(found[0], [0, 0, 1, 1])


def test_boxes_are_of_the_image_as_shown_and_do_not_depend_on_its_encoding():
    search = SelectiveSearch(**AS_THEY_ARE)
    expected = search(picture())
    np.testing.assert_array_equal(search(encoded(picture(), format='PNG')), expected)
    # Stored on its side, and shown upright: 6 says that the first row is the right-hand side.
    turned, exif = np.rot90(picture()), PIL.Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(search(encoded(turned, format='PNG', exif=exif)), expected)


def test_small_boxes_are_left_out_and_a_larger_picture_finds_the_same():
    tall = SelectiveSearch(width=0, min_side=17.0)(picture())
    assert ((tall[:, 2] - tall[:, 0]) * 60 >= 17 - 1e-4).all()
    # At twice the width the red rectangle's side of 16 pixels is 32.
    red, twice = np.array([6 / 60, 8 / 40, 22 / 60, 28 / 40]), SelectiveSearch(width=120, min_side=17.0)(picture())
    assert overlaps(twice, red).max() > 0.8
    assert overlaps(tall, red).max() < 0.8


def test_other_processes_find_the_same_in_the_same_order(shared_data):
    file = sorted((shared_data / 'coco128').rglob('*.jpg'))[0]
    program = (
        'import ctypes, hashlib, sys, cv2; from input_pipeline.selective_search import SelectiveSearch as S; '
        'cv2.setRNGSeed(int(sys.argv[2])); S(width=90, min_side=4.0)(open(sys.argv[1], "rb").read()); '
        'print(hashlib.sha256(S(width=90, min_side=4.0)(open(sys.argv[1], "rb").read()).tobytes()).hexdigest())'
    )
    command = [sys.executable, '-c', program, str(file)]
    said = {subprocess.run([*command, seed], capture_output=True, text=True, check=True).stdout for seed in '12'}
    found = SelectiveSearch(width=90, min_side=4.0)(file.read_bytes())
    assert said == {hashlib.sha256(found.tobytes()).hexdigest() + '\n'}
    assert 50 < len(found) < 2000


@pytest.mark.parametrize('shape', [(1, 1), (3, 200), (200, 2)])
def test_the_smallest_pictures_have_proposals_or_none(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(SelectiveSearch(width=0, min_side=0.0)(pixels)[0], [0, 0, 1, 1])
    assert SelectiveSearch(width=0)(pixels).shape == (0, 4)


def test_mistakes_are_told_in_one_line():
    with pytest.raises(ValueError, match="fast and quality, not 'slow'"):
        SelectiveSearch(mode='slow')
    with pytest.raises(ValueError, match='thresholds of selective search must be above 0'):
        SelectiveSearch(thresholds=(0.0,))
    with pytest.raises(ValueError, match='must not be negative'):
        SelectiveSearch(width=-1)
    with pytest.raises(UnreadableError):
        SelectiveSearch()(b'no image')

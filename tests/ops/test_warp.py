"""Warped regions against the release's rule, written out pixel by pixel with OpenCV's resizing."""

import cv2
import jax
import numpy as np
import pytest

from cnn.ops.warp import context_of, warp

compiled = jax.jit(warp, static_argnames=('size', 'context'))
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 50, 70, 3)).astype(np.float32)
# The first image fills its input, the second a part of it.
WINDOWS = np.float32([[0, 0, 70, 50], [8, 5, 61, 44]])


def half_up(x):
    return int(np.floor(abs(x) + 0.5) * np.sign(x))


def by_hand(image, window, box, size, context):
    """rcnn_im_crop.m, counted from 0: `box` has the first and the last pixel inside."""
    x0, y0, x1, y1 = box
    scale = size / (size - 2 * context)
    half = np.array([x1 - x0 + 1, y1 - y0 + 1]) / 2
    centre = np.array([x0, y0]) + half
    x0, y0 = (half_up(v) for v in centre - half * scale)
    x1, y1 = (half_up(v) for v in centre + half * scale)
    full = (x1 - x0 + 1, y1 - y0 + 1)
    left, top, right, bottom = (int(v) for v in window)
    pad = (max(0, left - x0), max(0, top - y0))
    x0, y0, x1, y1 = max(x0, left), max(y0, top), min(x1, right - 1), min(y1, bottom - 1)
    seen = (x1 - x0 + 1, y1 - y0 + 1)
    count = [half_up(n * (size / f)) for n, f in zip(seen, full, strict=True)]
    pad = [half_up(n * (size / f)) for n, f in zip(pad, full, strict=True)]
    count = [min(n, size - p) for n, p in zip(count, pad, strict=True)]
    out = np.zeros((size, size, 3), np.float32)
    crop = cv2.resize(image[y0 : y1 + 1, x0 : x1 + 1], tuple(count), interpolation=cv2.INTER_LINEAR)
    out[pad[1] : pad[1] + count[1], pad[0] : pad[0] + count[0]] = crop
    return out


# Inside, over each border, over all of them, one pixel, long and thin: first and last pixels inside.
BOXES = [(20, 15, 39, 31), (9, 6, 20, 12), (50, 30, 60, 43), (8, 20, 60, 22), (8, 5, 60, 43), (30, 30, 30, 30)]


@pytest.mark.parametrize('size', [227, 48, 33])
def test_a_region_and_its_context_are_the_releases(size):
    context = {227: 16, 48: 3, 33: 2}[size]
    assert context_of(size) == context
    boxes = np.float32([[x0, y0, x1 + 1, y1 + 1] for x0, y0, x1, y1 in BOXES] * 2)
    index = np.repeat([0, 1], len(BOXES)).astype(np.int32)
    found = compiled(IMAGES, boxes, index, WINDOWS, size=size)
    assert found.shape == (12, size, size, 3)
    for one, i, box in zip(np.asarray(found), index, BOXES * 2, strict=True):
        np.testing.assert_allclose(one, by_hand(IMAGES[i], WINDOWS[i], box, size, context), atol=2e-4)


def test_without_context_it_is_the_box_itself():
    boxes = np.float32([[10, 5, 42, 37]])
    found = compiled(IMAGES, boxes, np.int32([0]), WINDOWS, size=32, context=0)
    np.testing.assert_array_equal(found[0], IMAGES[0, 5:37, 10:42])
    # Twice as large: OpenCV's.
    found = compiled(IMAGES, boxes, np.int32([0]), WINDOWS, size=64, context=0)
    np.testing.assert_allclose(found[0], cv2.resize(IMAGES[0, 5:37, 10:42], (64, 64)), atol=1e-5)


def test_what_sticks_out_is_filling():
    ones = np.ones((1, 40, 40, 1), np.float32)
    # A box of 195 x 195 pixels grows by 16 on each side; 40 of its 228 columns are the image.
    boxes = np.float32([[0, 0, 195, 195]])
    found = np.asarray(compiled(ones, boxes, np.int32([0]), np.float32([[0, 0, 40, 40]]), size=227))[0, :, :, 0]
    assert set(np.unique(found)) == {0, 1}
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    assert rows.tolist() == columns.tolist() == list(range(16, 16 + 40))


def test_padding_and_wild_boxes_are_finite_and_none_is_no_error():
    boxes = np.float32([[0, 0, 0, 0], [30, 30, 10, 10], [500, 500, 600, 600], [-90, -80, -20, -10]])
    found = compiled(IMAGES, boxes, np.zeros(4, np.int32), WINDOWS, size=32)
    assert np.isfinite(found).all()
    assert not found[2:].any()
    nothing = compiled(IMAGES, boxes[:0], np.zeros(0, np.int32), WINDOWS, size=32)
    assert nothing.shape == (0, 32, 32, 3)
    with pytest.raises(ValueError, match='leave nothing of a square of 32'):
        warp(IMAGES, boxes, np.zeros(4, np.int32), WINDOWS, size=32, context=16)

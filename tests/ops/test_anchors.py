"""Anchors against the published nine and by hand."""

import numpy as np
import pytest

from cnn.ops import anchors, boxes

# py-faster-rcnn, lib/rpn/generate_anchors.py: the matrix of the authors' MATLAB release, pixels counted from 1.
GOLDEN = np.array([
    [-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200],
    [-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264],
    [-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360],
])  # fmt: skip


def test_the_golden_nine():
    # From 0 in Python; and without the last pixel as a convention, which moves the first corner alone.
    np.testing.assert_array_equal(anchors.base(inclusive=True), GOLDEN - 1)
    np.testing.assert_array_equal(anchors.base(), GOLDEN - [1, 1, 0, 0])


def test_exact_shapes_have_equal_areas():
    cell = anchors.base(10, ratios=(0.5, 3), scales=(1, 4), rounded=False)
    np.testing.assert_allclose(boxes.area(cell), [100, 1600, 100, 1600], rtol=1e-5)
    width, height = boxes.sides(cell)
    np.testing.assert_allclose(height / width, [0.5, 0.5, 3, 3], rtol=1e-5)
    np.testing.assert_allclose(boxes.xyxy_to_cxcywh(cell)[:, :2], 5, rtol=1e-5)


def test_senseless_shapes_are_refused():
    with pytest.raises(ValueError, match='positive'):
        anchors.base(16, ratios=(0,))


def test_the_grid_follows_rows_then_columns_then_shapes():
    grid = np.asarray(anchors.grid(2, 3, 16)).reshape(2, 3, 9, 4)
    for row, column in np.ndindex(2, 3):
        shift = 16 * np.array([column, row, column, row])
        np.testing.assert_array_equal(grid[row, column], GOLDEN - [1, 1, 0, 0] + shift)
    cell = np.float32([[-2, -1, 2, 1]])
    np.testing.assert_array_equal(
        anchors.grid(1, 2, 8, cell, offset=3.5), [[1.5, 2.5, 5.5, 4.5], [9.5, 2.5, 13.5, 4.5]]
    )


def test_inside_each_image():
    some = np.float32([[0, 0, 50, 40], [-1, 0, 20, 20], [0, 10, 20, 41], [0, 0, 51, 20]])
    np.testing.assert_array_equal(anchors.inside(some, 40, 50), [True, False, False, False])
    np.testing.assert_array_equal(anchors.inside(some, 40, 50, border=1), [True] * 4)
    both = anchors.inside(some, np.array([40, 41]), np.array([50, 50]))
    np.testing.assert_array_equal(both, [[True, False, False, False], [True, False, True, False]])

"""Region pooling against torchvision's results, bins cut out one by one in NumPy, and cases counted by hand."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import roi
from cnn.ops.roi_max import bins_max
from tests.ops.make_roi_golden import ALIGN, BOXES, SCALE, SIZE, filled

# Compiled as in use; operation by operation a test takes ten times as long.
roi_pool = jax.jit(roi.roi_pool, static_argnames=('size', 'scale'))
roi_align = jax.jit(roi.roi_align, static_argnames=('size', 'scale', 'sampling_ratio', 'aligned'))
spatial_pyramid = jax.jit(roi.spatial_pyramid, static_argnames=('levels', 'first_centre'))
GOLDEN = np.load(pathlib.Path(__file__).parent / 'golden' / 'roi.npz')
FEATURES = filled(2, 7, 9, 4, seed=0)
WEIGHTS = filled(*BOXES.shape[:2], *SIZE, 4, seed=5)
OPERATORS = {
    'pool': lambda x: roi_pool(x, BOXES, size=SIZE, scale=SCALE),
    **{
        name: lambda x, r=ratio, a=aligned: roi_align(
            x, BOXES, size=SIZE, scale=SCALE, sampling_ratio=r, aligned=a
        )
        for name, (ratio, aligned) in ALIGN.items()
    },
}


@pytest.mark.parametrize('name', OPERATORS)
def test_values_and_gradients_are_torchvisions(name):
    @jax.jit
    def both(x):
        y, pull = jax.vjp(OPERATORS[name], x)
        return y, pull(jnp.asarray(WEIGHTS))[0]

    values, gradient = both(FEATURES)
    np.testing.assert_allclose(values, GOLDEN[name], rtol=0, atol=2e-6)
    np.testing.assert_allclose(gradient, GOLDEN[f'{name}_gradient'], rtol=0, atol=1e-5)


def cut(features, rectangle, grid):
    """Maxima and their first cells in row-major order, bin by bin in whole numbers: `[rows, columns, C]` each."""
    top, rows, left, columns = (int(v) for v in rectangle)
    height, width, channels = features.shape
    values, cells = np.zeros((*grid, channels), features.dtype), np.full((*grid, channels), -1)
    for i in range(grid[0]):
        for j in range(grid[1]):
            # The ceiling written as a floor of the negative.
            r0, r1 = top + i * rows // grid[0], top - (-(i + 1) * rows // grid[0])
            c0, c1 = left + j * columns // grid[1], left - (-(j + 1) * columns // grid[1])
            r0, r1, c0, c1 = max(r0, 0), min(r1, height), max(c0, 0), min(c1, width)
            if r0 >= r1 or c0 >= c1:
                continue
            part = features[r0:r1, c0:c1].reshape(-1, channels)
            first = part.argmax(0)
            values[i, j] = part[first, np.arange(channels)]
            cells[i, j] = (r0 + first // (c1 - c0)) * width + c0 + first % (c1 - c0)
    return values, cells


@pytest.mark.parametrize('grids', [((3, 2),), ((1, 1), (4, 4), (2, 2))])
def test_maxima_of_any_rectangle(grids):
    rng = np.random.default_rng(0)
    # Few different values, so that most bins have several largest cells.
    features = rng.integers(-2, 3, (2, 11, 23, 3)).astype(np.float32)
    start, count = rng.integers(-30, 30, (2, 40, 2)), rng.integers(1, 60, (2, 40, 2))
    inside = rng.integers(0, [8, 20], (2, 10, 2))
    start, count = np.concatenate([start, inside], 1), np.concatenate([count, np.array([11, 23]) - inside], 1)
    rectangles = np.stack([start[..., 0], count[..., 0], start[..., 1], count[..., 1]], -1).astype(np.int32)
    weights = rng.normal(size=(2, 50, sum(r * c for r, c in grids), 3)).astype(np.float32)

    @jax.jit
    def all_of(x):
        y, pull = jax.vjp(lambda x: bins_max(x, rectangles, grids), x)
        return bins_max(x, rectangles, grids), y, pull(weights)[0]

    plain, values, gradient = all_of(features)
    wanted, wanted_gradient = np.zeros_like(values), np.zeros((2, 11 * 23, 3))
    for b, r in np.ndindex(2, 50):
        parts = [cut(features[b], rectangles[b, r], grid) for grid in grids]
        wanted[b, r] = np.concatenate([v.reshape(-1, 3) for v, _ in parts])
        cells = np.concatenate([c.reshape(-1, 3) for _, c in parts])
        for k, c in zip(*np.nonzero(cells >= 0), strict=True):
            wanted_gradient[b, cells[k, c], c] += weights[b, r, k, c]
    np.testing.assert_array_equal(plain, wanted)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_allclose(gradient.reshape(2, -1, 3), wanted_gradient, atol=2e-4)


def test_pooling_by_hand():
    # Cells numbered from 0, six to a row. The box covers cells round(0.5) = 1 to round(3.5) = 4 in both directions:
    # halves go away from zero. Bins of four cells in three: rows 1-2, 2-3, 3-4.
    features = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    pooled = roi_pool(features, np.float32([[[1, 1, 7, 7], [-1, -1, 4, 4]]]), size=(3, 3), scale=0.5)
    np.testing.assert_array_equal(pooled[0, 0, :, :, 0], [[14, 15, 16], [20, 21, 22], [26, 27, 28]])
    # -0.5 rounds to -1: the four cells -1 to 2 in bins -1-0, 0-1, 1-2, of which the first is cut to cell 0.
    np.testing.assert_array_equal(pooled[0, 1, :, :, 0], [[0, 1, 2], [6, 7, 8], [12, 13, 14]])


def test_align_of_a_plane_is_the_plane_at_the_bins_centres():
    # Bilinear sampling is exact on x + 10 y, and the mean over a bin is the value at its centre.
    y, x = np.mgrid[:20, :20].astype(np.float32)
    features = (x + 10 * y)[None, :, :, None]
    boxes = np.float32([[[8, 16, 40, 48], [21, 11, 45, 37]]])
    for ratio in (3, 0):
        aligned = roi_align(features, boxes, size=(4, 2), scale=0.25, sampling_ratio=ratio)
        for n, (x0, y0, x1, y1) in enumerate(boxes[0]):
            # Cell i is centred on pixel 4 i + 2.
            column = (x0 + (np.arange(2) + 0.5) * (x1 - x0) / 2 - 2) / 4
            row = (y0 + (np.arange(4) + 0.5) * (y1 - y0) / 4 - 2) / 4
            np.testing.assert_allclose(aligned[0, n, :, :, 0], column + 10 * row[:, None], rtol=1e-5)


def test_pyramid_takes_the_cells_centred_inside_the_box():
    # Cells of stride 16 centred on 0, 16, 32 ...; strictly inside 15..49 lie 16, 32, 48 and inside 16..48 only 32.
    features = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    boxes = np.float32([[[15, 15, 49, 49], [16, 16, 48, 48], [17, 33, 31, 95]]])
    pooled = spatial_pyramid(features, boxes, levels=(3, 1))
    assert pooled.shape == (1, 3, 10, 1)
    np.testing.assert_array_equal(pooled[0, 0, :, 0], [9, 10, 11, 17, 18, 19, 25, 26, 27, 27])
    np.testing.assert_array_equal(pooled[0, 1, :, 0], [18] * 10)
    # No column is centred between 17 and 31: from floor(17 / 16) + 1 = 2 to ceil(31 / 16) - 1 = 1, the middle is 1.
    np.testing.assert_array_equal(pooled[0, 2, :, 0], [25, 25, 25, 33, 33, 33, 41, 41, 41, 41])
    # With the first centre at 8 as in a trunk with half-pixel symmetry, 15..49 holds 24 and 40.
    shifted = spatial_pyramid(features, boxes[:, :1], levels=(2,), first_centre=8)
    np.testing.assert_array_equal(shifted[0, 0, :, 0], [9, 10, 17, 18])


def test_regions_of_a_pyramid_come_from_the_image_and_scale_that_is_theirs():
    maps = [FEATURES, filled(2, 5, 6, 4, seed=1), filled(2, 3, 12, 4, seed=2)]
    rng = np.random.default_rng(0)
    corners = rng.uniform(-8, 150, (20, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1).astype(np.float32)
    index, scale = rng.integers(0, 2, 20), rng.integers(0, 3, 20)
    factors = ((1.0, 1.0), (0.7, 0.65), (0.4, 1.3))
    found = jax.jit(functools.partial(roi.pyramid_of_scales, factors=factors, levels=(3, 1), first_centre=2.0))(
        maps, boxes, index, scale
    )
    assert found.shape == (20, 10, 4)
    for box, i, k, own in zip(boxes, index, scale, np.asarray(found), strict=True):
        height, width, cells = *maps[k].shape[1:3], []
        for axis, limit in ((0, width), (1, height)):
            factor = factors[k][1 - axis]
            # The paper's rule, with the place of the first cell taken off.
            first = np.floor((box[axis] * factor - 2) / 16) + 1
            last = np.ceil((box[axis + 2] * factor - 2) / 16) - 1
            if first > last:
                first = last = np.floor((first + last) / 2)
            cells.append(np.clip([first, last], 0, limit - 1).astype(int))
        (left, right), (top, bottom) = cells
        rectangle = (top, bottom - top + 1, left, right - left + 1)
        wanted = [cut(maps[k][i], rectangle, (n, n))[0].reshape(-1, 4) for n in (3, 1)]
        np.testing.assert_array_equal(own, np.concatenate(wanted))


def test_pyramid_of_the_whole_map_has_fifty_bins():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2, 13, 9, 5)).astype(np.float32)
    pooled = spatial_pyramid(features)
    assert pooled.shape == (2, 50, 5)
    np.testing.assert_array_equal(pooled[:, -1], features.max((1, 2)))
    np.testing.assert_array_equal(pooled[0, :36], cut(features[0], (0, 13, 0, 9), (6, 6))[0].reshape(36, 5))
    np.testing.assert_array_equal(pooled[1, 45:49], cut(features[1], (0, 13, 0, 9), (2, 2))[0].reshape(4, 5))


@pytest.mark.parametrize('operator', [roi_pool, roi_align, spatial_pyramid])
def test_wild_and_padded_boxes_are_finite_and_none_is_no_error(operator):
    wild = np.float32([[[0, 0, 0, 0], [np.nan, 0, 5, 5], [-1e30, -1e30, 1e30, 1e30], [np.inf, 3, 2, 1]]])

    def total(x, boxes):
        y = operator(x, boxes)
        return y.astype(jnp.float32).sum(), y

    features = FEATURES[:1].astype(jnp.bfloat16)
    (_, y), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(features, wild)
    assert y.dtype == gradient.dtype == jnp.bfloat16
    assert np.isfinite(np.float32(y)).all()
    assert np.isfinite(np.float32(gradient)).all()
    none = jax.eval_shape(operator, features, jax.ShapeDtypeStruct((1, 0, 4), jnp.float32))
    assert none.size == 0
    assert none.shape[1] == 0


def test_no_gradient_for_boxes():
    for operator in (roi_pool, roi_align, spatial_pyramid):
        gradient = jax.jit(jax.grad(lambda boxes, f=operator: f(FEATURES, boxes).sum()))(jnp.asarray(BOXES))
        np.testing.assert_array_equal(gradient, np.zeros_like(BOXES))

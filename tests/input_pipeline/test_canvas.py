"""Boxes and masks go where the pixels go: each transform moves the same rectangle as pixels, as a mask and as a box."""

import io

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline import canvas, transforms
from input_pipeline.placement import boxes_to_output, boxes_to_source, mask_to_output, mask_to_source, sides
from input_pipeline.randomness import uniforms

TRANSFORMS = [
    transforms.CentreCrop(96, 96),
    transforms.CentreCrop(96, 120),
    transforms.RandomCrop(96, (110, 200)),
    transforms.RandomResizedCrop(96),
    canvas.Letterbox((90, 140)),
    canvas.ShortestSide((120, 160), shortest=(60, 90, 120), longest=150),
    canvas.Stretch((96, 128)),
    canvas.Stretch(96, jitter=0.2),
    canvas.PadOrCrop((100, 400)),
    canvas.PadOrCrop((400, 100)),
    canvas.RandomScaleCrop((120, 96)),
]


def _draws(transform, position):
    return uniforms(7, np.array([position]), transform.draws)[0]


def _run(transform, image, draws):
    out = np.full((*sides(transform.image_size), 3), 77, np.uint8)
    return out, transform(image, draws, out)


def _rectangle(height, width, box, value=255):
    image = np.zeros((height, width), np.uint8)
    x0, y0, x1, y1 = box
    image[y0:y1, x0:x1] = value
    return image


def _bounds(seen):
    """x0, y0, x1, y1 of the true pixels."""
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize('transform', TRANSFORMS, ids=str)
@pytest.mark.parametrize('kind', ['array', 'jpeg', 'large jpeg', 'turned jpeg'])
def test_pixels_mask_and_box_agree(transform, kind):
    """The rectangle's edges, found in the resampled pixels, in the mask and by the box's arithmetic."""
    rng, compared = np.random.default_rng(len(kind)), 0
    height, width = (700, 1000) if kind == 'large jpeg' else (231, 302)
    for position in range(12):
        x0, y0 = rng.integers(0, width * 2 // 3), rng.integers(0, height * 2 // 3)
        box = x0, y0, x0 + rng.integers(width // 6, width // 3 + 1), y0 + rng.integers(height // 6, height // 3 + 1)
        drawn = _rectangle(height, width, box)
        image = np.stack([drawn] * 3, -1) if kind == 'array' else _jpeg(drawn, 6 if kind == 'turned jpeg' else 1)
        out, placement = _run(transform, image, _draws(transform, position))
        assert (placement.height, placement.width) == (height, width)
        mask = np.empty(out.shape[:2], np.uint8)
        mask_to_output(drawn, placement, mask, 9)
        where = boxes_to_output(np.array([box]) / [width, height, width, height], placement)[0]
        inside = np.clip(where, 0, [out.shape[1], out.shape[0]] * 2)
        if (inside[2:] - inside[:2]).min() < 3:
            assert (mask == 255).sum() <= 4 * max(out.shape)
            continue
        compared += 1
        # Half a pixel for the mask; JPEG's ringing and the antialiased edge for the pixels.
        np.testing.assert_allclose(_bounds(mask == 255), inside, atol=0.51)
        np.testing.assert_allclose(_bounds(out[..., 1] > 127), inside, atol=0.51 if kind == 'array' else 1.01)
        # Beyond the image the canvas is filled and the mask says so.
        corners = boxes_to_output(np.array([[0, 0, 1, 1.0]]), placement)[0].round().astype(int)
        covered = _rectangle(*out.shape[:2], np.clip(corners, 0, [out.shape[1], out.shape[0]] * 2))
        np.testing.assert_array_equal(mask == 9, covered == 0)
        np.testing.assert_array_equal(out[covered == 0], 0)
    assert compared >= 2


def _jpeg(grey, orientation):
    """Encoded so that a viewer who heeds EXIF sees `grey` upright."""
    # Orientation 6: the first stored row is the picture's right side, so a quarter turn to the right shows it upright.
    stored = PIL.Image.fromarray(grey)
    exif = PIL.Image.Exif()
    if orientation == 6:
        stored = stored.transpose(PIL.Image.Transpose.ROTATE_90)
        exif[0x0112] = 6
    buffer = io.BytesIO()
    stored.convert('RGB').save(buffer, 'JPEG', quality=95, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize('transform', TRANSFORMS, ids=str)
def test_any_shape_has_a_finite_placement_and_boxes_come_back(transform):
    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 1000))
    def check(height, width, position):
        image = np.full((height, width, 3), (10, 130, 250), np.uint8)
        out, placement = _run(transform, image, _draws(transform, position))
        seen = {tuple(pixel) for pixel in np.unique(out.reshape(-1, 3), axis=0).tolist()}
        assert seen - {(0, 0, 0)} == {(10, 130, 250)}  # a flat image stays flat
        again, _ = _run(transform, image, _draws(transform, position))
        np.testing.assert_array_equal(out, again)
        boxes = np.array([[0.1, 0.2, 0.9, 0.8], [0, 0, 1, 1]])
        back = boxes_to_source(boxes_to_output(boxes, placement), np.float32(placement))
        np.testing.assert_allclose(back, boxes * [width, height, width, height], atol=2e-3 * max(height, width))

    check()


def test_masks_are_pillows_nearest_neighbour():
    mask = np.random.default_rng(0).integers(0, 200, (90, 120), dtype=np.uint8)
    # Sizes at which no pixel's centre lies on the border of two.
    for new in ((180, 240), (64, 256), (90, 120), (32, 64)):
        out, nearest = np.empty(new, np.uint8), PIL.Image.Resampling.NEAREST
        _, placement = _run(canvas.Stretch(new), np.zeros((90, 120, 3), np.uint8), None)
        mask_to_output(mask, placement, out, 255)
        np.testing.assert_array_equal(out, np.asarray(PIL.Image.fromarray(mask).resize(new[::-1], nearest)))


def test_a_mask_comes_back_to_the_sources_size():
    mask = np.kron(np.random.default_rng(0).integers(0, 5, (6, 8), dtype=np.uint8), np.ones((5, 5), np.uint8))
    _, placement = _run(canvas.Letterbox((100, 100)), np.zeros((30, 40, 3), np.uint8), None)
    out = np.empty((100, 100), np.uint8)
    mask_to_output(mask, placement, out, 255)
    assert (out[75:] == 255).all()  # 40 wide becomes 100, 30 high becomes 75
    np.testing.assert_array_equal(mask_to_source(out, placement, 255), mask)
    cut = np.empty((20, 20), np.uint8)
    _, placement = _run(canvas.PadOrCrop(20), np.zeros((30, 40, 3), np.uint8), None)
    mask_to_output(mask, placement, cut, 255)
    np.testing.assert_array_equal(cut, mask[5:25, 10:30])
    back = mask_to_source(cut, placement, 255)
    np.testing.assert_array_equal(back[5:25, 10:30], mask[5:25, 10:30])
    assert (back == 255).sum() == 30 * 40 - 20 * 20


@pytest.mark.parametrize(
    ('height', 'width', 'expected'),
    [
        (375, 500, (600, 800)),  # the usual image of VOC
        (500, 375, (800, 600)),
        (333, 500, (600, 901)),
        (300, 1000, (300, 1000)),  # the longest side would pass 1,000
        (1200, 1600, (600, 800)),
    ],
)
def test_shortest_side_is_fast_rcnns(height, width, expected):
    """600 for the shortest side unless the longest would pass 1,000 (py-faster-rcnn's rule, by hand)."""
    out, placement = _run(canvas.ShortestSide(1000), np.full((height, width, 3), 200, np.uint8), None)
    assert _bounds(out[..., 0] == 200).tolist() == [0, 0, expected[1], expected[0]]
    assert (placement.y_scale, placement.x_scale) == (expected[0] / height, expected[1] / width)


def test_shortest_side_shrinks_to_its_canvas_and_fills_with_what_is_said():
    transform = canvas.ShortestSide((600, 700), fill=(124, 116, 104))
    out, _ = _run(transform, np.zeros((375, 500, 3), np.uint8), None)
    assert _bounds((out == 0).all(-1)).tolist() == [0, 0, 700, 525]
    assert (out[525:] == (124, 116, 104)).all()


def test_several_shortest_sides_are_drawn_evenly():
    transform, seen = canvas.ShortestSide(200, shortest=(50, 75, 100), longest=200), []
    for position in range(300):
        _, placement = _run(transform, np.zeros((40, 50, 3), np.uint8), _draws(transform, position))
        seen.append(round(placement.y_scale * 40))
    assert sorted(set(seen)) == [50, 75, 100]
    assert min(np.bincount(seen)[[50, 75, 100]]) > 70


def test_jitter_moves_each_edge_by_up_to_a_fifth():
    """Each edge of the window lies uniformly within a fifth of the side around the image's."""
    transform, edges = canvas.Stretch(400, jitter=0.2), []
    for position in range(300):
        _, placement = _run(transform, np.zeros((100, 200, 3), np.uint8), _draws(transform, position))
        back = (np.array([0, 400]) - placement.x_offset) / placement.x_scale / 200
        edges.append(back)
    edges = np.array(edges) - [0, 1]
    assert np.abs(edges).max() <= 0.2 + 2 / 200
    assert (np.abs(edges.mean(0)) < 0.03).all()
    np.testing.assert_allclose(edges.std(0), 0.4 / np.sqrt(12), rtol=0.1)
    _, placement = _run(transform, np.zeros((100, 200, 3), np.uint8), np.array([0.5, 0.5, 0.5, 0.5]))
    assert placement == (4.0, 2.0, 0.0, 0.0, 100, 200)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: canvas.Letterbox(0), 'image_size must be at least 1'),
        (lambda: canvas.Letterbox(8, fill=(0, 0)), 'fill must be three'),
        (lambda: canvas.Stretch(8, jitter=0.5), 'jitter must lie in'),
        (lambda: canvas.ShortestSide(8, shortest=9, longest=8), 'between 1 and longest 8'),
        (lambda: canvas.RandomScaleCrop(8, scale=(2.0, 1.0)), 'least <= greatest'),
    ],
)
def test_wrong_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()

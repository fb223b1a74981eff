"""Crops and resampling against Pillow, against what torchvision states, and against laws of sampling."""

import io

import numpy as np
import PIL.Image
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline import transforms
from input_pipeline.randomness import uniforms
from input_pipeline.resize import resize_and_cut, resize_fast

NONE = np.zeros(0)


@pytest.fixture(scope='module')
def photo(shared_data):
    with PIL.Image.open(shared_data / 'imagenet100' / 'n01530575_brambling.JPEG') as image:
        return np.asarray(image.convert('RGB'))


def _apply(transform, image, draws=NONE):
    out = np.full((transform.image_size, transform.image_size, 3), 99, np.uint8)
    transform(image, draws, out)
    return out


def _resize_then_crop(image, resize, size):
    """Resize and CenterCrop as torchvision documents them for Pillow images."""
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    new = (resize, int(resize * long / short))
    new_height, new_width = new if height <= width else new[::-1]
    resized = PIL.Image.fromarray(image).resize((new_width, new_height), PIL.Image.Resampling.BILINEAR)
    top, left = int(round((new_height - size) / 2.0)), int(round((new_width - size) / 2.0))  # noqa: RUF046
    return np.asarray(resized.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize(('resize', 'size'), [(256, 224), (72, 64), (64, 64), (500, 480)])
def test_evaluation_is_torchvisions(photo, resize, size):
    for image in (photo, photo.transpose(1, 0, 2).copy(), photo[:301, :300], photo[:, :97]):
        found = _apply(transforms.evaluate(size, resize), image)
        np.testing.assert_array_equal(found, _resize_then_crop(image, resize, size))


def test_images_of_the_right_size_keep_their_pixels(photo):
    square = photo[:64, :64]
    np.testing.assert_array_equal(_apply(transforms.evaluate(64), square), square)
    np.testing.assert_array_equal(_apply(transforms.train(64, 'pad'), square), square)
    np.testing.assert_array_equal(_apply(transforms.evaluate(56, 64), square), square[4:60, 4:60])
    np.testing.assert_array_equal(_apply(transforms.train(64), photo[:64, 10:84]), photo[:64, 15:79])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.integers(0, 40))
def test_any_shape_comes_out_square(height, width, size, more):
    image = np.full((height, width, 3), (10, 130, 250), np.uint8)
    for transform in (transforms.evaluate(size, size + more), transforms.train(size, 'random_resized')):
        out = _apply(transform, image, uniforms(1, np.array([height]), transform.draws)[0])
        np.testing.assert_array_equal(out, np.broadcast_to(image[:1, :1], out.shape))  # a flat image stays flat


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 10**6))
def test_windows_lie_inside_and_are_never_empty(height, width, position):
    transform = transforms.train(32, 'random_resized')
    top, left, h, w = transform.window(height, width, uniforms(0, np.array([position]), transform.draws)[0])
    assert 0 <= top < top + h <= height
    assert 0 <= left < left + w <= width


def test_windows_have_the_stated_distribution():
    """Area uniform, log of the ratio uniform, the place uniform: where no try is refused, as in a large square."""
    transform = transforms.train(32, 'random_resized', scale=(0.1, 0.5))
    draws = uniforms(3, np.arange(4000), transform.draws)
    windows = np.array([transform.window(10_000, 10_000, row) for row in draws], float)
    area = windows[:, 2] * windows[:, 3] / 1e8
    ratio = np.log(windows[:, 3] / windows[:, 2])
    place = windows[:, 0] / (10_000 - windows[:, 2])
    assert scipy.stats.kstest(area, 'uniform', (0.1, 0.4)).pvalue > 0.001
    assert scipy.stats.kstest(ratio, 'uniform', (np.log(3 / 4), 2 * np.log(4 / 3))).pvalue > 0.001
    assert scipy.stats.kstest(place, 'uniform').pvalue > 0.001
    assert abs(np.corrcoef(area, ratio)[0, 1]) < 0.06


def test_shapes_that_refuse_every_try_give_the_central_part():
    # torchvision's fallback: the largest central part whose ratio is within bounds.
    transform = transforms.train(32, 'random_resized', scale=(1.0, 1.0), ratio=(0.9, 1.1))
    draws = np.full(transform.draws, 0.5)
    assert transform.window(100, 1000, draws) == (0, 445, 100, 110)
    assert transform.window(900, 90, draws) == (400, 0, 100, 90)
    assert transforms.train(8, 'random_resized').window(1, 1, np.full(40, 0.999)) == (0, 0, 1, 1)


def test_the_crop_is_what_the_window_says(photo):
    """Against Pillow resampling the same window, through a JPEG and through the array."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(photo).save(buffer, 'JPEG', quality=98)
    with PIL.Image.open(buffer) as image:
        decoded = image.convert('RGB')
    transform = transforms.train(200, 'random_resized')
    for position in range(12):
        draws = uniforms(5, np.array([position]), transform.draws)[0]
        top, left, height, width = transform.window(*photo.shape[:2], draws)
        box = (left, top, left + width, top + height)
        expected = np.asarray(decoded.resize((200, 200), PIL.Image.Resampling.BILINEAR, box=box)).astype(int)
        for image in (buffer.getvalue(), np.asarray(decoded)):
            assert np.abs(_apply(transform, image, draws) - expected).mean() < 1.5


@pytest.mark.parametrize('shrinking', [1.25, 1.5, 1.8, 2.0, 2.5, 3.0, 5.0])
def test_shrinking_is_antialiased(photo, shrinking):
    """Nearer to Pillow's widened filter than plain bilinear interpolation is, by half."""
    import cv2

    side = round(300 / shrinking)
    image, out = photo[:300, :300], np.empty((side, side, 3), np.uint8)
    resize_fast(image, out)
    expected = np.asarray(PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.BILINEAR)).astype(int)
    plain = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    ours, theirs = (np.sqrt(np.mean((a - expected) ** 2.0)) for a in (out, plain))
    assert ours < 0.75 * theirs
    assert ours < 4


@pytest.mark.parametrize('crop', ['random', 'random_resized'])
def test_without_antialiasing_a_crop_is_plainly_bilinear(photo, crop):
    """Against the arithmetic itself: pixel centres at (i + 0.5) s - 0.5, in floating point."""
    transform = transforms.train(64, crop, antialias=False)
    draws = uniforms(3, np.array([1]), transform.draws)[0]
    top, left, height, width = transform.window(*photo.shape[:2], draws)
    assert height > 1.3 * 64
    part = photo[top : top + height, left : left + width].astype(float)
    for axis, length in enumerate((height, width)):
        at = np.clip((np.arange(64) + 0.5) * length / 64 - 0.5, 0, length - 1)
        low = np.minimum(at.astype(int), length - 2)
        share = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
        part = part.take(low, axis) * (1 - share) + part.take(low + 1, axis) * share
    assert np.abs(_apply(transform, photo, draws) - part).max() < 1.5
    assert np.abs(_apply(transforms.train(64, crop), photo, draws) - part).max() > 5


def test_a_pattern_finer_than_the_output_turns_grey():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[::2] = 255
    for side in (64, 60, 40, 20):
        out = np.empty((side, 128, 3), np.uint8)
        resize_fast(stripes, out)
        assert np.abs(out.astype(int) - 127).max() <= 40
        resize_and_cut(stripes, side, 128, 0, 0, out)
        assert np.abs(out[2:-2].astype(int) - 127).max() <= 40


def test_growing_is_bilinear():
    image = np.array([[[0, 0, 0], [100, 200, 40]]], np.uint8)
    out = np.empty((1, 4, 3), np.uint8)
    resize_fast(image, out)
    # Centres of the new pixels lie at -1/4, 1/4, 3/4, 5/4 between the old ones, the edge continued.
    np.testing.assert_array_equal(out[0, :, 0], [0, 25, 75, 100])
    np.testing.assert_array_equal(out[0, :, 1], [0, 50, 150, 200])


def test_one_axis_may_grow_while_the_other_shrinks():
    ramp = np.repeat(np.linspace(0, 240, 90)[:, None, None], 20, axis=1).repeat(3, axis=2).round().astype(np.uint8)
    out = np.empty((30, 40, 3), np.uint8)
    resize_fast(ramp, out)
    np.testing.assert_allclose(out[:, 7, 0], np.linspace(0, 240, 90).reshape(30, 3).mean(axis=1), atol=2)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'crop': 'randm'}, "'randm' is not one of 'none', 'pad', 'random', 'random_resized'"),
        ({'crop': 'random_resized', 'scale': (0.0, 1.0)}, 'scale must satisfy'),
        ({'crop': 'random_resized', 'scale': (0.5, 1.5)}, 'scale must satisfy'),
        ({'crop': 'random_resized', 'ratio': (2.0, 1.0)}, 'ratio must satisfy'),
        ({'image_size': 0}, 'image_size must be at least 1'),
    ],
)
def test_wrong_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        transforms.train(**{'image_size': 32, **arguments})


def test_evaluation_refuses_to_cut_more_than_there_is():
    with pytest.raises(ValueError, match='resize 200 must be at least image_size 224'):
        transforms.evaluate(224, 200)


def test_random_crop_takes_squares_of_the_share_that_the_resized_side_leaves():
    crop = transforms.RandomCrop(224, (256, 512))
    sizes = set()
    for seed in range(200):
        top, left, height, width = crop.window(400, 300, np.random.default_rng(seed).random(3))
        assert height == width
        assert 0 <= top <= 400 - height
        assert 0 <= left <= 300 - width
        sizes.add(height)
    # 224 of 256 and 224 of 512 of the shortest side of 300.
    assert (max(sizes), min(sizes)) <= (round(300 * 224 / 256), round(300 * 224 / 512) + 2)
    assert crop.window(400, 300, np.array([0.0, 0, 0]))[2] == round(300 * 224 / 256)
    assert crop.window(400, 300, np.array([0.9999, 0, 0]))[2] == round(300 * 224 / 512)


def test_random_crop_of_an_image_of_that_size_is_a_plain_cut():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 300, 3)).astype(np.uint8)
    crop, draws, out = transforms.RandomCrop(224), np.array([0.3, 0.5, 0.9]), np.empty((224, 224, 3), np.uint8)
    crop(pixels, draws, out)
    top, left, _, _ = crop.window(256, 300, draws)
    np.testing.assert_array_equal(out, pixels[top : top + 224, left : left + 224])
    with pytest.raises(ValueError, match='of at least image_size 224'):
        transforms.RandomCrop(224, (200, 256))

"""YOLO's grid: the loss against loops over cells and boxes, cases by hand, and what must hold for any objects."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import yolo

HEIGHT, WIDTH = 60, 80


@functools.partial(jax.jit, static_argnames=('predictors', 'coord', 'noobj', 'rescore', 'rmse_fallback', 'sqrt'))
def compiled(output, boxes, labels, valid, **options):
    return yolo.loss(output, boxes, labels, valid, height=HEIGHT, width=WIDTH, **options)


def numpy_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def loop_loss(output, boxes, labels, valid, *, predictors, coord=5.0, noobj=0.5, rescore=True, rmse_fallback=False,
              sqrt=True):  # fmt: skip
    """Equation 3 of the paper for one image, cell by cell and predictor by predictor; darknet's options."""
    rows, columns, width = output.shape
    classes = width - 5 * predictors
    total = dict.fromkeys(('place', 'size', 'confidence', 'background', 'class'), 0.0)
    for i in range(rows):
        for j in range(columns):
            cell = output[i, j].astype(np.float64)
            mine = None
            for n in np.flatnonzero(valid):
                x, y = (boxes[n, 0] + boxes[n, 2]) / 2 / WIDTH, (boxes[n, 1] + boxes[n, 3]) / 2 / HEIGHT
                inside = min(int(x * columns), columns - 1) == j and min(int(y * rows), rows - 1) == i
                if inside and mine is None:
                    mine = n
            if mine is None:
                total['background'] += noobj * sum(cell[5 * p + 4] ** 2 for p in range(predictors))
                continue
            truth = boxes[mine].astype(np.float64)
            w, h = (truth[2] - truth[0]) / WIDTH, (truth[3] - truth[1]) / HEIGHT
            x = (truth[0] + truth[2]) / 2 / WIDTH * columns - j
            y = (truth[1] + truth[3]) / 2 / HEIGHT * rows - i
            overlaps, distances = [], []
            for p in range(predictors):
                px, py, pw, ph = cell[5 * p : 5 * p + 4]
                if sqrt:
                    pw, ph = pw * pw, ph * ph
                cx, cy = (j + px) / columns * WIDTH, (i + py) / rows * HEIGHT
                box = (cx - pw * WIDTH / 2, cy - ph * HEIGHT / 2, cx + pw * WIDTH / 2, cy + ph * HEIGHT / 2)
                overlaps.append(numpy_iou(box, truth))
                distances.append(((px - x) / columns) ** 2 + ((py - y) / rows) ** 2 + (pw - w) ** 2 + (ph - h) ** 2)
            best = int(np.argmax(overlaps))
            if rmse_fallback and max(overlaps) == 0:
                best = int(np.argmin(distances))
            for p in range(predictors):
                px, py, pw, ph, confidence = cell[5 * p : 5 * p + 5]
                if p != best:
                    total['background'] += noobj * confidence**2
                    continue
                tw, th = (np.sqrt(w), np.sqrt(h)) if sqrt else (w, h)
                total['place'] += coord * ((px - x) ** 2 + (py - y) ** 2)
                total['size'] += coord * ((pw - tw) ** 2 + (ph - th) ** 2)
                total['confidence'] += (confidence - (overlaps[p] if rescore else 1.0)) ** 2
            for c in range(classes):
                total['class'] += (cell[5 * predictors + c] - (c == labels[mine])) ** 2
    return total


def scenes(seed, *, batch=3, objects=6, grid=(3, 4), predictors=2, classes=5):
    """Random outputs and objects; some objects are padding, many share a cell, one touches two borders."""
    rng = np.random.default_rng(seed)
    output = rng.normal(0.4, 0.4, (batch, *grid, 5 * predictors + classes)).astype(np.float32)
    corner = rng.uniform(0, 0.8, (batch, objects, 2))
    size = rng.uniform(0.02, 1, (batch, objects, 2)) * (1 - corner)
    boxes = (np.concatenate([corner, corner + size], -1) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32)
    boxes[:, 0] = [WIDTH - 9, HEIGHT - 7, WIDTH, HEIGHT]
    labels = rng.integers(0, classes, (batch, objects)).astype(np.int32)
    valid = rng.uniform(size=(batch, objects)) < 0.7
    valid[0] = False
    boxes[~valid], labels[~valid] = 0, -1
    return output, boxes, labels, valid


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'rescore': False, 'coord': 2.0, 'noobj': 0.25},
        {'rmse_fallback': True},
        {'sqrt': False, 'rmse_fallback': True},
    ],
    ids=str,
)
def test_the_loss_is_that_of_loops_over_cells_and_boxes(options):
    for seed in range(3):
        output, boxes, labels, valid = scenes(seed)
        parts, _ = compiled(output, boxes, labels, valid, predictors=2, **options)
        for b in range(len(output)):
            expected = loop_loss(output[b], boxes[b], labels[b], valid[b], predictors=2, **options)
            found = {name: float(value[b]) for name, value in parts.items()}
            assert found == pytest.approx(expected, rel=2e-5, abs=1e-6), (seed, b)
    # The fallback is put to use: some responsible predictor does not overlap its object.
    without = compiled(output, boxes, labels, valid, predictors=2, **(options | {'rmse_fallback': False}))[0]
    same = all(np.allclose(without[name], parts[name]) for name in parts)
    assert same != options.get('rmse_fallback', False)


def grid_of(value=0.0, grid=(3, 4), predictors=2, classes=3):
    return np.full((1, *grid, 5 * predictors + classes), value, np.float32)


def test_without_objects_confidences_alone_cost():
    output = grid_of(0.5)
    for n in (0, 2):
        parts, shown = compiled(
            output, np.zeros((1, n, 4), np.float32), np.full((1, n), -1), np.zeros((1, n), bool), predictors=2
        )
        # Twelve cells of two confidences of a half, at half weight.
        assert float(parts.pop('background')[0]) == pytest.approx(12 * 2 * 0.25 * 0.5)
        assert all(float(value[0]) == 0 for value in parts.values())
        assert (float(shown['iou'][0]), float(shown['assigned'][0])) == (0, 1)


def test_of_two_objects_in_a_cell_the_first_is_learnt_and_the_other_counted_as_lost():
    # A cell is 20 x 20 pixels; both centres lie in the cell of row 1, column 2.
    boxes = np.float32([[[44, 24, 52, 36], [46, 26, 58, 38]]])
    labels, valid = np.int32([[2, 0]]), np.ones((1, 2), bool)
    output = grid_of()
    # The second predictor is exact: (48, 30) is (0.4, 0.5) in its cell, 8 x 12 pixels are 0.1 x 0.2 of the image.
    output[0, 1, 2, 5:10] = [0.4, 0.5, 0.1**0.5, 0.2**0.5, 1.0]
    output[0, 1, 2, 12] = 1.0
    parts, shown = compiled(output, boxes, labels, valid, predictors=2)
    assert sum(float(value[0]) for value in parts.values()) == pytest.approx(0, abs=1e-9)
    assert float(shown['iou'][0]) == pytest.approx(1, abs=1e-5)
    assert float(shown['assigned'][0]) == 0.5
    # The other order: the other object is the one.
    parts, _ = compiled(output, boxes[:, ::-1], labels[:, ::-1], valid, predictors=2)
    assert float(parts['class'][0]) == pytest.approx(2)


def test_a_box_on_the_border_belongs_to_the_last_cell_and_costs_by_hand():
    # Without width on the right border but for a sliver: the centre is at the border to float32's precision.
    boxes = np.float32([[[WIDTH - 1e-5, 0, WIDTH, HEIGHT]]])
    assigned = yolo.assign(jnp.asarray(boxes), jnp.ones((1, 1), bool), (3, 4), HEIGHT, WIDTH)
    assert np.argwhere(np.asarray(assigned.full)[0]).tolist() == [[1, 3]]
    parts, _ = compiled(grid_of(), boxes, np.int32([[1]]), np.ones((1, 1), bool), predictors=2, coord=1.0)
    # x = 1, y = 1/2 in the cell; sides 0 and 1; nothing is predicted.
    expected = {'place': 1.25, 'size': 1.0, 'confidence': 0.0, 'background': 0.0, 'class': 1.0}
    assert {k: float(v[0]) for k, v in parts.items()} == pytest.approx(expected, abs=1e-3)


def test_the_predictor_that_overlaps_most_is_responsible_and_learns_the_overlap():
    boxes, labels, valid = np.float32([[[20, 20, 40, 40]]]), np.int32([[0]]), np.ones((1, 1), bool)
    output = grid_of()
    # Both are centred on the object; the first is half as wide (overlap 1/2), the second a quarter.
    output[0, 1, 1, :5] = [0.5, 0.5, (10 / 80) ** 0.5, (20 / 60) ** 0.5, 0.7]
    output[0, 1, 1, 5:10] = [0.5, 0.5, (5 / 80) ** 0.5, (20 / 60) ** 0.5, 0.9]
    gradient = jax.grad(lambda x: sum(compiled(x, boxes, labels, valid, predictors=2)[0].values()).sum())(output)[0]
    # d/dc (c - 1/2)^2 = 2 * 0.2 for the one, d/dc 0.5 c^2 = 0.9 for the other.
    assert gradient[1, 1, 4] == pytest.approx(0.4, abs=1e-5)
    assert gradient[1, 1, 9] == pytest.approx(0.9, abs=1e-5)
    # The other's box learns nothing; the responsible width grows: d/dw 5 (w - sqrt(1/4))^2.
    assert gradient[1, 1, 2] == pytest.approx(10 * ((10 / 80) ** 0.5 - 0.5), abs=1e-5)
    np.testing.assert_array_equal(gradient[1, 1, 5:9], 0)


def test_the_loss_does_not_depend_on_padding_on_the_order_of_predictors_or_on_a_mirror():
    output, boxes, labels, valid = scenes(7)

    def total(*arguments):
        # Where none overlaps, the nearest: the first of both would depend on their order.
        return np.asarray(sum(compiled(*arguments, predictors=2, rmse_fallback=True)[0].values()))

    once = total(output, boxes, labels, valid)
    longer = [np.concatenate([x, np.zeros_like(x)], 1) for x in (boxes, labels, valid)]
    np.testing.assert_allclose(total(output, *longer), once, rtol=1e-6)
    swapped = np.concatenate([output[..., 5:10], output[..., :5], output[..., 10:]], -1)
    np.testing.assert_allclose(total(swapped, boxes, labels, valid), once, rtol=1e-6)
    mirrored = output[:, :, ::-1].copy()
    mirrored[..., [0, 5]] = 1 - mirrored[..., [0, 5]]
    there = np.where(valid[..., None], np.stack([WIDTH - boxes[..., 2], boxes[..., 1], WIDTH - boxes[..., 0],
                                                 boxes[..., 3]], -1), 0)  # fmt: skip
    np.testing.assert_allclose(total(mirrored, there, labels, valid), once, rtol=1e-5)


def test_loss_and_gradient_are_finite_whatever_is_there():
    boxes = np.float32([[[0, 0, WIDTH, HEIGHT], [3, 3, 3 + 1e-6, 3 + 1e-6], [0, 0, 0, 0], [10, 10, 30, 30]]] * 2)
    labels, valid = np.int32([[1, 0, -1, 2]] * 2), np.array([[True, True, False, True]] * 2)
    for value in (0.0, -3.0, 1e4):
        output = np.concatenate([grid_of(value)] * 2)

        def total(x):
            return sum(compiled(x, boxes, labels, valid, predictors=2)[0].values()).sum()

        loss, gradient = jax.value_and_grad(total)(output)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


def test_what_the_loss_asks_for_decodes_into_the_objects():
    """An output without loss gives each object back, at the score 1, and nothing else."""
    boxes = np.float32([[[5, 5, 15, 25], [30, 10, 75, 58], [0, 40, 20, 60]]])
    labels, valid = np.int32([[2, 0, 1]]), np.ones((1, 3), bool)
    output = grid_of()
    for box, label in zip(boxes[0], labels[0], strict=True):
        x, y = (box[0] + box[2]) / 2 / 20, (box[1] + box[3]) / 2 / 20
        cell = output[0, int(y), int(x)]
        root = np.sqrt([(box[2] - box[0]) / WIDTH, (box[3] - box[1]) / HEIGHT])
        cell[:5] = [x - int(x), y - int(y), *root, 1]
        cell[10 + label] = 1
    parts, _ = compiled(output, boxes, labels, valid, predictors=2)
    assert sum(float(v[0]) for v in parts.values()) == pytest.approx(0, abs=1e-9)
    found, scores = yolo.decode(jnp.asarray(output), predictors=2, height=HEIGHT, width=WIDTH)
    there = np.argwhere(np.asarray(scores)[0] > 0)
    assert len(there) == 3
    for region, label in there:
        n = labels[0].tolist().index(label)
        assert float(scores[0, region, label]) == pytest.approx(1)
        np.testing.assert_allclose(found[0, region], boxes[0, n], atol=1e-4)

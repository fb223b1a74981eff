"""Average precision against a third party's results and by hand; kinds of errors and recall by hand."""

import pathlib
import re

import jax
import numpy as np
import pytest

from cnn.metrics import coco_ap, detection, hoiem, proposals, voc_ap
from cnn.metrics.detection import ImageBoxes


def image(found=(), truth=(), difficult=(), crowd=()):
    """An image of detections (label, score, x0, y0, x1, y1) and objects (label, x0, y0, x1, y1)."""
    found, truth = np.float64(found).reshape(-1, 6), np.float64(truth).reshape(-1, 5)
    marks = (np.isin(np.arange(len(truth)), m) for m in (difficult, crowd))
    return ImageBoxes(found[:, 2:], found[:, 1], found[:, 0].astype(int), truth[:, 1:], truth[:, 0].astype(int), *marks)


# Objects of 10 x 10. Overlaps: shifted by 2 of 10: 80 / 120; by 4: 60 / 140 = 0.43; by 8: 20 / 180 = 0.11.
A, B, C = (0, 0, 10, 10), (50, 0, 60, 10), (0, 50, 10, 60)


def shifted(box, by):
    return (box[0] + by, box[1], box[2] + by, box[3])


def read_reference(folder: pathlib.Path):
    """The images, class names and a third party's AP of each class, and its mean."""
    text = (folder / 'reference_output_voc_allpoint_iou0.5.txt').read_text()
    ap = {name: float(value) for value, name in re.findall(r'([\d.]+)% = (\w+) AP', text)}
    rows = {kind: {} for kind in ('detection-results', 'ground-truth')}
    for kind, by_image in rows.items():
        for path in sorted((folder / kind).glob('*.txt')):
            by_image[path.stem] = [line.split() for line in path.read_text().splitlines()]
    names = sorted({row[0] for by_image in rows.values() for lines in by_image.values() for row in lines})
    # Its boxes end at the last pixel inside.
    images = [
        image(
            [(names.index(n), s, x0, y0, float(x1) + 1, float(y1) + 1) for n, s, x0, y0, x1, y1 in found],
            [(names.index(n), x0, y0, float(x1) + 1, float(y1) + 1) for n, x0, y0, x1, y1 in truth],
        )
        for found, truth in zip(*(rows[kind].values() for kind in rows), strict=True)
    ]
    return images, names, ap, float(re.search(r'mAP = ([\d.]+)%', text)[1])


def test_agrees_with_a_third_party_on_real_detections(shared_data):
    images, names, ap, mean = read_reference(shared_data / 'map_reference')
    curves = voc_ap.curves(images, len(names))
    assert len(ap) == 30
    for name, curve in zip(names, curves, strict=True):
        assert (name in ap) == (curve.objects > 0)
        if curve.objects:
            assert round(100 * voc_ap.average_precision(curve), 2) == pytest.approx(ap[name], abs=0.011), name
    assert 100 * voc_ap.mean_average_precision(curves) == pytest.approx(mean, abs=0.005)
    # COCO reads the same curves at 101 recalls, and lets a detection take its second best object.
    coco = coco_ap.scores(images, len(names))
    assert 100 * coco['map_coco_50'] == pytest.approx(mean, abs=1)
    assert coco['map_coco'] < coco['map_coco_50']


def test_a_curve_by_hand():
    images = [
        image([(0, 0.9, *A), (0, 0.8, *shifted(A, 2)), (0, 0.5, *shifted(B, 4))], [(0, *A), (0, *B)]),
        image([(0, 0.7, *C), (0, 0.6, *shifted(C, 2))], [(0, *C)]),
        image([(0, 0.4, *shifted(A, 2))], [(0, *A), (1, *B)]),
    ]
    curve, other = voc_ap.curves(images, 2)
    # A hit; a second one on the same object; a hit; a second one; too little overlap; a hit. Four objects.
    np.testing.assert_array_equal(curve.scores, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    np.testing.assert_array_equal(curve.hits, [1, 0, 1, 0, 0, 1])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 2 / 4, 2 / 5, 3 / 6])
    np.testing.assert_allclose(curve.recall, [0.25, 0.25, 0.5, 0.5, 0.5, 0.75])
    # A quarter each at 1, 2/3 and 1/2; at 0, .1, .2 | .3, .4, .5 | .6, .7.
    assert voc_ap.average_precision(curve) == pytest.approx((1 + 2 / 3 + 1 / 2) / 4)
    assert voc_ap.average_precision(curve, eleven_point=True) == pytest.approx((3 + 3 * 2 / 3 + 2 / 2) / 11)
    # Class 1 is never found.
    assert voc_ap.average_precision(other) == voc_ap.average_precision(other, eleven_point=True) == 0
    assert voc_ap.mean_average_precision([curve, other]) == pytest.approx((1 + 2 / 3 + 1 / 2) / 8)
    table = detection.class_scores(images, 2)
    np.testing.assert_allclose(table['recall_50'], [0.75, 0])
    np.testing.assert_array_equal(table['detections'], [6, 0])
    np.testing.assert_array_equal(table['objects'], [4, 1])


def test_difficult_objects_and_crowds_count_nowhere():
    images = [image(
        # On a difficult object, twice; within a crowd; on no object; a hit.
        [(0, 0.9, *A), (0, 0.8, *A), (0, 0.7, 60, 60, 70, 70), (0, 0.6, 80, 0, 90, 10), (0, 0.5, *B)],
        [(0, *A), (0, *B), (0, 50, 50, 100, 100)], difficult=[0], crowd=[2],
    )]  # fmt: skip
    np.testing.assert_array_equal(voc_ap.judge(images[0]), [-1, -1, -1, 0, 1])
    (curve,) = voc_ap.curves(images, 1)
    assert curve.objects == 1
    np.testing.assert_array_equal(curve.hits, [False, True])
    assert voc_ap.average_precision(curve) == 0.5
    # COCO's rule has a second detection of the difficult object wrong: 0.8 and 0.6 come before the hit.
    assert coco_ap.scores(images, 1)['map_coco_50'] == pytest.approx(1 / 3)


def test_the_largest_overlap_decides_in_voc():
    # The second detection overlaps A most, which is taken, and B by more than half as well: VOC calls it wrong.
    a, b = (0, 0, 10, 10), (0, 3, 10, 13)
    found = image([(0, 0.9, *a), (0, 0.8, 0, 1, 10, 11)], [(0, *a), (0, *b)])
    np.testing.assert_array_equal(voc_ap.judge(found), [1, 0])
    assert coco_ap.scores([found], 1)['map_coco_50'] == 1


def test_coco_by_hand():
    # IoU 100 / 120 = 0.83 counts at 0.5, 0.55 ... 0.8: seven of ten thresholds.
    found = image([(0, 0.9, 0, 0, 12, 10)], [(0, *A)])
    scores = coco_ap.scores([found], 2)
    assert scores['map_coco'] == pytest.approx(0.7)
    assert scores['map_coco_75'] == scores['map_coco_small'] / 0.7 == pytest.approx(1)
    assert np.isnan(scores['map_coco_large'])
    assert tuple(scores) == coco_ap.NAMES


def test_nothing_is_no_error():
    for images in ([], [image()], [image([(0, 0.5, *A)])]):
        assert np.isnan(detection.scores(images, 2)['map_50'])
        assert hoiem.error_split(images, 2).sum() == 0
        assert np.isnan(hoiem.shares(hoiem.error_split(images, 2))['correct'])
    scores = detection.scores([image(truth=[(1, *A)])], 2)
    assert scores['map_50'] == scores['map_coco'] == 0


def test_eleven_points_on_request():
    images = [image([(0, 0.9, *A)], [(0, *A), (0, *B)])]
    assert detection.scores(images, 1)['map_50'] == 0.5
    assert detection.scores(images, 1, eleven_point=True)['map_50'] == pytest.approx(6 / 11)


def test_padding_is_left_out():
    one = detection.unpadded(
        np.ones((3, 4)), np.array([0.5, 0.4, 0]), np.array([1, 0, -1]), np.ones((2, 4)), np.array([-1, 2])
    )
    assert [len(x) for x in one] == [2, 2, 2, 1, 1, 1, 1]
    assert one.truth_labels[0] == 2
    assert not one.difficult[0]


def test_kinds_of_errors():
    # Classes 0 and 1 are alike, 2 is not. Class 0 has six objects, of which one is difficult: five detections count.
    truth = [(0, *A), (0, *B), (0, *C), (0, 90, 90, 100, 100), (0, 0, 90, 10, 100), (0, 90, 0, 95, 5)]
    truth += [(1, 50, 50, 60, 60), (2, 70, 70, 80, 80)]
    found = [
        (0, 0.95, 90, 0, 95, 5),  # on the difficult one: passed over
        (0, 0.9, *A),  # correct
        (0, 0.8, *A),  # a second one: localisation
        (0, 0.7, *shifted(B, 8)),  # 0.11: localisation
        (0, 0.6, 50, 50, 60, 60),  # similar
        (0, 0.5, 70, 70, 80, 80),  # other
        (0, 0.4, 30, 30, 35, 35),  # background, but beyond the five
        (2, 0.9, 30, 30, 35, 35),  # background
    ]
    similar = hoiem.similarity(['cat', 'dog', 'car'])
    np.testing.assert_array_equal(similar, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    split = hoiem.error_split([image(found, truth, difficult=[5])], 3, similar=similar)
    np.testing.assert_array_equal(split, [[1, 2, 1, 1, 0], [0] * 5, [0, 0, 0, 0, 1]])
    # Means of class 0 and class 2; class 1 has no detection.
    assert hoiem.shares(split) == pytest.approx(
        {'correct': 0.1, 'localisation': 0.2, 'similar': 0.1, 'other': 0.1, 'background': 0.5}
    )


def test_birds_fly_and_are_animals():
    names = ['aeroplane', 'bird', 'cat', 'car', 'sofa', 'bottle']
    pairs = {(names[i], names[j]) for i, j in zip(*np.nonzero(hoiem.similarity(names)), strict=True) if i < j}
    assert pairs == {('aeroplane', 'bird'), ('aeroplane', 'car'), ('bird', 'cat')}


def test_recall_of_proposals():
    boxes = np.float32([[A, shifted(B, 2), shifted(C, 4)], [A, B, C]])
    valid = np.array([[True, True, True], [False, False, False]])
    truth = np.float32([[A, B, C, (0, 0, 0, 0)]] * 2)
    counts = np.array([[True, True, True, False], [True, False, False, False]])
    states = jax.jit(proposals.recall)(boxes, valid, truth, counts)
    # Overlaps of 1, 2/3 and 0.43 in the first image, nothing in the second: four objects, two found.
    assert states['proposal_recall'].compute('r') == {'r': 0.5}
    # 2/3 reaches 0.5, 0.55, 0.6 and 0.65: four of ten thresholds.
    assert states['average_recall'].compute('r') == {'r': pytest.approx(1.4 / 4)}

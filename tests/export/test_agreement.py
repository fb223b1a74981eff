"""When an exported program's answers pass for the model's, on answers made by hand."""

import numpy as np

from cnn.export import agreement


def compare(want, got, precision='float32', side=100):
    return agreement.compare(want, got, precision=precision, side=side)


def test_numbers_may_differ_by_a_share_of_the_largest():
    want = {'logits': np.float32([[-20.0, 10.0]])}
    near, far = ({'logits': want['logits'] + np.float32([[0, d]])} for d in (1.5e-3, 2.5e-3))
    found = compare(want, near)
    assert found['logits']['agrees']
    np.testing.assert_allclose(found['logits']['largest_difference'], 1.5e-3, rtol=1e-3)
    np.testing.assert_allclose(found['logits']['allowed'], 2e-3)
    assert agreement.disagreement(found) == ''
    assert not compare(want, far)['logits']['agrees']
    assert compare(want, far, precision='bfloat16')['logits']['agrees']


def test_nan_another_shape_and_another_type_never_agree():
    want = {'logits': np.ones((2, 3), np.float32)}
    for got in (np.full((2, 3), np.nan, np.float32), np.ones((2, 4), np.float32), np.ones((2, 3), np.float64)):
        found = compare(want, {'logits': got})
        assert not found['logits']['agrees']
    assert agreement.disagreement(found) == 'logits: why float64 [2, 3] instead of float32 [2, 3]'


def test_classes_of_pixels_agree_by_share():
    want = {'segmentation': np.zeros((1, 10, 20), np.uint8)}
    got = want['segmentation'].copy()
    got.flat[:2] = 1
    assert compare(want, {'segmentation': got})['segmentation'] == {
        'agrees': True, 'share_equal': 0.99, 'least_share': 0.99}  # fmt: skip
    got.flat[2] = 1
    assert not compare(want, {'segmentation': got})['segmentation']['agrees']


def detections(boxes, scores, labels):
    boxes = np.float32(boxes)[None]
    return {'boxes': boxes, 'scores': np.float32([scores]), 'labels': np.int32([labels]), 'source_boxes': boxes}


def test_detections_may_change_places_but_not_go():
    want = detections([[0, 0, 10, 10], [5, 5, 20, 20], [0, 0, 0, 0]], [0.9, 0.9, 0], [3, 4, -1])
    swapped = detections([[5, 5, 20, 20], [0, 0.1, 10, 10], [0, 0, 0, 0]], [0.9, 0.90005, 0], [4, 3, -1])
    assert compare(want, swapped)['detections']['matched'] == 2
    assert agreement.disagreement(compare(want, swapped)) == ''
    wrong = {
        'class': detections([[5, 5, 20, 20], [0, 0, 10, 10], [0, 0, 0, 0]], [0.9, 0.9, 0], [4, 4, -1]),
        'place': detections([[5, 5, 20, 20], [0, 0, 10, 11], [0, 0, 0, 0]], [0.9, 0.9, 0], [4, 3, -1]),
        'score': detections([[5, 5, 20, 20], [0, 0, 10, 10], [0, 0, 0, 0]], [0.9, 0.8, 0], [4, 3, -1]),
        'one more': detections([[5, 5, 20, 20], [0, 0, 10, 10], [0, 0, 9, 9]], [0.9, 0.9, 0.1], [4, 3, 3]),
    }
    for what, got in wrong.items():
        assert not compare(want, got)['detections']['agrees'], what
    nothing = detections([[0, 0, 0, 0]], [0], [-1])
    assert compare(nothing, nothing)['detections']['agrees']

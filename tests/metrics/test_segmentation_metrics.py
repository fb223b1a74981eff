"""Segmentation metrics against scikit-learn, hand counts, and the laws of sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from cnn.metrics import base
from cnn.metrics.segmentation import PixelConfusion, class_iou, confusions, scores

CLASSES = 4


def images(seed, count=5, side=6):
    """Truth with void pixels and without class 3, which predictions have in the last image alone."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 255], (count, side, side), p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.7, np.minimum(truth, 2), rng.integers(0, 3, truth.shape))
    predicted[-1, 0] = 3
    return predicted.astype(np.uint8), truth


def state_of(predicted, truth, mask):
    return jax.jit(lambda p, t, m: PixelConfusion.of(confusions(p, t, CLASSES), m))(predicted, truth, mask)


def test_it_agrees_with_scikit_learn_pixel_by_pixel():
    predicted, truth = images(0)
    p, t = predicted[truth != 255], truth[truth != 255]
    values = state_of(predicted, truth, np.ones(5)).compute('pixels')
    assert values['pixel_accuracy'] == pytest.approx(sklearn_metrics.accuracy_score(t, p))
    recalls = sklearn_metrics.recall_score(t, p, labels=[0, 1, 2], average=None)
    assert values['mean_class_accuracy'] == pytest.approx(recalls.mean())
    # Class 3 occurs in predictions alone: its IU is zero, and counts.
    jaccard = sklearn_metrics.jaccard_score(t, p, labels=range(CLASSES), average=None, zero_division=0)
    assert jaccard[3] == 0
    assert values['mean_iou'] == pytest.approx(jaccard.mean())
    weighted = sklearn_metrics.jaccard_score(t, p, labels=[0, 1, 2], average='weighted')
    assert values['frequency_weighted_iou'] == pytest.approx(weighted)


def test_by_hand():
    matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    np.testing.assert_array_equal(class_iou(matrix), [6 / 9, 3 / 6, np.nan])
    expected = {'pixel_accuracy': 9 / 12, 'mean_class_accuracy': (6 / 8 + 3 / 4) / 2, 'mean_iou': (6 / 9 + 3 / 6) / 2,
                'frequency_weighted_iou': (8 * 6 / 9 + 4 * 3 / 6) / 12}  # fmt: skip
    assert scores(matrix) == pytest.approx(expected)


def test_parts_merge_to_the_whole_and_padding_counts_nowhere():
    predicted, truth = images(1)
    whole = state_of(predicted, truth, np.ones(5))
    first = state_of(predicted[:2], truth[:2], np.ones(2))
    rest = state_of(predicted[[2, 3, 4, 0]], truth[[2, 3, 4, 0]], np.array([1, 1, 1, 0]))
    merged = base.merge(first, rest)
    np.testing.assert_array_equal(merged.matrix, whole.matrix)
    np.testing.assert_array_equal(whole.matrix, sklearn_metrics.confusion_matrix(
        truth[truth != 255], predicted[truth != 255], labels=range(CLASSES)))  # fmt: skip


def test_each_image_has_its_own_matrix():
    predicted, truth = images(2)
    matrices = np.asarray(confusions(jnp.asarray(predicted), jnp.asarray(truth), CLASSES))
    for matrix, p, t in zip(matrices, predicted, truth, strict=True):
        expected = sklearn_metrics.confusion_matrix(t[t != 255], p[t != 255], labels=range(CLASSES))
        np.testing.assert_array_equal(matrix, expected)


def test_labels_outside_the_classes_count_nowhere():
    truth = np.array([[[0, -1, 4, 255]]])
    predicted = np.array([[[0, 1, 1, -1]]])
    np.testing.assert_array_equal(confusions(predicted, truth, CLASSES).sum(), 1)
    np.testing.assert_array_equal(confusions(-truth - 1, truth * 0, CLASSES).sum(), 1)


def test_nothing_labelled_is_nan_not_an_error():
    state = state_of(np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8), np.ones(2))
    assert all(np.isnan(value) for value in state.compute('pixels').values())


def test_counts_of_a_large_set_stay_exact():
    """Beyond 2**24, where float32 would lose single pixels, and beyond 2**31, as the scorer adds them up."""
    matrix = np.array([[2**40 + 1, 1], [3, 2**24 + 1]], np.int64)
    values = PixelConfusion(matrix).compute('pixels')
    assert values['mean_iou'] == pytest.approx(((2**40 + 1) / (2**40 + 5) + (2**24 + 1) / (2**24 + 5)) / 2, rel=1e-15)

"""Classification metrics against scikit-learn, whatever the batches, and their edge cases by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from cnn.metrics import base
from cnn.metrics.classification import ClassCounts, Confusion, mean_class_accuracy, top_k_hits

CLASSES, EXAMPLES = 7, 61
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, CLASSES - 1, EXAMPLES).astype(np.int32)  # the last class is absent
LOGITS = (RNG.normal(size=(EXAMPLES, CLASSES)) + 1.5 * np.eye(CLASSES)[LABELS]).astype(np.float32)
PREDICTED = LOGITS.argmax(1)

hits = jax.jit(top_k_hits, static_argnums=2)


@jax.jit
def states(logits, labels, mask):
    predicted = jnp.argmax(logits, 1)
    return {
        'accuracy': base.Average.of(top_k_hits(logits, labels, 1), mask),
        'top3': base.Average.of(top_k_hits(logits, labels, 3), mask),
        'confusion': Confusion.of(predicted, labels, mask, CLASSES),
        'counts': ClassCounts.of(predicted, labels, mask, CLASSES),
    }


def merged(batch_size):
    """States of the whole set in batches of this size, the last filled with masked nonsense."""
    total = None
    for start in range(0, EXAMPLES, batch_size):
        logits = np.full((batch_size, CLASSES), np.nan, np.float32)
        labels = np.full(batch_size, -1, np.int32)
        real = len(LABELS[start : start + batch_size])
        logits[:real], labels[:real] = LOGITS[start : start + real], LABELS[start : start + real]
        one = states(logits, labels, (np.arange(batch_size) < real).astype(np.float32))
        total = one if total is None else base.merge(total, one)
    return total


@pytest.mark.parametrize('batch_size', [1, 16, 61, 64])
def test_values_agree_with_scikit_learn_whatever_the_batch(batch_size):
    total = merged(batch_size)
    values = base.compute({name: total[name] for name in ('accuracy', 'top3')})
    assert values['accuracy'] == pytest.approx(sklearn_metrics.accuracy_score(LABELS, PREDICTED), abs=1e-7)
    top3 = sklearn_metrics.top_k_accuracy_score(LABELS, LOGITS, k=3, labels=np.arange(CLASSES))
    assert values['top3'] == pytest.approx(top3, abs=1e-7)
    expected = sklearn_metrics.confusion_matrix(LABELS, PREDICTED, labels=np.arange(CLASSES))
    np.testing.assert_array_equal(total['confusion'].matrix, expected)
    assert total['confusion'].matrix.dtype == jnp.int32
    # Macro recall over the classes that occur: scikit-learn's balanced accuracy.
    present = np.unique(LABELS)
    recall = sklearn_metrics.recall_score(LABELS, PREDICTED, labels=present, average='macro')
    for name in ('confusion', 'counts'):
        assert total[name].compute(name) == {'mean_class_accuracy': pytest.approx(recall, abs=1e-9)}


def test_top_k_of_all_classes_is_certain_and_grows_with_k():
    shares = [float(hits(LOGITS, LABELS, k).mean()) for k in range(1, CLASSES + 1)]
    assert shares == sorted(shares)
    assert hits(LOGITS, LABELS, CLASSES).tolist() == [1.0] * EXAMPLES


def test_equal_logits_rank_by_class_number():
    logits = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]], np.float32)
    for k, expected in ((1, [[1, 0, 0], [0, 1, 0]]), (2, [[1, 1, 0], [0, 1, 1]])):
        got = [[hits(logits[i : i + 1], np.array([c]), k)[0] for c in range(3)] for i in range(2)]
        np.testing.assert_array_equal(got, expected)


def test_nan_is_never_a_hit_for_itself_nor_helps_another():
    logits = np.array([[np.nan, 0.0, 1.0], [np.nan, np.nan, np.nan]], np.float32)
    assert hits(logits, np.array([0, 0]), 1).tolist() == [0, 0]
    assert hits(logits, np.array([2, 1]), 1).tolist() == [0, 0]


def test_a_label_that_does_not_exist_is_counted_nowhere():
    labels = np.array([-1, 3, 1], np.int32)
    confusion = Confusion.of(np.array([0, 1, 2]), labels, np.ones(3), 3)
    np.testing.assert_array_equal(confusion.matrix, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    counts = ClassCounts.of(np.array([-1, 3, 2]), labels, np.ones(3), 3)
    assert (counts.hits.tolist(), counts.counts.tolist()) == ([0, 0, 0], [0, 1, 0])


def test_confusion_counts_pixels_too():
    predicted = np.array([[[0, 1], [1, 1]]])
    labels = np.array([[[0, 0], [1, 0]]])
    mask = np.array([[[1, 1], [1, 0]]])
    np.testing.assert_array_equal(Confusion.of(predicted, labels, mask, 2).matrix, [[1, 1], [0, 1]])


def test_mean_class_accuracy_by_hand():
    # 9 of 10, 1 of 2, and a class without examples: (0.9 + 0.5) / 2.
    assert mean_class_accuracy([9, 1, 0], [10, 2, 0]) == pytest.approx(0.7)
    assert np.isnan(mean_class_accuracy([0, 0], [0, 0]))


def test_average_ignores_masked_values_even_infinite_ones():
    values = np.array([1.0, np.nan, np.inf, 3.0], np.float32)
    average = base.Average.of(jnp.asarray(values), jnp.array([1.0, 0.0, 0.0, 1.0]))
    assert average.compute('loss') == {'loss': 2.0}


def test_an_average_of_nothing_is_nan():
    average = base.Average.of(jnp.zeros(2), jnp.zeros(2))
    assert np.isnan(average.compute('loss')['loss'])


def test_replicas_merge_by_psum():
    shape = (4, 16)
    logits = np.zeros((64, CLASSES), np.float32)
    labels, mask = np.zeros(64, np.int32), np.zeros(64, np.float32)
    logits[:EXAMPLES], labels[:EXAMPLES], mask[:EXAMPLES] = LOGITS, LABELS, 1

    def summed(*batch):
        return jax.lax.psum(states(*batch), 'devices')

    split = (logits.reshape(*shape, CLASSES), labels.reshape(shape), mask.reshape(shape))
    total = jax.tree.map(lambda x: x[0], jax.vmap(summed, axis_name='devices')(*split))
    np.testing.assert_array_equal(
        total['confusion'].matrix,
        sklearn_metrics.confusion_matrix(LABELS, PREDICTED, labels=np.arange(CLASSES)),
    )
    assert float(total['accuracy'].count) == EXAMPLES

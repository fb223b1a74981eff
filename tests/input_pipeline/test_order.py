"""The order against Grain's own pipeline and against the laws of a shuffle."""

import grain
import numpy as np
import pytest

from input_pipeline.order import index_batch, process_rows


def _positions(n, seed, batch_size, steps):
    return np.concatenate([index_batch(n, seed, batch_size, step) for step in range(steps)])


def test_is_grains_shuffle_repeat_batch():
    dataset = grain.MapDataset.range(37).seed(5).shuffle().repeat(None).batch(8)
    for step in (0, 3, 4, 5, 20):
        np.testing.assert_array_equal(index_batch(37, 5, 8, step), dataset[step])


def test_every_epoch_holds_each_example_once_and_differs_from_the_last():
    n, batch_size = 23, 7
    order = _positions(n, 1, batch_size, steps=12)
    epochs = order[: 3 * n].reshape(3, n)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    assert not (epochs[0] == epochs[1]).all()
    assert not (epochs[1] == epochs[2]).all()


def test_does_not_depend_on_the_batch_size():
    np.testing.assert_array_equal(_positions(23, 1, 4, steps=14), _positions(23, 1, 7, steps=8))


def test_seeds_differ_also_shifted_by_an_epoch():
    n = 50
    first, second = _positions(n, 0, n, 2), _positions(n, 1, n, 2)
    assert not (first == second).all()
    assert not (first[n:] == second[:n]).all()


def test_a_batch_may_be_larger_than_the_set():
    batch = index_batch(3, 0, 8, 1)
    assert batch.dtype == np.int32
    np.testing.assert_array_equal(np.bincount(_positions(3, 0, 8, 3), minlength=3), [8, 8, 8])


def test_far_positions_are_within_the_set():
    batch = index_batch(1000, 0, 512, 10**9)
    assert batch.min() >= 0
    assert batch.max() < 1000


@pytest.mark.parametrize('arguments', [(0, 0, 1, 0), (5, 0, 0, 0), (5, 0, 1, -1), (5, -1, 1, 0), (5, 2**32, 1, 0)])
def test_refuses(arguments):
    with pytest.raises(ValueError, match=r'must lie in|needs n'):
        index_batch(*arguments)


def test_processes_share_a_batch_without_overlap():
    rows = [row for p in range(3) for row in process_rows(12, p, 3)]
    assert rows == list(range(12))
    with pytest.raises(ValueError, match='batch_size 10 must be a multiple of the 3 processes'):
        process_rows(10, 0, 3)
    with pytest.raises(ValueError, match=r'process_index 3 is outside 0\.\.2'):
        process_rows(12, 3, 3)


def test_the_order_stays_what_it_was():
    """Recorded with Grain 0.2.18: a change would break the resuming of every run begun before it."""
    np.testing.assert_array_equal(index_batch(37, 5, 8, 0), [12, 9, 25, 15, 31, 0, 27, 21])
    np.testing.assert_array_equal(index_batch(37, 5, 8, 7), [2, 3, 20, 16, 5, 29, 35, 36])

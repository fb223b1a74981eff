"""Fixed-size sampling: numbers, places, chances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import roi_sampling

draw = jax.jit(roi_sampling.sample, static_argnames=('count', 'positive_share'))


@pytest.mark.parametrize(
    ('positives', 'negatives', 'wanted'),
    [(20, 70, (8, 24)), (3, 70, (3, 29)), (20, 10, (8, 10)), (0, 70, (0, 32)), (40, 0, (8, 0)), (0, 0, (0, 0))],
)
def test_numbers(positives, negatives, wanted):
    rng = np.random.default_rng(0)
    label = np.repeat([1, 0, -1], [positives, negatives, 100 - positives - negatives])
    label = np.stack([rng.permutation(label) for _ in range(3)]).astype(np.int32)
    index, drawn = map(np.asarray, draw(jax.random.key(0), jnp.arange(3), label, count=32, positive_share=0.25))
    assert index.shape == drawn.shape == (3, 32)
    for b in range(3):
        assert ((drawn[b] == 1).sum(), (drawn[b] == 0).sum()) == wanted
        real = drawn[b] >= 0
        # Each says what it is, none is there twice, and missing ones stand at the end.
        np.testing.assert_array_equal(label[b, index[b, real]], drawn[b, real])
        assert len(set(index[b, real])) == real.sum() == sum(wanted)
        assert np.all(index[b, ~real] == 0)
        assert np.all(real[: sum(wanted)])


def test_fewer_candidates_than_places():
    label = jnp.int32([[1, 0, -1, 1, 0]])
    index, drawn = draw(jax.random.key(0), jnp.arange(1), label, count=16, positive_share=0.5)
    assert sorted(np.asarray(index)[0, :4]) == [0, 1, 3, 4]
    np.testing.assert_array_equal(drawn[0], [1, 1, 0, 0] + [-1] * 12)
    none = draw(jax.random.key(0), jnp.arange(2), jnp.zeros((2, 0), jnp.int32), count=4, positive_share=0.5)
    np.testing.assert_array_equal(none.label, np.full((2, 4), -1))


def test_every_candidate_is_as_likely():
    # 4,000 examples draw 2 of 5 positive and 2 of 10 negative ones: each expected 1600 and 800 times.
    label = jnp.tile(jnp.int32([1] * 5 + [0] * 10 + [-1] * 5), (4000, 1))
    index, _ = draw(jax.random.key(1), jnp.arange(4000), label, count=4, positive_share=0.5)
    counts = np.bincount(np.asarray(index).ravel(), minlength=20)
    # Five standard deviations: sqrt(4000 * 0.4 * 0.6) = 31, sqrt(4000 * 0.2 * 0.8) = 25.
    assert np.abs(counts[:5] - 1600).max() < 155
    assert np.abs(counts[5:15] - 800).max() < 127
    assert counts[15:].sum() == 0


def test_an_example_draws_the_same_in_any_batch():
    label = jnp.asarray(np.random.default_rng(0).integers(-1, 2, (6, 40)), jnp.int32)
    key, rows = jax.random.key(2), jnp.arange(6)
    together = draw(key, rows, label, count=8, positive_share=0.5)
    part = draw(key, rows[3:5], label[3:5], count=8, positive_share=0.5)
    np.testing.assert_array_equal(together.index[3:5], part.index)
    assert np.any(np.asarray(together.index) != np.asarray(draw(key, rows + 6, label, count=8, positive_share=0.5)[0]))


def test_senseless_numbers_are_refused():
    with pytest.raises(ValueError, match='cannot draw 4 candidates of which 2 are positive'):
        roi_sampling.sample(jax.random.key(0), jnp.arange(1), jnp.zeros((1, 3), int), count=4, positive_share=2)


def test_a_batch_is_filled_from_all_of_its_images():
    # All positive candidates are in the second image, and it has few others.
    label = np.zeros((3, 50), np.int32)
    label[1, :20] = 1
    label[1, 20:] = -1
    share = {'count': 32, 'positive_share': 0.25}
    together = jax.jit(lambda key: roi_sampling.sample_together(key, jnp.arange(3), label, **share))
    index, drawn = map(np.asarray, together(jax.random.key(0)))
    np.testing.assert_array_equal(drawn, [1] * 8 + [0] * 24)
    assert len(set(index)) == 32
    np.testing.assert_array_equal(label.ravel()[index], drawn)
    assert set(index[:8] // 50) == {1}
    assert set(index[8:] // 50) == {0, 2}
    # Over many draws each of the 100 background candidates is as likely: 24 of 100, 400 times, five deviations.
    counts = sum(np.bincount(np.asarray(together(jax.random.key(k)).index)[8:], minlength=150) for k in range(400))
    assert np.abs(counts[label.ravel() == 0] - 96).max() < 5 * np.sqrt(400 * 0.24 * 0.76)

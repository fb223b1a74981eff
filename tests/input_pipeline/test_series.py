"""Series as examples: by hand on two short subjects, and the embedded panel against its own file."""

import numpy as np
import pytest

from input_pipeline import datasets, ready, series, sources
from input_pipeline.series import SeriesSource
from input_pipeline.series_panel import AGGREGATES, Panel, fertility
from input_pipeline.series_windows import Window

# Two subjects of 6 and 5 values, the second two years later.
PANEL = Panel(
    'own', ('a', 'b'), (np.arange(2000, 2006), np.arange(2002, 2007)),
    (np.array([1.0, 2, 4, 7, 11, 16]), np.array([50.0, 40, 40, 20, 20])),
)  # fmt: skip


def source(past=2, horizon=1):
    return SeriesSource.of(PANEL, past, horizon)


def test_every_example_in_order():
    s = source()
    assert [s.example_id(i) for i in range(len(s))] == [
        'a@2001', 'a@2002', 'a@2003', 'a@2004', 'b@2003', 'b@2004', 'b@2005',
    ]  # fmt: skip
    assert s.arrays['past'][..., 0].tolist() == [[1, 2], [2, 4], [4, 7], [7, 11], [50, 40], [40, 40], [40, 20]]
    assert s.arrays['future'].tolist() == [[4], [7], [11], [16], [40], [20], [20]]
    assert s.arrays['subject'].tolist() == [0, 0, 0, 0, 1, 1, 1]
    for i in range(len(s)):
        example = s.read(i)
        assert all(np.array_equal(example[name], s.arrays[name][i]) for name in s.arrays)
    curve = s.curve(4)
    assert (curve.name, curve.past_times.tolist(), curve.times.tolist(), curve.values.tolist()) == (
        'b', [2002, 2003], [2004], [40.0],
    )  # fmt: skip


def test_what_examples_see_and_forecast():
    s = source()
    two = s.select([1, 5])  # a reads 2001, 2002 and forecasts 2003; b reads 2003, 2004 and forecasts 2005
    ids = np.array(PANEL.ids())
    assert ids[two.seen()].tolist() == ['a@2001', 'a@2002', 'a@2003', 'b@2003', 'b@2004', 'b@2005']
    assert ids[two.forecast()].tolist() == ['a@2003', 'b@2005']
    mean, step = two.statistics()
    np.testing.assert_allclose(mean, [(2 + 4 + 7) / 3, (40 + 40 + 20) / 3])
    np.testing.assert_allclose(step, [(2 + 3) / 2, (0 + 20) / 2])
    assert s.select([0]).statistics()[1].tolist() == [1.5, 0.0]


def test_statistics_do_not_know_what_comes_later():
    """Values after a part's last one may be anything."""
    changed = Panel('own', PANEL.subjects, PANEL.times, (np.array([1.0, 2, 4, 7, -1e6, 1e9]), PANEL.values[1]))
    part = [0, 1, 4]
    for a, b in zip(source().select(part).statistics(), SeriesSource.of(changed, 2, 1).select(part).statistics(),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a, b)


def test_examples_of_windows():
    s = source()
    assert s.inside([Window(0, 0, 4), Window(1, 1, 4)]).tolist() == [0, 1, 5]
    assert s.forecasting([Window(0, 3, 5)]).tolist() == [1, 2]
    assert s.inside([Window(1, 0, 2)]).tolist() == []
    with pytest.raises(ValueError, match='two windows of subject 0'):
        s.inside([Window(0, 0, 2), Window(0, 2, 6)])


def test_a_split_by_time_parts_the_clock():
    s = source(2, 1)
    # Seven years, 2000 to 2006: the first four fifths end before 2005.
    train, test = s.part('train'), s.part('test')
    assert [train.example_id(i) for i in range(len(train))] == ['a@2001', 'a@2002', 'a@2003', 'b@2003']
    assert [test.example_id(i) for i in range(len(test))] == ['a@2004', 'b@2004', 'b@2005']
    assert not (train.seen() & test.forecast()).any()
    with pytest.raises(ValueError, match=r"'train\[:50%\]' is a slice; series are divided by time: write train"):
        s.part('train[:50%]')
    with pytest.raises(ValueError, match=r"no split 'tset' .did you mean 'test'"):
        s.part('tset')
    with pytest.raises(ValueError, match="subject 'b' has too few values before 2005"):
        source(2, 2).part('train')


def test_short_subjects_and_sizes_are_refused():
    with pytest.raises(ValueError, match="subject 'b' has 5 values; 3 past ones and a horizon of 3 need 6"):
        source(3, 3)
    with pytest.raises(ValueError, match='both are 1 or more'):
        source(0, 1)
    with pytest.raises(ValueError, match='3 subjects of own: it has 2'):
        PANEL.only(3)
    assert len(PANEL.only(1).subjects) == 1


def test_a_fingerprint_is_of_values_and_choice():
    assert source().fingerprint() == source().fingerprint()
    other = Panel('own', PANEL.subjects, PANEL.times, (PANEL.values[0] + 1e-9, PANEL.values[1]))
    found = {source().fingerprint(), SeriesSource.of(other, 2, 1).fingerprint(), source(1, 1).fingerprint()}
    assert len(found | {source().select([0, 1]).fingerprint()}) == 4


def test_fertility_is_the_files_countries_without_gaps():
    panel = fertility()
    assert panel.note.startswith('188 countries, 1960 to 2011; left out of 219 rows: 5 sums over countries, 8 without')
    assert panel.note.endswith('a value, 18 with gaps')
    assert not set(panel.subjects) & {*AGGREGATES, 'Singapore', 'Luxembourg', 'Monaco'}
    # Three values read off the file by eye.
    for name, year, value in (('Aruba', 1960, 4.82), ('Zimbabwe', 2011, 3.643), ('United Kingdom', 1990, 1.83)):
        assert panel.values[panel.subjects.index(name)][year - 1960] == value
    assert all(len(values) == 52 and np.isfinite(values).all() for values in panel.values)
    source = sources.load('fertility', 'test')
    assert (len(source), source.info.num_classes) == (188 * 7, 5)
    assert series.is_series('fertility')
    assert series.is_series('series:x.csv')
    assert not series.is_series('mnist_5k')


def test_series_are_refused_as_images_and_images_as_series():
    with pytest.raises(ValueError, match=r'fertility has series, not one label an image; mnist_5k'):
        datasets.info('fertility').require('labels')
    with pytest.raises(ValueError, match=r'mnist_5k has labels, not series; fertility and series:FILE do'):
        series.load('mnist_5k', 'train')
    with pytest.raises(ValueError, match='no class of an example'):
        _ = source().labels


def test_batches_hold_a_parts_examples_by_their_place_in_the_whole():
    s = source()
    (first, second) = ready.train_parts(s, [np.array([0, 2]), np.array([4, 5, 6])], [0, 0], batch_size=2)
    seen = [next(batches) for batches in (second.batches(0),) for _ in range(3)]
    assert sorted(np.concatenate([b['index'] for b in seen]).tolist()) == [4, 4, 5, 5, 6, 6]
    assert set(next(first.batches(7))['index'].tolist()) == {0, 2}
    (scored,) = ready.evaluation_parts(s, [np.array([1, 3, 6])], batch_size=2)
    batches = list(scored)
    assert [b['index'].tolist() for b in batches] == [[1, 3], [6, 1]]
    assert [b['mask'].tolist() for b in batches] == [[1, 1], [1, 0]]
    assert scored.arrays is s.arrays
    assert ready.size_in_bytes(s) == 7 * (2 + 1 + 1) * 4

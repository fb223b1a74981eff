"""Folds of time series: by hand on small series, and the arrow of time as a law over random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.series_folds import SeriesFold, Window, assert_forward, ids_of, split_series

TEN = {'a': range(10), 'b': range(10)}


def parts(folds):
    return [tuple([tuple(w) for w in part] for part in (f.train, f.validation, f.test)) for f in folds]


def test_the_second_half_by_hand():
    # Ten values: five to test, five // 4 = 1 to validate, four to train.
    assert parts(split_series(TEN, scheme='second_half')) == [
        ([(0, 0, 4)], [(0, 4, 5)], [(0, 5, 10)]),
        ([(1, 0, 4)], [(1, 4, 5)], [(1, 5, 10)]),
    ]


def test_forward_chaining_by_hand():
    # Three windows of 10 // 5 = 2; validation two; the first trains on 10 - 6 - 2.
    own = split_series({'a': range(10)}, count=3)
    assert parts(own) == [
        ([(0, 0, 2)], [(0, 2, 4)], [(0, 4, 6)]),
        ([(0, 0, 4)], [(0, 4, 6)], [(0, 6, 8)]),
        ([(0, 0, 6)], [(0, 6, 8)], [(0, 8, 10)]),
    ]
    assert [f.name for f in own] == ['subject_0_fold_0', 'subject_0_fold_1', 'subject_0_fold_2']
    sizes = {'count': 2, 'test_size': 1, 'validation_size': 2, 'train_size': 3, 'gap': 1}
    rolling = split_series({'a': range(10)}, window='rolling', **sizes)
    assert parts(rolling) == [
        ([(0, 1, 4)], [(0, 5, 7)], [(0, 8, 9)]),
        ([(0, 2, 5)], [(0, 6, 8)], [(0, 9, 10)]),
    ]


def test_the_population_informs_until_the_tests_start():
    folds = split_series(TEN, count=2, test_size=1, validation_size=2, information='population_informed')
    # One clock: the same models test both subjects.
    assert parts(folds) == [
        ([(0, 0, 6), (1, 0, 6)], [(0, 6, 8), (1, 6, 8)], [(0, 8, 9), (1, 8, 9)]),
        ([(0, 0, 7), (1, 0, 7)], [(0, 7, 9), (1, 7, 9)], [(0, 9, 10), (1, 9, 10)]),
    ]
    assert [f.name for f in folds] == ['fold_0', 'fold_1']
    rolling = split_series(TEN, count=2, test_size=1, validation_size=2, train_size=2, window='rolling',
                           information='population_informed')  # fmt: skip
    assert parts(rolling)[1] == ([(0, 5, 7), (1, 5, 7)], [(0, 7, 9), (1, 7, 9)], [(0, 9, 10), (1, 9, 10)])


def test_other_clocks_are_cut_at_the_tested_ones_times():
    times = {'a': [2000, 2002, 2004, 2006], 'late': [2003, 2004, 2005, 2006, 2007], 'after': [2010, 2011, 2012]}
    folds = split_series(times, count=1, test_size=1, validation_size=1, information='population_informed')
    # a tests 2006, validates from 2004 to before 2006, trains before 2004; 'after' has nothing before 2006.
    assert parts(folds)[0] == ([(0, 0, 2), (1, 0, 1)], [(0, 2, 3), (1, 1, 3)], [(0, 3, 4)])
    # 'after' tests 2012, validates 2011: all others train, and none has a value of 2011.
    assert parts(folds)[2] == ([(0, 0, 4), (1, 0, 5), (2, 0, 1)], [(2, 1, 2)], [(2, 2, 3)])
    assert [f.name for f in folds] == ['subject_0_fold_0', 'subject_1_fold_0', 'subject_2_fold_0']
    assert ids_of(folds[0].validation, times) == ['a@2004', 'late@2004', 'late@2005']


def test_the_looser_variant_trains_on_all_of_the_others():
    folds = split_series(TEN, scheme='second_half', information='population_informed', others='any_time')
    assert parts(folds) == [
        ([(0, 0, 4), (1, 0, 10)], [(0, 4, 5)], [(0, 5, 10)]),
        ([(0, 0, 10), (1, 0, 4)], [(1, 4, 5)], [(1, 5, 10)]),
    ]
    with pytest.raises(AssertionError, match='training of subject 1 reaches into the time of the test'):
        assert_forward(folds[0]._replace(others='before'), TEN)


@pytest.mark.parametrize(
    ('train', 'validation', 'message'),
    [
        (Window(0, 0, 7), Window(0, 4, 6), 'training of subject 0 reaches into the time of the test'),
        (Window(0, 0, 4), Window(0, 4, 7), 'validation of subject 0 reaches into the time of the test'),
        (Window(0, 0, 5), Window(0, 4, 6), 'training of subject 0 reaches into its validation'),
        (Window(1, 0, 7), Window(0, 4, 6), 'training of subject 1 reaches into the time of the test'),
        (Window(0, 0, 4), Window(1, 4, 7), 'validation of subject 1 reaches into the time of the test'),
    ],
)
def test_the_assertion_fails_where_time_runs_backwards(train, validation, message):
    with pytest.raises(AssertionError, match=message):
        assert_forward(SeriesFold('f', 0, (train,), (validation,), (Window(0, 6, 8),)), TEN)
    own_only = SeriesFold('f', 0, (Window(0, 0, 4),), (Window(0, 4, 6),), (Window(0, 6, 8),))
    assert_forward(own_only, TEN)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 40), min_size=14, max_size=30), min_size=1, max_size=4),
    st.sampled_from(['second_half', 'forward_chaining']),
    st.sampled_from(['regular', 'population_informed']),
    st.sampled_from(['expanding', 'rolling']),
    st.sampled_from(['before', 'any_time']),
    st.integers(1, 4),
    st.integers(0, 1),
)
def test_nothing_learns_from_its_future(sets, scheme, information, window, others, count, gap):
    times = {f's{k}': np.array(sorted(s)) for k, s in enumerate(sets)}
    options = {'scheme': scheme, 'information': information, 'window': window, 'others': others}
    folds = split_series(times, count=count, gap=gap, **options)

    def clock(windows, subject=None):
        chosen = [w for w in windows if subject in (None, w.subject)]
        return [int(t) for w in chosen for t in times[f's{w.subject}'][w.start : w.stop]]

    tested = []
    for fold in folds:
        everything = fold.train + fold.validation + fold.test
        assert all(0 <= w.start < w.stop <= len(times[f's{w.subject}']) for w in everything)
        for w in fold.test:
            start = min(clock([w]))
            assert max(clock(fold.train, w.subject)) < min(clock(fold.validation, w.subject))
            assert max(clock(fold.validation, w.subject)) < start
            if others == 'before' or information == 'regular':
                assert max(clock(fold.train + fold.validation)) < start
            if information == 'regular':
                assert {v.subject for v in fold.train + fold.validation} == {w.subject}
            tested.append((w.subject, w.start, w.stop))
    # Every subject is tested in every window, once, and the windows do not overlap.
    assert len(tested) == len(sets) * (1 if scheme == 'second_half' else count)
    assert len({(s, i) for s, start, stop in tested for i in range(start, stop)}) == sum(b - a for _, a, b in tested)
    assert len({fold.name for fold in folds}) == len(folds)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'scheme': 'forward_chain'}, r"unknown scheme 'forward_chain' \(did you mean 'forward_chaining'\?\)"),
        ({'information': 'population'}, "did you mean 'population_informed'"),
        ({'window': 'x'}, 'unknown window'),
        ({'others': 'any'}, "did you mean 'any_time'"),
        ({'count': 0}, 'one or more'),
        ({'gap': -1}, 'no negative size'),
        ({'train_size': 3}, 'if rolling only'),
        ({'count': 9}, "subject 'a' has 10 values; 9 test windows of 1 and what comes before need 11"),
        ({'window': 'rolling', 'train_size': 5}, "subject 'a' has 10 values; 5 test windows of 1 .* need 11"),
        ({'times': {'a': [1, 3, 3]}}, "times of subject 'a' do not increase at value 2: 3"),
        ({'times': {'a': ['x']}}, 'not numbers or dates'),
    ],
)
def test_a_mistake_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        split_series(**{'times': TEN, **options})
    assert '\n' not in str(error.value)
    # It fits with one value less.
    assert len(split_series(TEN, window='rolling', train_size=4)) == 10


def test_dates_are_times():
    days = np.arange('2024-01-01', '2024-01-11', dtype='datetime64[D]')
    fold = split_series({'ann': days}, scheme='second_half')[0]
    assert ids_of(fold.test, {'ann': days})[0] == 'ann@2024-01-06'

"""Folds: laws that every division keeps, windows by hand, and one line for each mistake."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline import folds
from input_pipeline.datasets import DatasetInfo
from input_pipeline.source import ArraySource

GROUPED = ('grouped', 'stratified_grouped', 'leave_one_group_out')
SHUFFLED = ('plain', 'stratified', 'grouped', 'stratified_grouped')
LABELS = np.repeat([0, 1, 2], [40, 25, 10])[np.random.default_rng(3).permutation(75)]
GROUPS = np.random.default_rng(4).integers(0, 11, 75)


def make(kind, **options):
    options = {'count': 5, 'repeats': 2 if kind == 'repeated' else 1, 'seed': 7} | options
    return folds.split(LABELS, kind=kind, groups=GROUPS if kind in GROUPED else None, **options)


def same(a, b):
    return len(a) == len(b) and all(
        x[:3] == y[:3] and np.array_equal(x.train, y.train) and np.array_equal(x.test, y.test)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize('kind', [k for k in folds.KINDS if k not in ('rolling', 'expanding')])
def test_each_repeat_tests_every_example_once_and_trains_on_the_rest(kind):
    made = make(kind)
    for repeat in {fold.repeat for fold in made}:
        parts = [fold for fold in made if fold.repeat == repeat]
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in parts])), np.arange(75))
        for fold in parts:
            np.testing.assert_array_equal(fold.train, np.setdiff1d(np.arange(75), fold.test))
    assert len({fold.name for fold in made}) == len(made)
    assert [(f.repeat, f.index) for f in made] == sorted((f.repeat, f.index) for f in made)


@pytest.mark.parametrize('kind', ['stratified', 'repeated'])
def test_stratified_parts_have_each_classes_share(kind):
    for fold in make(kind):
        # 40, 25 and 10 of a class in five parts.
        assert np.bincount(LABELS[fold.test]).tolist() == [8, 5, 2]


@pytest.mark.parametrize('kind', GROUPED)
def test_no_group_is_on_both_sides(kind):
    for fold in make(kind):
        assert not np.intersect1d(GROUPS[fold.train], GROUPS[fold.test]).size


def test_stratified_groups_are_as_even_as_the_groups_allow():
    labels, groups = np.tile([0, 0, 0, 1], 20), np.repeat(np.arange(20), 4)
    for fold in folds.split(labels, kind='stratified_grouped', count=5, groups=groups):
        assert np.bincount(labels[fold.test]).tolist() == [12, 4]


def test_a_group_is_a_fold_of_its_own():
    names = np.array(['Ann B.', 'c/d', 'Ann B.', 'ä'])
    made = folds.split(np.zeros(4, int), kind='leave_one_group_out', count=5, groups=names)
    assert [(fold.name, fold.test.tolist()) for fold in made] == [
        ('fold_0_Ann_B.', [0, 2]),
        ('fold_1_c_d', [1]),
        ('fold_2_ä', [3]),
    ]


@pytest.mark.parametrize('kind', SHUFFLED)
def test_the_seed_alone_decides(kind):
    np.random.seed(0)  # noqa: NPY002 (the global state is what must not matter)
    first, state = make(kind), np.random.get_state()[1].tolist()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert same(first, make(kind))
    assert not same(first, make(kind, seed=8))
    np.random.seed(0)  # noqa: NPY002
    make(kind)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_more_repeats_leave_the_first_ones_and_differ():
    two, four = make('repeated', repeats=2), make('repeated', repeats=4)
    assert same(two, four[:10])
    assert len({tuple(fold.test) for fold in four}) == 20


def test_windows_by_hand():
    # Twelve times, three windows of 12 // 4; scikit-learn gives what is left over to the first training part.
    expanding = folds.split(np.zeros(12, int), kind='expanding', count=3)
    assert [(f.train.tolist(), f.test.tolist()) for f in expanding] == [
        ([0, 1, 2], [3, 4, 5]),
        ([0, 1, 2, 3, 4, 5], [6, 7, 8]),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11]),
    ]
    rolling = folds.split(np.zeros(12, int), kind='rolling', count=3, gap=1)
    assert [(f.train.tolist(), f.test.tolist()) for f in rolling] == [
        ([0, 1], [3, 4, 5]),
        ([3, 4], [6, 7, 8]),
        ([6, 7], [9, 10, 11]),
    ]


def test_times_order_the_windows_and_equal_ones_stay_together():
    times = np.array(['10', '9', '9', '2', '2', '10', '1'])
    made = folds.split(np.zeros(7, int), kind='expanding', count=3, groups=times)
    assert [(f.train.tolist(), f.test.tolist()) for f in made] == [
        ([6], [3, 4]),
        ([3, 4, 6], [1, 2]),
        ([1, 2, 3, 4, 6], [0, 5]),
    ]
    dates = np.array(['2024-03-01', '2023-12-31', '2024-01-15'])
    assert [f.test.tolist() for f in folds.split(dates, kind='rolling', count=2, groups=dates)] == [[2], [0]]


INFO = DatasetInfo('pets', 2, {'train': 'train'}, 'train', 'none', class_names=('cat', 'husky'))
IMAGES = np.zeros((9, 2, 2, 3), np.uint8)
FEW = ArraySource(INFO, 'train', IMAGES, np.repeat([0, 1], [7, 2]), [f'{i}' for i in range(9)])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kind': 'stratifed'}, r"unknown folds.kind 'stratifed' \(did you mean 'stratified'\?\)"),
        ({'kind': 'plain', 'count': 1}, 'folds.count=1: cross-validation needs 2 folds or more'),
        ({'kind': 'plain', 'count': 76}, 'folds.count=76 is more than the 75 examples'),
        ({'kind': 'stratified', 'count': 11}, '11 folds need as many examples of each class, and class 2 has 10'),
        ({'kind': 'repeated'}, 'folds.repeats=1: write 2 or more'),
        ({'kind': 'plain', 'repeats': 0}, 'folds.repeats=0: write 1 or more'),
        ({'kind': 'expanding', 'repeats': 2}, 'shuffles nothing'),
        ({'kind': 'plain', 'gap': 1}, 'a gap of 1'),
        ({'kind': 'grouped'}, "folds.kind=grouped needs folds.groups: 'file_prefix:REGEX'"),
        ({'kind': 'stratified', 'groups': GROUPS}, 'write folds.kind=stratified_grouped, or no groups'),
        ({'kind': 'plain', 'groups': GROUPS}, 'write folds.kind=grouped, or no groups'),
        ({'kind': 'grouped', 'groups': GROUPS[1:]}, '74 groups for 75 examples'),
        ({'kind': 'grouped', 'groups': GROUPS % 3}, '5 folds need as many groups, and folds.groups finds 3'),
        ({'kind': 'leave_one_group_out', 'groups': GROUPS * 0}, '2 folds need as many groups, .* finds 1'),
        ({'kind': 'expanding', 'count': 75}, '75 windows and a gap of 0 need more than 75 times'),
        ({'kind': 'rolling', 'groups': np.full(75, np.nan)}, 'example 0 has no time'),
    ],
)
def test_a_mistake_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        folds.split(LABELS, **{'count': 5, **options})
    assert '\n' not in str(error.value)


def test_the_smallest_class_is_named():
    with pytest.raises(ValueError, match=r"'husky' \(class 1\) has 2; lower folds.count"):
        folds.split(FEW, kind='stratified', count=3)
    with pytest.raises(ValueError, match='one class for each example'):
        folds.split(np.zeros((9, 2)), kind='stratified', count=3)


def test_kinds_that_do_not_stratify_need_no_labels():
    class Boxes(list):
        @property
        def labels(self):
            raise AssertionError('looked at')

    assert len(folds.split(Boxes(range(6)), kind='plain', count=3)) == 3
    fold = folds.split(Boxes(range(6)), kind='grouped', count=3, groups=[0, 0, 1, 1, 2, 2])[0]
    assert len(folds.inner(fold, Boxes(range(6)), count=2, kind='grouped', groups=[0, 0, 1, 1, 2, 2])) == 2


@pytest.mark.parametrize('kind', folds.KINDS)
@pytest.mark.parametrize('part', [{'fraction': 0.2}, {'count': 2}], ids=['fraction', 'count'])
def test_inner_parts_divide_the_training_part_by_the_same_rule(kind, part):
    groups = GROUPS if kind in GROUPED else None
    by_time = kind in ('rolling', 'expanding')
    for fold in make(kind, count=3):
        for division in folds.inner(fold, LABELS, kind=kind, groups=groups, seed=2, **part):
            assert len(division.train)
            assert len(division.test)
            both = np.concatenate([division.train, division.test])
            assert np.isin(both, fold.train).all()
            assert len(np.unique(both)) == len(both)
            assert by_time or 'count' in part or len(both) == len(fold.train)
            if groups is not None:
                assert not np.intersect1d(groups[division.train], groups[division.test]).size
            if by_time:
                assert division.train.max() < division.test.min()


def test_inner_parts_are_the_share_asked_for_and_differ_by_fold():
    a, b = make('stratified')[:2]
    # A fifth of 32, 20 and 8 training examples of a class: 12 in all.
    held = folds.inner(a, LABELS, fraction=0.2)[0].test
    assert len(held) == 12
    assert np.bincount(LABELS[held]).tolist() in ([7, 4, 1], [6, 4, 2])
    as_if = folds.Fold('x', b.repeat, b.index, a.train, a.test)
    assert set(held) != set(folds.inner(as_if, LABELS, fraction=0.2)[0].test)
    assert len(folds.inner(a, LABELS, fraction=0.35, kind='plain')[0].test) == 21


def test_grouped_shares_hold_whole_groups_out():
    groups, labels = np.repeat(np.arange(20), 5), np.tile([0, 1, 0, 1, 0], 20)
    fold = folds.split(labels, kind='stratified_grouped', count=2, groups=groups)[0]
    for fraction, count in ((0.1, 1), (0.2, 2), (0.5, 5), (0.01, 1), (0.99, 9)):
        held = folds.inner(fold, labels, fraction=fraction, kind='stratified_grouped', groups=groups)[0].test
        assert len(np.unique(groups[held])) == count
        assert len(held) == 5 * count


def test_the_latest_is_held_out_after_a_gap():
    fold = folds.split(np.zeros(22, int), kind='expanding', count=1 + 1)[1]
    held = folds.inner(fold, np.zeros(22, int), fraction=0.2, kind='expanding', gap=2)[0]
    assert (held.train.tolist(), held.test.tolist()) == (list(range(10)), [12, 13, 14])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'either a fraction'),
        ({'fraction': 0.1, 'count': 3}, 'either a fraction'),
        ({'fraction': 1.5}, 'not between 0 and 1'),
        ({'count': 9}, '9 folds need as many examples of each class, and class 2 has 8'),
        ({'fraction': 0.2, 'kind': 'grouped'}, 'needs folds.groups'),
        ({'fraction': 0.001}, 'cannot be held out'),
        ({'fraction': 0.2, 'kind': 'rolling', 'gap': 99}, 'inner: empty training part'),
        ({'fraction': 0.2, 'kind': 'roling'}, 'did you mean'),
    ],
)
def test_a_mistake_inside_is_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        folds.inner(make('stratified')[0], LABELS, **options)


def test_classes_that_a_part_lacks_are_noted():
    labels = np.array([0, 0, 1, 1, 2, 2])
    made = folds.split(labels, kind='leave_one_group_out', count=2, groups=[0, 1, 0, 1, 2, 2])
    assert folds.notes(made, labels) == [
        'fold_0_0 tests on none of 1 classes, the first 2',
        'fold_1_1 tests on none of 1 classes, the first 2',
        'fold_2_2 tests on 1 classes that it does not train on, the first 2',
        'fold_2_2 tests on none of 2 classes, the first 0',
    ]
    assert folds.notes(folds.split(labels, kind='stratified', count=2), labels) == []


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=12, max_size=40),
    st.integers(2, 4),
    st.integers(0, 2**40),
    st.sampled_from(['plain', 'grouped', 'stratified_grouped']),
)
def test_whatever_the_groups_no_inner_part_meets_the_test_part(groups, count, seed, kind):
    groups = np.array([0, 1, 2, 3, *groups])
    labels = np.arange(len(groups)) % 2
    given_groups = None if kind == 'plain' else groups
    made = folds.split(labels, kind=kind, count=count, groups=given_groups, seed=seed)
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(len(groups)))
    for fold in made:
        if kind != 'plain' and len(np.unique(groups[fold.train])) < 2:
            continue
        held = folds.inner(fold, labels, fraction=0.3, kind=kind, groups=given_groups, seed=seed)[0]
        assert not np.intersect1d(np.concatenate([held.train, held.test]), fold.test).size
        assert kind == 'plain' or not np.intersect1d(groups[held.test], groups[held.train]).size

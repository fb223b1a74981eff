"""The ledger, by breaking it: each leak that can be told to it is found and named."""

import json

import numpy as np
import pytest

from cnn.analysis.ledger import LeakError, Ledger

IDS = [f'photo_{k:02d}' for k in range(20)]


def nested():
    """Two outer folds of ten, in each two inner folds over the other ten, then a final fit and one look elsewhere."""
    ledger = Ledger(IDS)
    for k in range(2):
        test, train = range(10 * k, 10 * k + 10), np.arange(10 * (1 - k), 10 * (1 - k) + 10)
        for j in range(2):
            name = f'fold_{k}_inner_{j}'
            ledger.record(name, 'fit', train[5 * j : 5 * j + 4], within=f'fold_{k}')
            ledger.record(name, 'statistics', train[5 * j : 5 * j + 4], within=f'fold_{k}')
            ledger.record(name, 'early_stopping', train[5 * j + 4 : 5 * j + 5], within=f'fold_{k}')
            ledger.record(name, 'test', train[5 * (1 - j) : 5 * (1 - j) + 5], within=f'fold_{k}')
        ledger.record(f'fold_{k}', 'fit', [IDS[i] for i in train])
        ledger.record(f'fold_{k}', 'test', [IDS[i] for i in test])
    ledger.record('final', 'fit', IDS)
    ledger.record('final', 'test', ['elsewhere_0', 'elsewhere_1', 'elsewhere_2'])
    return ledger


def test_a_clean_run_says_what_was_checked():
    assert nested().statement(last='final') == (
        'Checked 3 folds and 4 folds within: none of 23 test examples is among those that its own fold was '
        'fitted on (4 to 20 a fold), stopped early by (1 a fold) or normalised by (4 a fold), and the test part of '
        'final was looked at last.'
    )
    flat = Ledger()
    flat.record('fold_0', 'fit', ['a', 'b'])
    assert flat.statement() == 'No fold was tested, so there was nothing to check.'
    flat.record('fold_0', 'test', ['c'])
    assert flat.statement() == (
        'Checked 1 fold: none of 1 test example is among those that its own fold was fitted on (2 a fold).'
    )


@pytest.mark.parametrize('role', ['fit', 'early_stopping', 'selection', 'statistics'])
def test_a_test_example_in_another_role_of_its_fold_is_named(role):
    ledger = nested()
    ledger.record('fold_1', role, [3, 14])
    part = role.replace('_', ' ')
    with pytest.raises(LeakError, match=f'1 test example of fold_1 in the {part} part of the same fold.* photo_14'):
        ledger.verify()
    with pytest.raises(LeakError):
        ledger.statement()


@pytest.mark.parametrize('role', ['fit', 'early_stopping', 'selection', 'statistics', 'test'])
def test_an_outer_test_example_in_any_role_of_an_inner_fold_is_named(role):
    ledger = nested()
    # Example 9 is of the outer test part; in the inner fold it plays one role only.
    ledger.record('fold_0_inner_1', role, [9], within='fold_0')
    with pytest.raises(LeakError, match=r'1 test example of fold_0 in the .* of fold_0_inner_1, within it, .*photo_09'):
        ledger.verify()


def test_leaks_are_seen_through_two_levels():
    ledger = nested()
    ledger.record('deep', 'selection', [9], within='fold_0_inner_1')
    with pytest.raises(LeakError, match='of deep, within it'):
        ledger.verify()


def test_inner_folds_are_checked_for_themselves():
    ledger = nested()
    ledger.record('fold_0_inner_0', 'fit', [15], within='fold_0')
    with pytest.raises(LeakError, match='1 test example of fold_0_inner_0 in the fit part of the same fold'):
        ledger.verify()


def test_the_other_folds_test_part_is_no_leak():
    ledger = nested()
    ledger.record('fold_0', 'selection', [15])
    ledger.verify()


def test_a_missing_record_is_no_clean_record():
    ledger = nested()
    ledger.record('fold_7', 'test', [1])
    with pytest.raises(LeakError, match='fold_7 was tested, and what it was fitted on is not recorded'):
        ledger.verify()
    ledger = nested()
    ledger.record('orphan', 'fit', [1], within='fold_8')
    with pytest.raises(LeakError, match='orphan is within fold_8, of which nothing is recorded'):
        ledger.verify()


def test_the_one_look_comes_last():
    ledger = nested()
    ledger.verify(last='final')
    ledger.record('final', 'test', ['elsewhere_1'])
    ledger.record('fold_0', 'fit', [12])
    ledger.verify(last='final')
    ledger.record('trial', 'fit', [12])
    ledger.verify()
    with pytest.raises(LeakError, match='the test part of final was to be looked at last, and trial as fit was'):
        ledger.verify(last='final')
    with pytest.raises(LeakError, match='and nothing was'):
        Ledger().verify(last='final')


def test_a_round_trip_keeps_order_roles_and_sets_once():
    ledger = nested()
    text = json.dumps(ledger.to_json())
    again = Ledger.from_json(text)
    assert again.to_json() == ledger.to_json() == json.loads(text)
    assert again.statement(last='final') == ledger.statement(last='final')
    # Fit and statistics of an inner fold are one set; four inner folds have fits, early stops and tests of their own.
    assert len(json.loads(text)['sets']) < len(json.loads(text)['records']) == 2 * (2 * 4 + 2) + 2
    assert again.roles_of('photo_03') == {
        'fold_0': ['test'], 'fold_1': ['fit'], 'fold_1_inner_0': ['fit', 'statistics'], 'fold_1_inner_1': ['test'],
        'final': ['fit'],
    }  # fmt: skip
    assert again.roles_of('nobody') == {}


@pytest.mark.parametrize(
    'text',
    [
        '{}',
        '[]',
        'x',
        '{"ids": ["a"], "sets": [], "records": [{"fold": "f"}]}',
        '{"ids": [], "sets": [[3]], "records": [{"fold": "f", "role": "fit", "within": "", "set": 0}]}',
    ],
)
def test_another_file_is_refused(text):
    with pytest.raises(ValueError, match='not a ledger'):
        Ledger.from_json(text)


def test_a_resumed_run_records_the_same_again():
    ledger = nested()
    before = ledger.to_json()
    ledger.record('fold_0', 'test', [0, 1])
    ledger.record('fold_0_inner_0', 'fit', [], within='fold_0')
    assert ledger.to_json() == before


def test_mistakes():
    ledger = Ledger(['a', 'b'])
    with pytest.raises(ValueError, match="unknown role 'validation'; there are fit"):
        ledger.record('f', 'validation', [0])
    with pytest.raises(ValueError, match=r'indices must lie in 0\.\.1'):
        ledger.record('f', 'fit', [2])
    ledger.record('g', 'fit', [0], within='f')
    for other in ('', 'h', 'g'):
        with pytest.raises(ValueError, match="fold 'g' cannot be within"):
            ledger.record('g', 'fit', [1], within=other)
    with pytest.raises(ValueError, match='two examples have one name'):
        Ledger(['a', 'a'])

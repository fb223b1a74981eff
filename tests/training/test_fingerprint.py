"""What counts as another run."""

import numpy as np

from cnn.training.fingerprint import differences, normalise


def test_nested_fields_are_joined_with_dots_and_ready_for_json():
    fields = {'model': {'depth': np.int64(20), 'blocks': (1, 2)}, 'lr': 0.1, 'data': None}
    assert normalise(fields) == {'model.depth': 20, 'model.blocks': [1, 2], 'lr': 0.1, 'data': None}


def test_every_difference_is_named_with_both_values():
    old = {'seed': 1, 'lr': 0.1, 'old': 'x', 'nan': float('nan')}
    new = {'seed': 1, 'lr': 0.2, 'new': True, 'nan': float('nan')}
    assert differences(old, new) == ['lr was 0.1, is 0.2', 'new was absent, is True', "old was 'x', is absent"]
    assert differences(old, old) == []


def test_types_count():
    assert differences({'a': 1}, {'a': True}) == ['a was 1, is True']


def test_free_keys_free_what_is_below_them_and_nothing_else():
    old, new = {'input.threads': 1, 'inputs': 1}, {'input.threads': 2, 'inputs': 2}
    assert differences(old, new, ['input']) == ['inputs was 1, is 2']
    assert differences(old, new, ['input.threads', 'inputs']) == []

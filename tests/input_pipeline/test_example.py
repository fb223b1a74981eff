"""The reader of records against the protocol buffer library, and on damaged bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.example import parse


def _message(**features):
    from tensorflow_datasets.proto import tf_example_pb2

    message = tf_example_pb2.Example()
    for name, value in features.items():
        feature = message.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif all(isinstance(v, int) for v in value):
            feature.int64_list.value.extend(value)
        else:
            feature.float_list.value.extend(value)
    return message.SerializeToString()


def test_is_what_was_written():
    found = parse(_message(image=b'\xff\xd8' + bytes(300), label=[7], numbers=[-1, 2**62, 0, 300], boxes=[0.5, -2.25]))
    assert found['image'] == b'\xff\xd8' + bytes(300)
    np.testing.assert_array_equal(found['label'], [7])
    np.testing.assert_array_equal(found['numbers'], [-1, 2**62, 0, 300])
    np.testing.assert_array_equal(found['boxes'], np.float32([0.5, -2.25]))
    assert found['boxes'].dtype == np.float32


def test_empty_lists_and_an_empty_record():
    found = parse(_message(none=[], empty=b''))
    assert len(found['none']) == 0
    assert found['empty'] == b''
    assert parse(b'') == {}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=9), st.one_of(
    st.binary(max_size=300), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5))))  # fmt: skip
def test_any_features(features):
    found = parse(_message(**features))
    assert found.keys() == features.keys()
    for name, value in features.items():
        assert (found[name] if isinstance(value, bytes) else found[name].tolist()) == value


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_damaged_bytes_raise_nothing_but_value_errors(data):
    for record in (data, _message(image=b'x' * 40, label=[3])[: len(data)] + data):
        try:
            parse(record)
        except ValueError:
            continue


def test_a_cut_record():
    whole = _message(image=b'x' * 200, label=[3])
    for keep in (1, 5, 100, len(whole) - 1):
        with pytest.raises(ValueError, match=r'a record (that ends|with a)'):
            parse(whole[:keep])

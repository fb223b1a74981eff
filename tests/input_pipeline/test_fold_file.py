"""`folds.json`: the same folds again by the examples' names in any order, or a line that names who is amiss."""

import json

import numpy as np
import pytest

from input_pipeline import folds

IDS = [f'class/{k:02d}.jpg' for k in range(12)]


@pytest.fixture
def saved(tmp_path):
    made = folds.split(np.arange(12) % 2, kind='repeated', count=3, repeats=2, seed=5)
    path = tmp_path / 'deep' / 'folds.json'
    folds.save(str(path), made, IDS, settings={'kind': 'repeated', 'seed': 5})
    return made, path


def test_the_same_examples_in_another_order(saved):
    made, path = saved
    order = np.random.default_rng(0).permutation(12)
    found = folds.load(str(path), [IDS[i] for i in order])
    assert [f[:3] for f in found] == [f[:3] for f in made]
    for a, b in zip(made, found, strict=True):
        assert {IDS[i] for i in a.train} == {IDS[order[i]] for i in b.train}
        assert {IDS[i] for i in a.test} == {IDS[order[i]] for i in b.test}
        assert b.train.tolist() == sorted(b.train)


def test_what_the_file_holds(tmp_path):
    made = [folds.Fold('fold_0', 0, 0, np.array([0, 1]), np.array([3]))]
    path = tmp_path / 'folds.json'
    summary = {'mean': {'loss': 0.5}, 'interval': {'loss': None}}
    folds.save(str(path), made, list('abcd'), metrics=[{'loss': 0.5}], summary=summary, layout='stacked')
    assert json.loads(path.read_text()) == {
        'mean': {'loss': 0.5},
        'interval': {'loss': None},
        'layout': 'stacked',
        'settings': {},
        'folds': [
            {'name': 'fold_0', 'repeat': 0, 'index': 0, 'metrics': {'loss': 0.5}, 'train_ids': ['a', 'b'],
             'test_ids': ['d']}
        ],
        'unused_ids': ['c'],
    }  # fmt: skip
    assert folds.load(str(path), list('dcba'))[0].test.tolist() == [0]
    assert [p.name for p in tmp_path.iterdir()] == ['folds.json']


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path, saved):
    with pytest.raises(ValueError, match='JSON'):
        folds.save(str(tmp_path / 'f.json'), saved[0], IDS, metrics=[{'loss': float('nan')}] * 6)
    assert not list(tmp_path.glob('f.json*'))


@pytest.mark.parametrize(
    ('ids', 'message'),
    [
        (IDS[2:], '2 of its examples are not in the data set: class/0'),
        ([*IDS, 'new.jpg'], '1 examples of the data set are not in it: new.jpg'),
        (['other'] * 12, 'examples of the same name'),
        ([f'x{i}' for i in IDS], r'12 of its examples are not in the data set: (class/\d\d.jpg, ){3}\.\.\.'),
    ],
)
def test_another_data_set_is_refused(saved, ids, message):
    with pytest.raises(ValueError, match=message):
        folds.load(str(saved[1]), ids)


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"folds": [{"name": "a"}], "unused_ids": []}', '{"folds": 3'])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / 'folds.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='not a folds'):
        folds.load(str(path), IDS)
    with pytest.raises(ValueError, match='not a folds'):
        folds.load(str(tmp_path / 'none'), IDS)


def test_a_leak_put_into_the_file_by_hand_is_refused(saved):
    content = json.loads(saved[1].read_text())
    content['folds'][1]['train_ids'].append(content['folds'][1]['test_ids'][0])
    saved[1].write_text(json.dumps(content))
    with pytest.raises(ValueError, match='is in the training and in the test part of repeat_0_fold_1'):
        folds.load(str(saved[1]), IDS)


def test_names_must_tell_examples_apart(saved):
    with pytest.raises(ValueError, match="two examples have the name 'b'"):
        folds.document(saved[0], ['a', 'b', 'b'])
    with pytest.raises(ValueError, match='2 sets of metrics for 6 folds'):
        folds.document(saved[0], IDS, metrics=[{}, {}])

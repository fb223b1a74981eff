"""Groups said as a string: expressions over the examples' names, or a table."""

import numpy as np
import pytest

from input_pipeline import folds
from input_pipeline.groups import groups_of

IDS = ['cat/ann_01.jpg', 'cat/bob_01.jpg', 'dog/ann_02.jpg', 'dog/carl_9.jpg']


class Named:
    def __len__(self):
        return len(IDS)

    def example_id(self, i):
        return IDS[i]


@pytest.mark.parametrize(
    ('spec', 'groups'),
    [
        ('file_prefix:[a-z]+', ['ann', 'bob', 'ann', 'carl']),
        ('file_prefix:(.)[a-z]', ['a', 'b', 'a', 'c']),
        ('id:^[^/]+', ['cat', 'cat', 'dog', 'dog']),
        ('id:_(0?)', ['0', '0', '0', '']),
    ],
)
def test_an_expression_finds_the_groups(spec, groups):
    if '' in groups:
        with pytest.raises(ValueError, match=r"finds nothing in 1 of 4 examples, the first 'dog/carl_9.jpg'"):
            groups_of(Named(), spec)
        return
    assert groups_of(Named(), spec).tolist() == groups
    assert groups_of(IDS, spec).tolist() == groups


def test_a_table_finds_the_groups(tmp_path):
    path = tmp_path / 'groups.csv'
    rows = ['group,id,note', *(f'{g},{i},x' for g, i in zip('BABC', IDS, strict=True)), 'Z,elsewhere.jpg,x']
    path.write_text('\ufeff' + '\n'.join(rows), encoding='utf-8')
    assert groups_of(Named(), str(path)).tolist() == list('BABC')
    made = folds.split(Named(), kind='leave_one_group_out', count=5, groups=str(path))
    assert [fold.test.tolist() for fold in made] == [[1], [0, 2], [3]]
    # An empty string, a config's default, is no groups.
    with pytest.raises(ValueError, match='kind=grouped needs '):
        folds.split(Named(), kind='grouped', count=2, groups='')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'cannot be read'),
        ('', 'must name the columns id and group'),
        ('name,group\na,b', 'must name the columns id and group'),
        ('id,group\ncat/ann_01.jpg,A\ncat/ann_01.jpg,B', "line 3: 'cat/ann_01.jpg' has two groups"),
        ('id,group\ncat/ann_01.jpg,A\ncat/bob_01.jpg,', "has no group for 3 of 4 examples, the first 'cat/bob_01.jpg'"),
        ('id,group\ncat/ann_01.jpg', "has no group for 4 of 4 examples, the first 'cat/ann_01.jpg'"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, text, message):
    path = tmp_path / 'groups.csv'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        groups_of(Named(), str(path))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('file_prefx:a', r"did you mean 'file_prefix'\?"),
        ('patient', "write 'file_prefix:REGEX'"),
        ('id:(', 'not a regular expression'),
        ('id:q', 'finds nothing in 4 of 4 examples'),
    ],
)
def test_a_bad_string_is_one_line(spec, message):
    with pytest.raises(ValueError, match=message):
        groups_of(Named(), spec)


def test_ids_may_be_an_array():
    assert groups_of(np.array(IDS), 'id:^...').tolist() == ['cat', 'cat', 'dog', 'dog']

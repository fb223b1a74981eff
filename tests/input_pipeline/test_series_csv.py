"""A person's own series: what is read, and the line and column of whatever is wrong."""

import numpy as np
import pytest

from input_pipeline import series_csv


def write(tmp_path, text):
    path = tmp_path / 'own.csv'
    path.write_text(text, encoding='utf-8')
    return str(path)


def test_subjects_times_and_values_are_read_in_the_files_order(tmp_path):
    text = '\ufeffvalue,subject,time\n3.5,Bo,2001\n1,Änne,1999\n4.5,Bo,2002\n\n2e0,Änne,2000\n-3,Änne,2001\n'
    panel = series_csv.read(write(tmp_path, text))
    assert panel.subjects == ('Bo', 'Änne')
    assert [t.tolist() for t in panel.times] == [[2001, 2002], [1999, 2000, 2001]]
    assert [v.tolist() for v in panel.values] == [[3.5, 4.5], [1, 2, -3]]
    assert panel.ids() == ['Bo@2001', 'Bo@2002', 'Änne@1999', 'Änne@2000', 'Änne@2001']
    assert panel.bases.tolist() == [0, 2]


@pytest.mark.parametrize(
    ('times', 'ids'),
    [
        (('2001-11', '2001-12', '2002-01'), ('2001-11', '2001-12', '2002-01')),
        (('2001-01-01', '2001-02-01', '2001-03-01'), ('2001-01', '2001-02', '2001-03')),
        (('2001-01-30', '2001-01-31', '2001-02-01'), ('2001-01-30', '2001-01-31', '2001-02-01')),
        (('0.1', '0.2', '0.3'), ('0.1', '0.2', '0.3')),
        (('-2', '0', '2'), ('-2', '0', '2')),
    ],
)
def test_times_are_numbers_months_or_days(tmp_path, times, ids):
    lines = ''.join(f'a,{t},1\n' for t in times)
    assert series_csv.read(write(tmp_path, f'subject,time,value\n{lines}')).ids() == [f'a@{t}' for t in ids]


BAD = [
    ('subject,time,valeu\na,1,1\n', "line 1: unknown column 'valeu' .did you mean 'value'"),
    ('subject,time\na,1\n', "line 1: column 'value' is missing; the columns are subject,time,value"),
    ('subject,time,value\n', 'no values below the header'),
    ('subject,time,value\na,1,1\na,2\n', 'line 3: 2 cells where the header has 3'),
    ('subject,time,value\na,1,1\na,2,x\n', "line 3, column value: 'x' is not a number"),
    ('subject,time,value\na,1,1\na,2,nan\n', "line 3, column value: 'nan' is not a finite number"),
    ('subject,time,value\na,1,1\na,2,\n', "line 3, column value: is empty: series have no gaps; .* take 'a' out"),
    ('subject,time,value\n,1,1\n', 'line 2, column subject: is empty'),
    ('subject,time,value\na,1,1\na,later,1\n', "line 3, column time: 'later' is not a number"),
    ('subject,time,value\na,2001-13,1\n', "line 2, column time: '2001-13' is not a date YYYY-MM"),
    ('subject,time,value\na,2001-11,1\na,2001-12-01,1\n', "line 3, column time: '2001-12-01' is not a date YYYY-MM as"),
    ('subject,time,value\na,1,1\nb,1,1\na,2,1\na,1,5\n', "line 5, column time: 1 of 'a' comes twice, first in line 2"),
    ('subject,time,value\na,1,1\na,3,1\nb,1,1\na,2,1\n', "line 5, column time: 2 of 'a' comes after 3; sort the lines"),
    ('subject,time,value\na,1,1\na,2,1\na,3,1\na,5,1\n', "line 5, column time: 5 of 'a' follows 3, where the step"),
    ('subject,time,value\na,1,1\na,2,1\na,3,1\nb,1,1\nb,3,1\n', "line 6, column time: 3 of 'b' follows 1"),
    ('subject,time,value\na,1,1\n"a,2,1\n', 'line 3: '),
]


@pytest.mark.parametrize(('text', 'message'), BAD)
def test_what_is_wrong_is_told_with_its_line_and_column(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        series_csv.read(path)
    assert str(error.value).startswith(path)
    assert '\n' not in str(error.value)


def test_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(ValueError, match='No such file'):
        series_csv.read(str(tmp_path / 'absent.csv'))
    (tmp_path / 'own.csv').write_bytes(b'subject,time,value\na,1,\xff\xfe1\n')
    with pytest.raises(ValueError, match='not UTF-8 text'):
        series_csv.read(str(tmp_path / 'own.csv'))


def test_decimal_times_may_be_rounded(tmp_path):
    lines = ''.join(f'a,{2000 + month / 12:.2f},{month}\n' for month in range(13))
    panel = series_csv.read(write(tmp_path, f'subject,time,value\n{lines}'))
    np.testing.assert_allclose(np.diff(panel.times[0]), 1 / 12, atol=0.011)

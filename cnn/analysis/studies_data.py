"""What is claimed of capacity against data: networks of growing width on growing numbers of examples."""

from collections.abc import Sequence

import numpy as np

from cnn.analysis.study_table import MissingError, Row, Table
from cnn.analysis.study_verdict import Claim, Prediction

WIDTH, EXAMPLES = 'model.width', 'study.examples'
_BELKIN = 'Belkin et al. 2019, arXiv:1812.11118'


def grid(table: Table) -> tuple[list[int], list[int], dict[tuple[int, int], Row]]:
    """The widths, the numbers of examples, both rising, and the row of each pair."""
    rows = {(row.settings[WIDTH], row.settings[EXAMPLES]): row for row in table.rows
            if {WIDTH, EXAMPLES} <= set(row.settings)}  # fmt: skip
    widths, examples = (sorted({pair[k] for pair in rows}) for k in (0, 1))
    if len(widths) < 2 or len(examples) < 2 or len(rows) < len(widths) * len(examples):
        raise MissingError('the study needs every width with every number of examples, two or more of each')
    return widths, examples, rows


def _difference(words: str, metric: str, plus: Row, minus: Row) -> Prediction:
    return Prediction(words, lambda t: t.values(plus.name, metric) - t.values(minus.name, metric))


def _gap(table: Table, row: Row) -> np.ndarray:
    """How much worse test examples are scored than those that the network was fitted to."""
    return table.values(row.name, 'fit_accuracy') - table.values(row.name, 'accuracy')


def _fits(table: Table) -> Sequence[Prediction]:
    widths, examples, rows = grid(table)
    n, low, high = examples[-1], widths[0], widths[-1]
    words = f'loss on the training examples, width {low} - width {high}, {n} examples'
    return [_difference(words, 'fit_loss', rows[low, n], rows[high, n])]


def _closes(table: Table) -> Sequence[Prediction]:
    widths, examples, rows = grid(table)
    few, many = rows[widths[-1], examples[0]], rows[widths[-1], examples[-1]]
    words = f'training less test accuracy at width {widths[-1]}, {examples[0]} - {examples[-1]} examples'
    return [Prediction(words, lambda t: _gap(t, few) - _gap(t, many))]


def _overfits(table: Table) -> Sequence[Prediction]:
    """Against the middle width, chosen beforehand: the best one of the data would flatter the claim."""
    widths, examples, rows = grid(table)
    middle, n = widths[len(widths) // 2], examples[0]
    words = f'test loss, width {widths[-1]} - width {middle}, {n} examples'
    return [_difference(words, 'loss', rows[widths[-1], n], rows[middle, n])]


def _pays(table: Table) -> Sequence[Prediction]:
    widths, examples, rows = grid(table)

    def gain(t: Table, n: int) -> np.ndarray:
        return t.values(rows[widths[-1], n].name, 'loss') - t.values(rows[widths[0], n].name, 'loss')

    few, many = examples[0], examples[-1]
    words = f'test loss, (width {widths[-1]} - width {widths[0]}) with {few} - the same with {many} examples'
    return [Prediction(words, lambda t: gain(t, few) - gain(t, many))]


CAPACITY = (
    Claim(
        'capacity-fits',
        'With more capacity the error on the training examples falls',
        '용량이 커지면 훈련 예제의 오차가 줄어든다',
        'Hastie, Tibshirani and Friedman 2009, section 7.2',
        _fits,
    ),
    Claim(
        'data-closes-the-gap',
        'With more data the gap between training and test accuracy closes',
        '데이터가 많아지면 훈련 정확도와 시험 정확도의 차이가 줄어든다',
        'Hastie, Tibshirani and Friedman 2009, section 7.2',
        _closes,
    ),
    Claim(
        'capacity-overfits-few-examples',
        'On the fewest examples the widest network tests worse than one of middle width: the right end of the U',
        '예제가 가장 적을 때 가장 넓은 네트워크는 중간 폭보다 시험 손실이 크다: U자 곡선의 오른쪽 끝',
        f'Hastie, Tibshirani and Friedman 2009, figure 7.1; against it {_BELKIN}',
        _overfits,
    ),
    Claim(
        'capacity-needs-data',
        'Width lowers the test loss more where there is more data',
        '데이터가 많을수록 폭을 늘려 얻는 시험 손실의 감소가 크다',
        'Hestness et al. 2017, arXiv:1712.00409',
        _pays,
    ),
)

"""A verdict follows from the numbers: the paired t interval over seeds, its side, and nothing where there is none."""

import numpy as np
import pytest
from scipy import stats

from cnn.analysis import study_verdict
from cnn.analysis.study_table import MissingError, Row, Table
from cnn.analysis.study_verdict import CONTRADICTED, NOT_JUDGED, SUPPORTED, UNSUPPORTED, Claim, contrast, judge


def table(**arms):
    """Arms by name, each with its accuracies."""
    rows = [Row(name, name, {}, {'accuracy': values}) for name, values in arms.items()]
    return Table(tuple(rows), tuple(range(len(next(iter(arms.values()))))))


def claim(*predictions):
    return Claim('c', 'the claim', '주장', 'a paper', lambda t: list(predictions))


def test_the_interval_is_the_paired_t_interval():
    a, b = [0.93, 0.95, 0.91, 0.96], [0.90, 0.93, 0.90, 0.92]
    verdict = judge(claim(contrast('accuracy', a=1, b=-1)), table(a=a, b=b))
    (finding,) = verdict.findings
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (finding.interval.low, finding.interval.high) == pytest.approx(tuple(expected))
    assert finding.values == pytest.approx((0.03, 0.02, 0.01, 0.04))
    assert (finding.interval.n, verdict.status) == (4, SUPPORTED)


@pytest.mark.parametrize(('differences', 'status'), [
    # Mean 5, standard error 1 / sqrt(3), t(2) 4.3027: 2.52 to 7.48.
    ((4, 5, 6), SUPPORTED),
    ((-4, -5, -6), CONTRADICTED),
    # Mean 2: -0.48 to 4.48.
    ((1, 2, 3), UNSUPPORTED),
    ((-1, -2, -3), UNSUPPORTED),
    ((0, 0, 0), UNSUPPORTED),
    # Equal differences are rounding, one seed has no spread.
    ((2, 2, 2), UNSUPPORTED),
    ((9,), UNSUPPORTED),
])  # fmt: skip
def test_the_side_of_zero_decides(differences, status):
    found = judge(claim(contrast('accuracy', a=1, b=-1)), table(a=differences, b=[0] * len(differences)))
    assert found.status == status


def test_a_margin_is_what_may_be_lost():
    t = table(a=[0.940, 0.952, 0.946], b=[0.945, 0.955, 0.950])
    assert judge(claim(contrast('accuracy', a=1, b=-1)), t).status == CONTRADICTED
    assert judge(claim(contrast('accuracy', margin=0.01, a=1, b=-1)), t).status == SUPPORTED


def test_of_several_predictions_all_must_hold_and_one_may_contradict():
    t = table(a=[4, 5, 6], b=[0, 0, 0], c=[8, 9, 10.5])
    up, down = contrast('accuracy', a=1, b=-1), contrast('accuracy', a=1, c=-1)
    assert judge(claim(up, contrast('accuracy', c=1, b=-1)), t).status == SUPPORTED
    assert judge(claim(up, down), t).status == CONTRADICTED


def test_one_of_several_contradicts_at_a_level_that_allows_for_their_number():
    differences = [-1.0, -2.0, -3.0, -4.0, -0.3]
    p = stats.ttest_1samp(differences, 0).pvalue
    assert 0.05 / 4 < p < 0.05
    t = table(a=differences, b=[0] * 5, c=[9, 10, 11, 12, 13])
    one, sure = contrast('accuracy', a=1, b=-1), contrast('accuracy', c=1, b=-1)
    assert judge(claim(one), t).status == CONTRADICTED
    assert judge(claim(one, sure, sure, sure), t).status == UNSUPPORTED


def test_what_is_missing_is_named_and_not_judged():
    t = table(a=[1, 2], b=[0, np.nan])
    for prediction, why in ((contrast('accuracy', z=1, a=-1), 'z was not trained'),
                            (contrast('loss', a=1, b=-1), 'a has no loss'),
                            (contrast('accuracy', a=1, b=-1), 'not every seed has a value')):  # fmt: skip
        found = judge(claim(prediction), t)
        assert found.status == NOT_JUDGED
        assert why in found.said()
    with pytest.raises(MissingError, match='fewer than two values of model'):
        t.along('model.width')


def test_the_line_says_the_claim_the_verdict_and_the_numbers_in_both_languages():
    found = judge(claim(contrast('accuracy', a=1, b=-1)), table(a=[4, 5, 6], b=[0, 0, 0]))
    numbers = 'accuracy, a - b: +5.0000 (95 % interval +2.5159 to +7.4841, n = 3)'
    assert found.said() == f'the claim: **supported**; {numbers}'
    assert found.said_ko() == '주장: **뒷받침된다**'
    assert set(study_verdict.KOREAN) == {SUPPORTED, UNSUPPORTED, CONTRADICTED, NOT_JUDGED}


def test_timings_are_paired_by_round_whatever_the_number_of_seeds():
    rows = [Row(name, name, {}, {'accuracy': [0.5]}, {'step_seconds': seconds})
            for name, seconds in (('a', [3, 4, 5]), ('b', [1, 2, 3.3]))]  # fmt: skip
    found = judge(claim(contrast('step_seconds', a=1, b=-1)), Table(tuple(rows), (0,)))
    assert found.findings[0].interval.n == 3
    assert found.status == SUPPORTED


def test_rows_along_a_field_come_in_its_order():
    rows = [Row(f'r{w}', 'r', {'model.width': w}, {}) for w in (8, 2, 4)]
    assert [row.name for row in Table(tuple(rows), ()).along('model.width', 'r')] == ['r2', 'r4', 'r8']

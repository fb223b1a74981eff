"""What the claims of the studies predict, on tables made by hand: the true are supported, opposites contradicted."""

import pytest

from cnn.analysis.studies import judge_all
from cnn.analysis.study_table import Row, Table
from cnn.analysis.study_verdict import CONTRADICTED, NOT_JUDGED, SUPPORTED, UNSUPPORTED

# Three seeds' own noise, smaller than what is claimed.
NOISE = (0.001, -0.002, 0.0005)


def row(name, arm='', settings=None, timings=None, facts=None, noise=1.0, **values):
    measured = {
        metric: [value + (1 + k) * noise * n for n in NOISE] for k, (metric, value) in enumerate(values.items())
    }
    return Row(name, arm or name, settings or {}, measured, timings or {}, facts or {})


def verdicts(study, *rows):
    return {verdict.claim.id: verdict.status for verdict in judge_all(study, Table(rows, (0, 1, 2)))}


def degradation(plain_56, residual_56):
    return verdicts('degradation', row('plain_20', train_loss=0.3, accuracy=0.9, noise=2),
                    row('plain_56', train_loss=plain_56, accuracy=0.8),
                    row('residual_20', train_loss=0.2, accuracy=0.92, noise=3),
                    row('residual_56', train_loss=residual_56, accuracy=0.93))  # fmt: skip


def test_degradation_as_the_paper_has_it_and_turned_round():
    assert set(degradation(plain_56=0.5, residual_56=0.1).values()) == {SUPPORTED}
    turned = degradation(plain_56=0.1, residual_56=0.4)
    assert turned['plain-deeper-trains-worse'] == turned['residual-deeper-trains-better'] == CONTRADICTED
    assert turned['shortcuts-remove-degradation'] == CONTRADICTED
    # Both grow worse alike: no credit to shortcuts.
    assert degradation(0.5, 0.4)['shortcuts-remove-degradation'] == UNSUPPORTED


def growth(*accuracies):
    rows = [row(f'k={k}', 'net', {'model.growth_rate': k}, accuracy=a, noise=n)
            for k, a, n in zip((2, 4, 8, 16), accuracies, (1, 2, 4, 3), strict=True)]  # fmt: skip
    return verdicts('growth_rate', *rows[::-1])


def test_growth_gains_less_at_each_step_up_whatever_the_order_of_the_rows():
    assert growth(0.6, 0.8, 0.9, 0.95) == {'wider-growth-tests-better': SUPPORTED, 'narrow-growth-suffices': SUPPORTED}
    # The last step gains as much as the one before by a hair; the first one still more.
    assert growth(0.6, 0.8, 0.9, 1.0)['narrow-growth-suffices'] == UNSUPPORTED
    assert growth(0.95, 0.9, 0.8, 0.6)['wider-growth-tests-better'] == CONTRADICTED


def rates(arm, accuracies, losses, drifts, noise=1.0):
    return [row(f'{arm} {rate}', arm, {'optimizer.learning_rate': rate}, accuracy=a, train_loss=b, drift=c, noise=noise)
            for rate, a, b, c in zip((0.01, 0.1, 1.0), accuracies, losses, drifts, strict=True)]  # fmt: skip


def test_batch_norms_drift_is_compared_where_the_network_without_it_trains_best():
    # At 0.01, its best, it drifts more with the norm; elsewhere less.
    rows = rates('without', (0.8, 0.7, 0.1), (0.4, 0.9, 2.3), (0.1, 0.8, 0.9), noise=2)
    rows += rates('with', (0.7, 0.9, 0.85), (0.6, 0.1, 0.3), (0.3, 0.1, 0.1))
    assert verdicts('batch_norm', *rows) == {
        'higher-rates-train': SUPPORTED,
        'rate-matters-less': SUPPORTED,
        'best-rate-tests-better': SUPPORTED,
        'distribution-drifts-less': CONTRADICTED,
    }


def test_multiplications_saved_are_set_against_time_saved():
    def found(step):
        return verdicts(
            'convolutions',
            row('standard', timings={'step_seconds': [1.0, 2.0, 1.5]}, facts={'macs': 100}, accuracy=0.9, noise=2),
            row('depthwise_separable', timings={'step_seconds': step}, facts={'macs': 20}, accuracy=0.895),
        )

    # A fifth of the multiplications in half of the time, round by round; then in a tenth of it.
    assert found([0.5, 1.02, 0.76])['macs-are-not-time'] == SUPPORTED
    assert found([0.1, 0.21, 0.16])['macs-are-not-time'] == CONTRADICTED
    assert found([0.5, 1.0, 0.7])['separable-loses-little'] == SUPPORTED


def test_stacked_convolutions_are_judged_by_what_they_lose_where_they_have_fewer_weights():
    def found(accuracy, parameters):
        return verdicts('stacked_3x3', row('stacked_3x3', facts={'parameters': parameters}, accuracy=accuracy),
                        row('single_5x5', facts={'parameters': 100}, accuracy=0.9, noise=2),
                        row('wide_5x5', facts={'parameters': 150}, accuracy=0.91, noise=3))  # fmt: skip

    assert found(0.895, 72)['stacked-has-fewer-weights'] == SUPPORTED
    assert found(0.88, 72)['stacked-has-fewer-weights'] == CONTRADICTED
    assert found(0.895, 100)['stacked-has-fewer-weights'] == NOT_JUDGED
    assert found(0.93, 72)['depth-not-parameters'] == SUPPORTED


def test_dropout_is_against_the_gap_between_training_and_test_accuracy():
    def found(fit):
        return verdicts('alexnet', row('whole', fit_accuracy=fit, accuracy=0.95),
                        row('without_dropout', fit_accuracy=1.0, accuracy=0.94, noise=2))  # fmt: skip

    assert found(fit=1.0)['dropout-is-against-overfitting'] == SUPPORTED
    assert found(fit=1.05)['dropout-is-against-overfitting'] == CONTRADICTED


def capacity(few, many):
    """Test losses of widths 1, 2 and 4 on 50 and on 800 examples."""
    rows = [row(f'{w} {n}', 'net', {'model.width': w, 'study.examples': n}, loss=loss, fit_loss=0.4 / w,
                fit_accuracy=1.0 if n == 50 else 0.95, accuracy=0.6 if n == 50 else 0.9, noise=w * (1 + n / 400))
            for n, losses in ((50, few), (800, many)) for w, loss in zip((1, 2, 4), losses, strict=True)]  # fmt: skip
    return verdicts('capacity', *rows)


def test_capacity_overfits_where_the_right_end_of_the_u_rises():
    classic = capacity(few=(1.0, 0.8, 1.4), many=(0.6, 0.4, 0.3))
    assert set(classic.values()) == {SUPPORTED}
    modern = capacity(few=(2.0, 1.5, 1.0), many=(0.6, 0.5, 0.45))
    assert modern['capacity-fits'] == modern['data-closes-the-gap'] == SUPPORTED
    assert modern['capacity-overfits-few-examples'] == modern['capacity-needs-data'] == CONTRADICTED


@pytest.mark.parametrize('study', ['nobodys', ''])
def test_a_study_without_claims_has_no_verdicts(study):
    assert verdicts(study, row('a', accuracy=0.5)) == {}

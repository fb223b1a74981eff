"""What is claimed of training: batch normalisation, and what AlexNet's authors added to theirs."""

from collections.abc import Sequence

import numpy as np

from cnn.analysis.study_table import Table
from cnn.analysis.study_verdict import Claim, Prediction, contrast

_BATCH_NORM = 'Ioffe and Szegedy 2015, arXiv:1502.03167'
_ALEXNET = 'Krizhevsky et al. 2012'
RATE = 'optimizer.learning_rate'


def _highest(table: Table) -> Sequence[Prediction]:
    """At the highest rate of all."""
    rate = table.along(RATE, 'with')[-1]
    without = next(row for row in table.along(RATE, 'without') if row.settings[RATE] == rate.settings[RATE])
    return [contrast('accuracy', **{rate.name: 1, without.name: -1})]


def _best(table: Table, arm: str) -> np.ndarray:
    """Each seed's best test accuracy over the rates: the same advantage for both arms."""
    return np.max([table.values(row.name, 'accuracy') for row in table.along(RATE, arm)], axis=0)


def _at_best(table: Table) -> Sequence[Prediction]:
    words = "accuracy at each arm's and seed's best rate, with - without"
    return [Prediction(words, lambda t: _best(t, 'with') - _best(t, 'without'))]


def _widest(table: Table) -> Sequence[Prediction]:
    """Over the rates of the study: the mean accuracy, which falls where few rates train."""

    def mean(t: Table, arm: str) -> np.ndarray:
        return np.mean([t.values(row.name, 'accuracy') for row in t.along(RATE, arm)], axis=0)

    words = 'accuracy averaged over the rates, with - without'
    return [Prediction(words, lambda t: mean(t, 'with') - mean(t, 'without'))]


def _drift(table: Table) -> Sequence[Prediction]:
    """At the rate at which the network without it trains best: elsewhere it stands still or is dead."""
    without = min(table.along(RATE, 'without'), key=lambda row: _mean(row.values.get('train_loss', ())))
    same = next(row for row in table.along(RATE, 'with') if row.settings[RATE] == without.settings[RATE])
    return [contrast('drift', digits=3, **{without.name: 1, same.name: -1})]


def _mean(values: Sequence[float]) -> float:
    """Infinity where a seed has no value."""
    values = np.asarray(values, float)
    return float(values.mean()) if len(values) and np.isfinite(values).all() else np.inf


BATCH_NORM = (
    Claim(
        'higher-rates-train',
        'Batch normalization lets the learning rate rise: at the highest rate the network with it tests better',
        '배치 정규화를 쓰면 학습률을 높일 수 있다: 가장 높은 학습률에서 시험 정확도가 더 높다',
        f'{_BATCH_NORM}, section 4.2.1',
        _highest,
    ),
    Claim(
        'rate-matters-less',
        'Averaged over the learning rates, the network with batch normalization tests better',
        '여러 학습률에 걸쳐 평균하면 배치 정규화를 쓴 쪽의 시험 정확도가 더 높다',
        f'{_BATCH_NORM}, section 3.3',
        _widest,
    ),
    Claim(
        'best-rate-tests-better',
        'Each at its best rate, the network with batch normalization tests better in the same number of steps',
        '각자 가장 좋은 학습률에서, 같은 스텝 수로 배치 정규화를 쓴 쪽의 시험 정확도가 더 높다',
        f'{_BATCH_NORM}, table of figure 3',
        _at_best,
    ),
    Claim(
        'distribution-drifts-less',
        "With batch normalization the inputs of the last units' nonlinearities drift less in training",
        '배치 정규화를 쓰면 훈련 중 마지막 비선형 함수 입력의 분포가 덜 움직인다',
        f'{_BATCH_NORM}, figure 1',
        _drift,
    ),
)

SYNCHRONISED = (
    Claim(
        'few-images-a-device-need-it',
        'With few images on each device, statistics over all devices test better than those of each device alone',
        '장치마다 이미지가 적으면, 모든 장치에 걸친 통계가 장치별 통계보다 시험 정확도가 높다',
        'Peng et al. 2018 (MegDet), arXiv:1711.07240; Wu and He 2018, arXiv:1803.08494, figure 1',
        lambda table: [contrast('accuracy', synchronised=1, each_device=-1)],
    ),
    Claim(
        'the-batch-counts-not-the-devices',
        'Synchronised over devices it loses less than a point of test accuracy to one device with the whole batch',
        '장치에 걸쳐 동기화하면 한 장치에 배치 전체를 둔 경우보다 시험 정확도가 1퍼센트포인트 넘게 낮아지지 않는다',
        'Peng et al. 2018 (MegDet), arXiv:1711.07240',
        lambda table: [contrast('accuracy', margin=0.01, synchronised=1, one_device=-1)],
    ),
)


def _ablation(id: str, arm: str, english: str, korean: str, source: str) -> Claim:
    return Claim(id, english, korean, source, lambda table: [contrast('accuracy', whole=1, **{arm: -1})])


def _gap_without_dropout() -> Prediction:
    def gap(t: Table, arm: str) -> np.ndarray:
        return t.values(arm, 'fit_accuracy') - t.values(arm, 'accuracy')

    words = 'training less test accuracy, without_dropout - whole'
    return Prediction(words, lambda t: gap(t, 'without_dropout') - gap(t, 'whole'))


ALEXNET = (
    _ablation('lrn-helps', 'without_lrn', 'Local response normalization raises the test accuracy',
              '지역 응답 정규화(LRN)는 시험 정확도를 높인다', f'{_ALEXNET}, section 3.3: 1.4 points of top-1'),
    _ablation('overlapping-helps', 'without_overlap', 'Overlapping pooling raises the test accuracy',
              '겹치는 풀링은 시험 정확도를 높인다', f'{_ALEXNET}, section 3.4: 0.4 points of top-1'),
    _ablation('dropout-helps', 'without_dropout', 'Dropout raises the test accuracy',
              '드롭아웃은 시험 정확도를 높인다', f'{_ALEXNET}, section 4.2'),
    _ablation('augmentation-helps', 'without_augmentation', 'Augmentation raises the test accuracy',
              '데이터 증강은 시험 정확도를 높인다', f'{_ALEXNET}, section 4.1'),
    Claim(
        'dropout-is-against-overfitting',
        'Without dropout the network overfits more: training accuracy stands further above test accuracy',
        '드롭아웃을 빼면 과적합이 커진다: 훈련 정확도가 시험 정확도보다 더 크게 높다',
        f'{_ALEXNET}, section 4.2',
        lambda table: [_gap_without_dropout()],
    ),
)  # fmt: skip

"""What is claimed of layers: stacked 3x3 against 5x5, 1x1 bottlenecks, the kinds of convolution."""

from collections.abc import Sequence

from cnn.analysis.study_table import MissingError, Table
from cnn.analysis.study_verdict import Claim, Prediction, contrast

_VGG = 'Simonyan and Zisserman 2014, arXiv:1409.1556, section 4.1'
_RESNET = 'He et al. 2015, arXiv:1512.03385, section 4.1'
_XCEPTION = 'Chollet 2016, arXiv:1610.02357; Howard et al. 2017, arXiv:1704.04861'
TIME = 'step_seconds'


def _fewer_weights(table: Table) -> Sequence[Prediction]:
    stacked, single = (table.row(name).facts.get('parameters', 0) for name in ('stacked_3x3', 'single_5x5'))
    if not 0 < stacked < single:
        raise MissingError('the stacked network does not have fewer parameters')
    words = f'accuracy, stacked_3x3 - single_5x5, with {stacked:,.0f} parameters for {single:,.0f},'
    return [contrast('accuracy', words, margin=0.01, stacked_3x3=1, single_5x5=-1)]


STACKED = (
    Claim(
        'stacked-has-fewer-weights',
        'With fewer weights two 3x3 convolutions lose less than a point of test accuracy to the 5x5 that sees as much',
        '3x3 합성곱 두 개는 더 적은 가중치로, 같은 범위를 보는 5x5보다 시험 정확도를 1퍼센트포인트 미만으로 잃는다',
        'the notes on VGG; Simonyan and Zisserman 2014, section 2.3',
        _fewer_weights,
    ),
    Claim(
        'stacked-tests-better',
        'Two 3x3 convolutions test better than the 5x5 one that sees as much',
        '3x3 합성곱 두 개는 같은 범위를 보는 5x5 하나보다 시험 정확도가 높다',
        f'{_VGG}: 7 points of top-1 error',
        lambda table: [contrast('accuracy', stacked_3x3=1, single_5x5=-1)],
    ),
    Claim(
        'depth-not-parameters',
        'Two 3x3 convolutions test better than wider 5x5 ones, which multiply more often',
        '3x3 합성곱 두 개는 곱셈이 더 많은 넓은 5x5보다도 시험 정확도가 높다',
        f'{_VGG}',
        lambda table: [contrast('accuracy', stacked_3x3=1, wide_5x5=-1)],
    ),
)


def _cheaper(table: Table) -> Sequence[Prediction]:
    return [contrast(TIME, 'seconds of a training step, basic - bottleneck', basic=1, bottleneck=-1)]


def _at_its_price(table: Table) -> Sequence[Prediction]:
    bottleneck, narrow = (table.row(name).facts.get('macs', 0) for name in ('bottleneck', 'narrow'))
    if not bottleneck or not 0.95 <= narrow / bottleneck <= 1.05:
        raise MissingError(f'narrow multiplies {narrow:,.0f} times and bottleneck {bottleneck:,.0f}: not alike')
    return [contrast('accuracy', bottleneck=1, narrow=-1)]


BOTTLENECK = (
    Claim(
        'bottleneck-loses-little',
        'With 1x1 bottlenecks between the same channels less than a point of test accuracy is lost',
        '같은 채널 사이에 1x1 병목을 두면 시험 정확도를 1퍼센트포인트 미만으로 잃는다',
        'the notes on 1x1 convolutions; Szegedy et al. 2014, arXiv:1409.4842, section 4',
        lambda table: [contrast('accuracy', margin=0.01, bottleneck=1, basic=-1)],
    ),
    Claim(
        'bottleneck-is-faster',
        'With 1x1 bottlenecks between the same channels a training step takes less time',
        '같은 채널 사이에 1x1 병목을 두면 훈련 스텝 시간이 짧아진다',
        _RESNET,
        _cheaper,
    ),
    Claim(
        'bottleneck-beats-its-price',
        'A network with 1x1 bottlenecks tests better than one without that multiplies hardly more often',
        '1x1 병목 네트워크는 곱셈 수가 비슷한 병목 없는 네트워크보다 시험 정확도가 높다',
        _RESNET,
        _at_its_price,
    ),
)


def _time_against_macs(table: Table) -> Sequence[Prediction]:
    """The share of the time that is left, above the share of the multiplications that is left."""
    standard, separable = table.row('standard'), table.row('depthwise_separable')
    if not standard.facts.get('macs') or not separable.facts.get('macs'):
        raise MissingError('multiplications were not counted')
    share = separable.facts['macs'] / standard.facts['macs']

    def measure(t: Table):
        return t.values('depthwise_separable', TIME) / t.values('standard', TIME) - share

    words = f'time of a training step over standard, less the multiplications over standard ({share:.3f})'
    return [Prediction(words, measure, 3)]


CONVOLUTIONS = (
    Claim(
        'separable-loses-little',
        'Depthwise separable convolutions lose less than a point of test accuracy to standard ones',
        '깊이별 분리 합성곱은 표준 합성곱보다 시험 정확도를 1퍼센트포인트 미만으로 잃는다',
        _XCEPTION,
        lambda table: [contrast('accuracy', margin=0.01, depthwise_separable=1, standard=-1)],
    ),
    Claim(
        'macs-are-not-time',
        'Of depthwise separable convolutions a larger share of the time is left than of the multiplications',
        '깊이별 분리 합성곱에서 줄어든 시간의 비율은 줄어든 곱셈의 비율보다 작다',
        'Ma et al. 2018, arXiv:1807.11164',
        _time_against_macs,
    ),
    Claim(
        'space-is-needed',
        'Pointwise convolutions, which see no neighbours, test worse than standard ones',
        '이웃을 보지 않는 점별 합성곱은 표준 합성곱보다 시험 정확도가 낮다',
        'the notes on the kinds of convolution',
        lambda table: [contrast('accuracy', standard=1, pointwise=-1)],
    ),
    Claim(
        'deformable-tests-better',
        'Deformable convolutions test better than standard ones',
        '변형 가능한 합성곱은 표준 합성곱보다 시험 정확도가 높다',
        'Dai et al. 2017, arXiv:1703.06211 (of detection and segmentation)',
        lambda table: [contrast('accuracy', deformable=1, standard=-1)],
    ),
)

"""What is claimed of depth: degradation, shortcuts, the order inside a unit, DenseNet's growth rate."""

from collections.abc import Sequence

from cnn.analysis.study_table import Table
from cnn.analysis.study_verdict import Claim, Prediction, contrast

_RESNET = 'He et al. 2015, arXiv:1512.03385'
_ORDERS = 'He et al. 2016, arXiv:1603.05027, table 2'
_DENSENET = 'Huang et al. 2016, arXiv:1608.06993'
GROWTH = 'model.growth_rate'

DEGRADATION = (
    Claim(
        'plain-deeper-trains-worse',
        'A plain network of 56 layers has a higher training loss than one of 20, so that it does not overfit',
        '56층 일반 네트워크는 20층보다 훈련 손실이 높다. 따라서 과적합이 아니다',
        f'{_RESNET}, figure 1',
        lambda table: [contrast('train_loss', plain_56=1, plain_20=-1)],
    ),
    Claim(
        'plain-deeper-tests-worse',
        'A plain network of 56 layers has a lower test accuracy than one of 20',
        '56층 일반 네트워크는 20층보다 시험 정확도가 낮다',
        f'{_RESNET}, figure 1',
        lambda table: [contrast('accuracy', plain_20=1, plain_56=-1)],
    ),
    Claim(
        'residual-deeper-trains-better',
        'A residual network of 56 layers has a lower training loss than one of 20',
        '56층 잔차 네트워크는 20층보다 훈련 손실이 낮다',
        f'{_RESNET}, figure 6',
        lambda table: [contrast('train_loss', residual_20=1, residual_56=-1)],
    ),
    Claim(
        'shortcuts-remove-degradation',
        'From 20 to 56 layers the training loss rises more without shortcuts than with them',
        '20층에서 56층으로 갈 때 지름길이 없으면 있을 때보다 훈련 손실이 더 오른다',
        f'{_RESNET}, figure 6',
        lambda table: [contrast('train_loss', '(plain_56 - plain_20) - (residual_56 - residual_20), train loss',
                                plain_56=1, plain_20=-1, residual_56=-1, residual_20=1)],
    ),
)  # fmt: skip

SHORTCUTS = (
    Claim(
        'every-shortcut-beats-none',
        'Each of the shortcuts A, B and C trains better than the plain network of the same depth',
        '지름길 A, B, C는 모두 같은 깊이의 일반 네트워크보다 잘 학습한다',
        f'{_RESNET}, section 4.1, which says it of the validation error',
        lambda table: [contrast('train_loss', plain=1, **{name: -1}) for name in 'ABC'],
    ),
    Claim(
        'projection-tests-better',
        'Projections where shapes change test better than zero padding (B over A), everywhere better still (C over B)',
        '모양이 바뀌는 곳의 투영은 영 채우기보다 시험 정확도가 높고(B > A), 모든 곳에 쓰면 더 높다(C > B)',
        f'{_RESNET}, table 3: 25.03, 24.52 and 24.19 % top-1 error',
        lambda table: [contrast('accuracy', B=1, A=-1), contrast('accuracy', C=1, B=-1)],
    ),
    Claim(
        'projection-is-not-essential',
        'Projections are not essential: with A less than a point of test accuracy is lost to C',
        '투영은 필수가 아니다: A는 C보다 시험 정확도가 1퍼센트포인트 미만으로 낮다',
        f'{_RESNET}, section 4.1',
        lambda table: [contrast('accuracy', margin=0.01, A=1, C=-1)],
    ),
)

BLOCK_ORDERS = (
    Claim(
        'norm-after-addition-is-worse',
        'Normalising after the addition tests worse than the original order',
        '덧셈 뒤에 정규화하면 원래 순서보다 시험 정확도가 낮다',
        f'{_ORDERS}: 8.17 against 6.61 % error',
        lambda table: [contrast('accuracy', original=1, bn_after_add=-1)],
    ),
    Claim(
        'relu-before-addition-is-worse',
        'ReLU before the addition tests worse than the original order',
        '덧셈 앞의 ReLU는 원래 순서보다 시험 정확도가 낮다',
        f'{_ORDERS}: 7.84 against 6.61 % error',
        lambda table: [contrast('accuracy', original=1, relu_before_add=-1)],
    ),
    Claim(
        'full-preactivation-is-better',
        'Full pre-activation tests better than the original order',
        '완전 사전 활성화는 원래 순서보다 시험 정확도가 높다',
        # Not that it trains better: at 110 layers its training loss ends slightly higher (section 4.2).
        f'{_ORDERS}: 6.37 against 6.61 % error',
        lambda table: [contrast('accuracy', full_preact=1, original=-1)],
    ),
)  # fmt: skip


def _ends(table: Table) -> Sequence[Prediction]:
    rows = table.along(GROWTH)
    return [contrast('accuracy', **{rows[-1].name: 1, rows[0].name: -1})]


def _diminishing(table: Table) -> Sequence[Prediction]:
    names = [row.name for row in table.along(GROWTH)]
    return [
        contrast('accuracy', f'accuracy, ({b} - {a}) - ({c} - {b})', **{b: 2, a: -1, c: -1})
        for a, b, c in zip(names, names[1:], names[2:], strict=False)
    ]


GROWTH_RATE = (
    Claim(
        'wider-growth-tests-better',
        'A larger growth rate tests better',
        '성장률이 클수록 시험 정확도가 높다',
        f'{_DENSENET}, table 2',
        _ends,
    ),
    Claim(
        'narrow-growth-suffices',
        'Small growth rates suffice: each step up gains less accuracy than the one before',
        '작은 성장률로 충분하다: 성장률을 한 단계 올릴 때마다 얻는 정확도가 앞 단계보다 작다',
        f'{_DENSENET}, section 3',
        _diminishing,
    ),
)

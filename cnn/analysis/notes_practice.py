"""The notes on data, cross-validation, gradients and training; only some of it can be measured without a study."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn.analysis.notes import Finding, claim, verdict


@claim(
    'ilsvrc-size',
    'ILSVRC has 1,000 classes and a training set of 456,567 images',
    'ILSVRC는 1,000개 클래스와 456,567장의 훈련 이미지로 이루어진다',
    'Russakovsky et al. 2015, arXiv:1409.0575, sizes of the classification and the detection data',
)
def _ilsvrc() -> Finding:
    return Finding(
        'false',
        {},
        'two tasks mixed up: classification has 1,000 classes and 1,281,167 training images; 456,567 are those of the '
        '2014 detection task, which has 200 classes',
        '두 과제가 섞였다: 분류는 1,000개 클래스에 훈련 이미지 1,281,167장이고, 456,567장은 200개 클래스인 2014년 검출 '
        '과제의 훈련 이미지 수다',
        'source',
    )


@claim(
    'degradation',
    'A plain network of 56 layers trains worse than one of 20, and not because it overfits',
    '56층 일반 네트워크는 20층보다 학습이 나쁘며, 과적합 때문이 아니다',
    'He et al. 2015, arXiv:1512.03385, figure 1 and table 2',
)
def _degradation() -> Finding:
    return _study(
        'the paper reports a higher training error as well; the degradation study trains both and their residual twins',
        '논문에 따르면 훈련 오차도 더 높다. degradation 실험이 두 네트워크와 잔차 네트워크를 훈련해 확인한다',
    )


@claim(
    'batch-norm-rate',
    'Batch normalization lets the learning rate rise',
    '배치 정규화를 쓰면 학습률을 높일 수 있다',
    'Ioffe and Szegedy 2015, arXiv:1502.03167, section 4.2',
)
def _batch_norm() -> Finding:
    return _study(
        'the batch normalization study trains with and without it over learning rates',
        'batch normalization 실험이 여러 학습률에서 있을 때와 없을 때를 훈련해 확인한다',
    )


@claim(
    'k-fold-hyperparameters',
    'In K-fold cross-validation results are averaged over tries; does each try have different hyperparameters?',
    'K겹 교차 검증은 시도들의 결과를 평균한다. 시도마다 하이퍼파라미터가 다른가?',
    'Hastie, Tibshirani and Friedman 2009, section 7.10',
)
def _folds() -> Finding:
    return Finding(
        'false',
        {},
        'no: all K tries share one set, and its mean is one number; sets are compared by their means, and the winner '
        'is tested once on data held out from all of it (--mode=cross_validate, --mode=sweep)',
        '아니다: K번의 시도는 하나의 하이퍼파라미터 조합을 함께 쓰고 그 평균이 하나의 값이 된다. 조합끼리는 평균으로 '
        '비교하고, 고른 조합은 따로 남겨 둔 데이터로 한 번만 시험한다(--mode=cross_validate, --mode=sweep)',
        'source',
    )


@claim(
    'detach-copy',
    'detach shares data with its tensor, and clone avoids that',
    'detach는 원래 텐서와 데이터를 공유하고, clone은 이를 피한다',
    "PyTorch's documentation of Tensor.detach and Tensor.clone; docs/gradients.md",
)
def _detach() -> Finding:
    x = jnp.arange(3.0)
    stopped = jax.lax.stop_gradient(x)
    gradient = jax.grad(lambda x: (jax.lax.stop_gradient(x) * x).sum())(x)
    view, copy = np.asarray(x), np.array(x)
    try:
        x[0] = 1.0
        writable = True
    except TypeError:
        writable = False
    numbers = {
        'stop_gradient_keeps_the_value': bool((stopped == x).all()),
        'gradient_of_stop(x) x': gradient.tolist(),
        'arrays_can_be_written': writable or view.flags.writeable,
        'numpy_view_shares_memory': bool(np.shares_memory(view, np.asarray(x))),
        'numpy_copy_shares_memory': bool(np.shares_memory(copy, view)),
    }
    holds = numbers['stop_gradient_keeps_the_value'] and gradient.tolist() == x.tolist()
    holds = holds and not numbers['arrays_can_be_written'] and not numbers['numpy_copy_shares_memory']
    return Finding(
        verdict(holds),
        numbers,
        'in PyTorch. In JAX detach is stop_gradient; arrays cannot be written, so sharing harms nobody, and a copy is '
        'needed only to write into a NumPy view',
        'PyTorch에서는 그렇다. JAX에서 detach는 stop_gradient이고, 배열에 값을 쓸 수 없으므로 공유해도 해가 없다. '
        '복사는 NumPy 뷰에 쓸 때만 필요하다',
    )


def _study(english: str, korean: str) -> Finding:
    return Finding(None, {}, english, korean, 'study')

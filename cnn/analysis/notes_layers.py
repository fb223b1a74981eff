"""The notes on single layers, measured on the layers of `cnn.models.layers` and by small calculations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.analysis.arithmetic import Layer, cost, receptive_field
from cnn.analysis.notes import Finding, claim, judge, verdict
from cnn.models import layers
from cnn.ops.conv import conv
from cnn.ops.conv_transpose import conv_transpose


def _parameters(module: nn.Module, *shape: int) -> int:
    """Parameters of a layer for an input `[1, *shape]`."""
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    made = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), x)
    return sum(leaf.size for leaf in jax.tree.leaves(made['params']))


@claim(
    'conv-parameters',
    'A 3 x 3 convolution of 128 to 64 channels has 3*3*128*64 = 73,728 parameters, whatever padding and stride',
    '128채널을 64채널로 만드는 3x3 합성곱의 파라미터는 패딩과 스트라이드에 관계없이 3*3*128*64 = 73,728개다',
    'count of its kernel',
)
def _conv_parameters() -> Finding:
    made = {
        f'stride {stride}, padding {padding}': _parameters(
            layers.Conv(64, 3, stride, padding, use_bias=False), 14, 14, 128
        )
        for stride in (1, 2)
        for padding in (0, 1, 5)
    }
    counts = set(made.values())
    return Finding(
        verdict(counts == {73_728}),
        made,
        f'{_list(counts)} weights for every stride and padding tried',
        f'시험한 모든 스트라이드와 패딩에서 가중치는 {_list(counts)}개',
    )


@claim(
    'stacked-3x3',
    'Two 3 x 3 convolutions see as much as one 5 x 5, which costs almost 1.5 times as much',
    '3x3 합성곱 두 개는 5x5 하나와 수용 영역이 같고, 5x5는 거의 1.5배의 파라미터가 든다',
    'Simonyan and Zisserman 2014, arXiv:1409.1556, section 2.3',
)
def _stacked() -> Finding:
    two, one = receptive_field([Layer(3), Layer(3)]).size, receptive_field([Layer(5)]).size
    small = 2 * _parameters(layers.Conv(128, 3, use_bias=False), 14, 14, 128)
    large = _parameters(layers.Conv(128, 5, use_bias=False), 14, 14, 128)
    numbers = {'sees': [two, one], 'two_3x3': small, 'one_5x5': large, 'ratio': large / small}
    return Finding(
        judge(1.5, large / small) if two == one else 'false',
        numbers,
        f'both see {one} cells; at 128 channels {large:,} against {small:,} weights, {large / small:.3f} times',
        f'둘 다 {one}칸을 본다. 128채널에서 가중치는 {large:,}개 대 {small:,}개로 {large / small:.3f}배',
    )


@claim(
    'bottleneck-1x1',
    'A 1 x 1 convolution in front (128 to 32, then 3 x 3 back to 128) enables about 30 % reduction',
    '앞에 1x1 합성곱을 두면(128→32, 이어서 3x3으로 128) 약 30% 줄어든다',
    'count of the kernels',
)
def _bottleneck() -> Finding:
    direct = _parameters(layers.Conv(128, 3, use_bias=False), 14, 14, 128)
    squeezed = _parameters(layers.Conv(32, 1, use_bias=False), 14, 14, 128)
    squeezed += _parameters(layers.Conv(128, 3, use_bias=False), 14, 14, 32)
    left = squeezed / direct
    return Finding(
        judge(0.3, 1 - left),
        {'direct': direct, 'through_32': squeezed, 'left': left, 'reduction': 1 - left},
        f'{direct:,} weights become {squeezed:,}: down *to* {left:.1%}, a reduction of {1 - left:.1%}',
        f'가중치 {direct:,}개가 {squeezed:,}개로, 즉 {left:.1%}*로* 줄어 감소율은 {1 - left:.1%}다',
    )


@claim(
    'dense-as-conv',
    'A fully connected layer and its convolutional form have equal parameters',
    '완전연결 층과 그것을 합성곱으로 바꾼 층의 파라미터 수는 같다',
    'exact: the same numbers in another shape',
)
def _dense_as_conv() -> Finding:
    dense = _parameters(layers.Dense(10, use_bias=False), 4 * 4 * 16)
    convolution = layers.Conv(10, 4, padding='valid', use_bias=False)
    as_conv = _parameters(convolution, 4, 4, 16)
    numbers = np.random.default_rng(0)
    x, kernel = numbers.normal(size=(2, 4, 4, 16)), numbers.normal(size=(256, 10))
    params = {'kernel': jnp.asarray(kernel.reshape(4, 4, 16, 10), jnp.float32)}
    y = convolution.apply({'params': params}, jnp.asarray(x, jnp.float32))
    apart = float(np.abs(y[:, 0, 0] - x.reshape(2, 256) @ kernel).max())
    return Finding(
        verdict(dense == as_conv and apart < 1e-3),
        {'dense': dense, 'convolution': as_conv, 'largest_difference_of_outputs': apart},
        f'{dense:,} weights both ways, and with the same numbers outputs differ by {apart:.0e} at most',
        f'양쪽 모두 가중치 {dense:,}개이고, 같은 값을 쓰면 출력 차이는 최대 {apart:.0e}이다',
    )


@claim(
    'rpn-anchors',
    'A region proposal network has 9 anchors a cell, each with 4 box numbers and 2 of objectness',
    'RPN은 셀마다 앵커 9개를 두고, 앵커마다 박스 좌표 4개와 객체 여부 2개를 낸다',
    'py-faster-rcnn, models/pascal_voc/VGG16: cls 18 and bbox 36 channels',
)
def _rpn() -> Finding:
    shapes = {(round(s * 16 / r**0.5), round(s * 16 * r**0.5)) for s in (8, 16, 32) for r in (0.5, 1.0, 2.0)}
    anchors = len(shapes)
    head = {'shared': (512, 3, 512), 'objectness': (2 * anchors, 1, 512), 'boxes': (4 * anchors, 1, 512)}
    sizes = {name: _parameters(layers.Conv(out, k), 14, 14, inputs) for name, (out, k, inputs) in head.items()}
    channels = head['objectness'][0], head['boxes'][0]
    # The release's head on VGG-16: 512*512*9+512 + 512*18+18 + 512*36+36.
    return Finding(
        verdict(anchors == 9 and channels == (18, 36)),
        {'anchors': anchors, 'objectness': channels[0], 'boxes': channels[1], 'parameters': sum(sizes.values())},
        f'3 scales times 3 ratios make {anchors} shapes, {channels[0]} and {channels[1]} channels; on VGG-16 the head '
        f'has {sum(sizes.values()):,} parameters',
        f'크기 3가지와 비율 3가지로 {anchors}개, 채널은 {channels[0]}개와 {channels[1]}개. '
        f'VGG-16에서 헤드의 파라미터는 {sum(sizes.values()):,}개',
    )


@claim(
    'deconvolution',
    'A deconvolution (transposed convolution) is not the inverse of the convolution',
    '디컨볼루션(전치 합성곱)은 합성곱의 역연산이 아니다',
    'Dumoulin and Visin 2016, arXiv:1603.07285, section 4',
)
def _deconvolution() -> Finding:
    numbers = np.random.default_rng(0)
    x, kernel = (jnp.asarray(numbers.normal(size=s), jnp.float32) for s in ((1, 9, 9, 3), (3, 3, 3, 5)))
    geometry = {'strides': (2, 2), 'padding': ((1, 1), (1, 1))}
    forward = conv(x, kernel, **geometry)
    y = jnp.asarray(numbers.normal(size=forward.shape), jnp.float32)
    back = conv_transpose(y, kernel, **geometry)
    adjoint = abs(float((forward * y).sum() - (x * back).sum())) / float(jnp.abs(forward * y).sum())
    again = conv_transpose(forward, kernel, **geometry)
    scaled = again * (again * x).sum() / (again * again).sum()
    error = float(jnp.linalg.norm(scaled - x) / jnp.linalg.norm(x))
    return Finding(
        verdict(error > 0.1 and adjoint < 1e-5),
        {'relative_error_of_there_and_back_at_best_scale': error, 'adjoint_law_off_by': adjoint},
        f'there and back differs by {error:.0%} at the best scale; it is the adjoint, <Conv x, y> = <x, ConvT y> to '
        f'{adjoint:.0e}',
        f'갔다가 돌아오면 가장 잘 맞는 배율에서도 {error:.0%}만큼 다르다. 이것은 수반 연산으로, '
        f'<Conv x, y> = <x, ConvT y>가 {adjoint:.0e}까지 성립한다',
    )


@claim(
    'separable-kernels',
    'A separable 3 x 3 kernel is a 3 x 1 and a 1 x 3, but not every kernel is separable',
    '분리 가능한 3x3 커널은 3x1과 1x3으로 나뉘지만, 모든 커널이 분리 가능한 것은 아니다',
    'a kernel separates exactly if its rank is one',
)
def _separable() -> Finding:
    kernels = {
        'sobel': np.outer([1, 2, 1], [1, 0, -1]),
        'laplacian': np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    }
    ranks = {name: int(np.linalg.matrix_rank(kernel)) for name, kernel in kernels.items()}
    left, values, right = np.linalg.svd(kernels['sobel'])
    rebuilt = np.outer(left[:, 0] * values[0], right[0])
    apart = float(np.abs(rebuilt - kernels['sobel']).max())
    weights = cost('spatially_separable', 3, 1, 1).weights, cost('standard', 3, 1, 1).weights
    return Finding(
        verdict(ranks == {'sobel': 1, 'laplacian': 2} and apart < 1e-9),
        ranks | {'sobel_rebuilt_to': apart, 'weights': list(weights)},
        f'Sobel has rank {ranks["sobel"]} and is rebuilt from {weights[0]} numbers instead of {weights[1]}; the '
        f'Laplacian has rank {ranks["laplacian"]}',
        f'소벨의 계수는 {ranks["sobel"]}로 {weights[1]}개 대신 {weights[0]}개의 수로 복원되고, 라플라시안의 계수는 '
        f'{ranks["laplacian"]}이다',
    )


def _list(numbers) -> str:
    return ', '.join(f'{number:,}' for number in sorted(numbers))

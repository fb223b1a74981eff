"""The notes on AlexNet, VGG and GoogLeNet, measured on the networks of `cnn.models`."""

import functools

from cnn import models
from cnn.analysis import graph, summary
from cnn.analysis.notes import Finding, claim, judge, verdict

BVLC = 'BVLC Caffe, models/bvlc_alexnet/deploy.prototxt'


@functools.cache
def network(name: str, size: int, **sizes) -> tuple[graph.Graph, summary.Summary]:
    """A 1000-way network traced on one image."""
    traced = graph.trace(models.create(name, num_classes=1000, **sizes), (size, size, 3))
    return traced, summary.of_graph(traced)


def _rows(name: str, *args, **sizes) -> dict[str, summary.Row]:
    return {row.name: row for row in network(name, *args, **sizes)[1].layers}


def _weights(name: str, layer: str, *args, **sizes) -> int:
    return network(name, *args, **sizes)[0].variables['params'][layer]['kernel'].size


def _alexnet_layer(layer: str, said: int, english: str, korean: str) -> Finding:
    weights, whole = _weights('alexnet', layer, 227), _rows('alexnet', 227)[layer].parameters
    return filled(judge(said, weights), {'weights': weights, 'with_bias': whole}, english, korean)


def filled(outcome: str, numbers: dict, english: str, korean: str) -> Finding:
    """A finding whose words are filled in with its numbers."""
    shown = {key: f'{value:,}' if isinstance(value, int) else value for key, value in numbers.items()}
    return Finding(outcome, numbers, english.format(**shown), korean.format(**shown))


@claim(
    'alexnet-conv1',
    "AlexNet's first convolution has 11 x 11 x 3 x 48 x 2, about 35k parameters",
    'AlexNet의 첫 합성곱 층은 11x11x3x48x2, 약 35k개의 파라미터를 갖는다',
    BVLC,
)
def _conv1() -> Finding:
    return _alexnet_layer(
        'conv1', 35_000, '{weights} weights, {with_bias} with the biases', '가중치 {weights}개, 편향 포함 {with_bias}개'
    )


@claim(
    'alexnet-conv2',
    "AlexNet's second convolution has 5 x 5 x 48 x 128 x 2, about 307k parameters",
    'AlexNet의 두 번째 합성곱 층은 5x5x48x128x2, 약 307k개의 파라미터를 갖는다',
    BVLC,
)
def _conv2() -> Finding:
    return _alexnet_layer(
        'conv2',
        307_000,
        '{weights} weights, {with_bias} with the biases: each tower reads its own 48 maps only',
        '가중치 {weights}개, 편향 포함 {with_bias}개: 각 타워는 자기 맵 48개만 읽는다',
    )


@claim(
    'alexnet-dense',
    "AlexNet's first dense layer has (13 x 13 x 128 x 2) x (2048 x 2), about 177M parameters",
    'AlexNet의 첫 완전연결 층은 (13x13x128x2)x(2048x2), 약 177M개의 파라미터를 갖는다',
    BVLC,
)
def _dense() -> Finding:
    rows = _rows('alexnet', 227)
    map_, pooled = rows['conv5'].output_shape, rows['pool5'].output_shape
    weights = _weights('alexnet', 'fc6', 227)
    numbers = {
        'weights': weights,
        'slide': map_[1] * map_[2] * map_[3] * rows['fc6'].output_shape[-1],
        'inputs': f'{pooled[1]} x {pooled[2]} x {pooled[3]}',
        'map': f'{map_[1]} x {map_[2]}',
    }
    return filled(
        judge(177e6, weights),
        numbers,
        'the slide leaves out pool5, which makes {inputs} of the {map} map: fc6 has {weights} weights, not {slide}',
        '슬라이드는 pool5를 빠뜨렸다. {map} 맵은 pool5를 거쳐 {inputs}이 되므로 '
        'fc6의 가중치는 {slide}개가 아니라 {weights}개다',
    )


@claim(
    'dense-dominates',
    'The dense layers hold most of the parameters of AlexNet',
    'AlexNet의 파라미터는 대부분 완전연결 층에 있다',
    BVLC,
)
def _dominance() -> Finding:
    rows = _rows('alexnet', 227)
    dense = sum(rows[name].parameters for name in ('fc6', 'fc7', 'fc8'))
    total = sum(row.parameters for row in rows.values())
    numbers = {'dense': dense, 'total': total, 'share': f'{dense / total:.1%}'}
    return filled(
        verdict(dense > total / 2),
        numbers,
        '{dense} of {total}: {share}',
        '{total}개 중 {dense}개: {share}',
    )


@claim(
    'alexnet-size',
    'AlexNet has 60M parameters in 8 layers, 5 convolutional and 3 dense',
    'AlexNet은 8개 층(합성곱 5, 완전연결 3)에 60M개의 파라미터를 갖는다',
    BVLC,
)
def _alexnet() -> Finding:
    _, whole = network('alexnet', 227)
    kinds = [row.kind for row in whole.layers]
    numbers = {
        'parameters': whole.parameters,
        'layers': whole.depth,
        'convolutions': sum(kind.endswith('conv') for kind in kinds),
        'dense': kinds.count('dense'),
    }
    layers_hold = (numbers['layers'], numbers['convolutions'], numbers['dense']) == (8, 5, 3)
    return filled(
        judge(60e6, whole.parameters) if layers_hold else 'false',
        numbers,
        '{parameters} parameters in {layers} layers: {convolutions} convolutions, {dense} dense',
        '{layers}개 층(합성곱 {convolutions}, 완전연결 {dense})에 {parameters}개',
    )


@claim(
    'vgg-size',
    'VGGNet (19 layers) has 110M parameters',
    'VGGNet(19층)의 파라미터는 110M개다',
    "torchvision's model metadata, vgg19: 143,667,240; paper, table 2: 144 million",
)
def _vgg() -> Finding:
    _, whole = network('vgg', 224, variant='19')
    rows = _rows('vgg', 224, variant='19')
    numbers = {
        'parameters': whole.parameters,
        'layers': whole.depth,
        'convolutional': sum(row.parameters for row in rows.values() if row.kind.endswith('conv')),
    }
    return filled(
        judge(110e6, whole.parameters) if whole.depth == 19 else 'false',
        numbers,
        'the {layers}-layer net has {parameters}, {convolutional} of them in convolutions',
        '{layers}층 네트워크의 파라미터는 {parameters}개이고, 그중 합성곱 층에 {convolutional}개가 있다',
    )


@claim(
    'googlenet-size',
    'GoogLeNet (22 layers) has 4M parameters',
    'GoogLeNet(22층)의 파라미터는 4M개다',
    'BVLC Caffe, models/bvlc_googlenet',
)
def _googlenet() -> Finding:
    _, whole = network('googlenet', 224)
    with_heads = network('googlenet', 224, auxiliary=True)[1].parameters
    numbers = {
        'parameters': whole.parameters,
        'with_auxiliary_heads': with_heads,
        'without_classifier': whole.parameters - _rows('googlenet', 224)['fc'].parameters,
        'layers': whole.depth,
    }
    return filled(
        judge(4e6, whole.parameters) if whole.depth == 22 else 'false',
        numbers,
        '{parameters} in {layers} layers; {with_auxiliary_heads} with both auxiliary heads, {without_classifier} '
        'without the classifier: none is 4M',
        '{layers}층에 {parameters}개. 보조 분류기 둘을 더하면 {with_auxiliary_heads}개, 마지막 분류 층을 빼면 '
        '{without_classifier}개로, 어느 것도 4M이 아니다',
    )


@claim(
    'googlenet-fewest',
    'GoogLeNet has the fewest parameters of AlexNet, VGGNet and GoogLeNet',
    'AlexNet, VGGNet, GoogLeNet 중 GoogLeNet의 파라미터가 가장 적다',
    "BVLC Caffe's and torchvision's models",
)
def _fewest() -> Finding:
    numbers = {
        'alexnet': network('alexnet', 227)[1].parameters,
        'vgg': network('vgg', 224, variant='19')[1].parameters,
        'googlenet': network('googlenet', 224)[1].parameters,
    }
    return filled(
        verdict(min(numbers, key=numbers.get) == 'googlenet'),
        numbers,
        'AlexNet {alexnet}, VGG-19 {vgg}, GoogLeNet {googlenet}',
        'AlexNet {alexnet}개, VGG-19 {vgg}개, GoogLeNet {googlenet}개',
    )


@claim(
    'kernels-over-7',
    'Networks after AlexNet never use kernels over 7 x 7',
    'AlexNet 이후의 네트워크는 7x7보다 큰 커널을 쓰지 않는다',
    'the papers of VGG, GoogLeNet, ResNet and DenseNet',
)
def _kernels() -> Finding:
    nets = {'alexnet': (227, {}), 'vgg': (224, {'variant': '19'}), 'googlenet': (224, {}), 'resnet': (224, {}),
            'densenet': (224, {})}  # fmt: skip
    numbers = {name: _largest_kernel(network(name, size, **sizes)[0]) for name, (size, sizes) in nets.items()}
    return filled(
        verdict(all(kernel <= 7 for name, kernel in numbers.items() if name != 'alexnet')),
        numbers,
        'largest kernels: AlexNet {alexnet}, VGG {vgg}, GoogLeNet {googlenet}, ResNet {resnet}, DenseNet {densenet}; '
        'of the networks in the notes it holds',
        '가장 큰 커널: AlexNet {alexnet}, VGG {vgg}, GoogLeNet {googlenet}, ResNet {resnet}, DenseNet {densenet}. '
        '노트의 네트워크에서는 맞다',
    )


def _largest_kernel(traced: graph.Graph) -> int:
    convolutions = (step.eqn for step in traced.steps if step.primitive == 'conv_general_dilated')
    return max(
        eqn.invars[1].aval.shape[d] for eqn in convolutions for d in eqn.params['dimension_numbers'].rhs_spec[2:]
    )

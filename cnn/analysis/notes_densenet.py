"""The notes on DenseNet, measured on the operations of the built network."""

import itertools

from cnn.analysis.graph import Graph
from cnn.analysis.notes import Finding, claim, verdict
from cnn.analysis.notes_networks import network
from cnn.analysis.propagate import Step


def _concatenations(steps: list[Step]) -> list[int]:
    """Channels after each joining of feature maps."""
    joined = (s.eqn for s in steps if s.primitive == 'concatenate' and s.eqn.params['dimension'] == 3)
    return [eqn.outvars[0].aval.shape[3] for eqn in joined]


@claim(
    'densenet-growth',
    'The channels of a DenseNet grow geometrically',
    'DenseNet의 채널 수는 기하급수적으로 늘어난다',
    'Huang et al. 2017, arXiv:1608.06993, section 3',
)
def _growth() -> Finding:
    # Within the first dense block the map keeps the size of the first concatenation.
    channels = _first_run(_concatenations(network('densenet', 224)[0].steps))
    steps = {b - a for a, b in itertools.pairwise(channels)}
    numbers = {'channels': channels, 'growth': sorted(steps)}
    return Finding(
        verdict(len(steps) > 1),
        numbers,
        f'after each layer of the first block there are {_list(channels)} channels: always {_list(steps)} more, '
        'which is linear',
        f'첫 블록의 층마다 채널은 {_list(channels)}개로, 늘 {_list(steps)}개씩 더해지므로 선형이다',
    )


def _list(numbers) -> str:
    return ', '.join(map(str, numbers))


def _first_run(numbers: list[int]) -> list[int]:
    """The rising beginning of a list."""
    end = next((i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1]), len(numbers))
    return numbers[:end]


@claim(
    'densenet-transition',
    'A transition of DenseNet is batch normalization, a 1 x 1 convolution and 2 x 2 average pooling',
    'DenseNet의 전이 층은 배치 정규화, 1x1 합성곱, 2x2 평균 풀링이다',
    "liuzhuang13/DenseNet, models/densenet.lua: BN, ReLU, 1x1, average pooling",
)
def _transition() -> Finding:
    made = _operations_of('transition', network('densenet', 224)[0])
    korean = ', '.join(made).replace('convolution', '합성곱').replace('average pooling', '평균 풀링')
    return Finding(
        verdict([word for word in made if word != 'ReLU'] == ['BN', '1x1 convolution', '2x2 average pooling']),
        {'operations': made},
        f'built as {", ".join(made)}; the notes leave out the ReLU',
        f'실제 구성은 {korean}이다. 노트는 ReLU를 생략했다',
    )


def _operations_of(module: str, traced: Graph) -> list[str]:
    """What the first module of that name (`module` or `module<i>`) does, in the words of the papers."""
    first = next(call.path for call in traced.calls if call.path.split('/')[-1].startswith(module))
    words = []
    for step in traced.steps:
        call = traced.calls[step.call] if step.call is not None else None
        if call is None or not (call.path == first or call.path.startswith(f'{first}/')):
            continue
        sizes = step.eqn.params.get('window_dimensions', ())
        if step.primitive == 'name' and call.kind == 'BatchNorm':
            words.append('BN')
        elif step.primitive == 'max':
            words.append('ReLU')
        elif step.primitive == 'conv_general_dilated':
            words.append('x'.join(map(str, step.eqn.invars[1].aval.shape[:2])) + ' convolution')
        elif step.primitive == 'reduce_window_sum':
            words.append(f'{sizes[1]}x{sizes[2]} average pooling')
    return words

"""Convolution arithmetic in closed form: sizes along one axis, parameters, MACs, receptive field of a chain.

Conventions are the papers' and PyTorch's: explicit padding, floor unless said, one multiply-accumulate (MAC) for each
tap of each output, taps in the padding included, biases not counted as MACs. After Dumoulin and Visin 2016
(arXiv:1603.07285) and Araujo, Norris and Sim 2019 (doi:10.23915/distill.00021).
"""

import dataclasses
import math
from collections.abc import Iterable

from cnn.analysis.windows import Window

KINDS = (
    'standard',
    'dilated',
    'transposed',
    'spatially_separable',
    'grouped',
    'pointwise',
    'depthwise',
    'depthwise_separable',
    'deformable',
    'modulated_deformable',
)


def effective_kernel(kernel: int, dilation: int = 1) -> int:
    """Cells from the first tap of a dilated kernel to its last, both included."""
    _check(kernel=kernel, dilation=dilation)
    return dilation * (kernel - 1) + 1


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Cells that a convolution or pooling makes of `size` cells.

    Args:
      padding: zeros on both sides, or (before, after).
      ceil_mode: pooling as Caffe and PyTorch's `ceil_mode=True` do it: a last window that hangs over the end counts
        unless it would start in the padding behind the last cell.

    Raises:
      ValueError: for an argument out of range, or if the window is larger than the padded input.
    """
    _check(size=size, kernel=kernel, stride=stride, dilation=dilation)
    before, after = _sides(padding)
    room = size + before + after - effective_kernel(kernel, dilation)
    if room < 0:
        raise ValueError(
            f'a window of {effective_kernel(kernel, dilation)} cells does not fit into {size} with padding '
            f'({before}, {after}); pad more, or take a smaller kernel or dilation'
        )
    if not ceil_mode:
        return room // stride + 1
    cells = -(-room // stride) + 1
    return cells - 1 if (cells - 1) * stride >= size + before else cells


def same_padding(size: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Zeros (before, after) for which the output has ceil(size / stride) cells; an odd one comes after, as in XLA."""
    _check(size=size, kernel=kernel, stride=stride, dilation=dilation)
    cells = -(-size // stride)
    total = max((cells - 1) * stride + effective_kernel(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def transposed_output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Cells that a transposed convolution makes of `size` cells.

    `padding` is that of the convolution it is the transpose of: it crops. Of the `stride` sizes which that convolution
    maps to `size`, `output_padding` picks one.

    Raises:
      ValueError: for an argument out of range, or if nothing would be left.
    """
    _check(size=size, kernel=kernel, stride=stride, dilation=dilation)
    if not 0 <= output_padding < max(stride, dilation):
        raise ValueError(f'output_padding={output_padding} must be at least 0 and below the stride or the dilation')
    cells = (size - 1) * stride + effective_kernel(kernel, dilation) - sum(_sides(padding)) + output_padding
    if cells < 1:
        raise ValueError(f'padding={padding} crops everything of a transposed convolution over {size} cells')
    return cells


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a layer costs: every weight is used once per position of the map, so MACs per position are the weights.

    For the transposed convolution positions are the input's: each meets every tap once.
    """

    weights: int
    biases: int
    macs_per_position: int

    @property
    def parameters(self) -> int:
        return self.weights + self.biases

    def macs(self, *positions: int) -> int:
        """MACs over a map of this many positions along each axis: the output's, for 'transposed' the input's."""
        return self.macs_per_position * math.prod(positions)


def cost(
    kind: str,
    kernel: int | tuple[int, int],
    inputs: int,
    outputs: int,
    *,
    groups: int = 1,
    middle: int | None = None,
    bias: bool = False,
) -> Cost:
    """Parameters and MACs of one convolution layer of the given kind.

    Args:
      kind: one of `KINDS`. 'depthwise' gives `outputs` = `inputs` times a whole multiplier; 'pointwise' has a 1x1
        kernel whatever `kernel` says; 'spatially_separable' is a column of taps, then a row; 'deformable'
        (Dai et al. 2017, arXiv:1703.06211) adds the convolution that makes 2 offsets a tap, 'modulated_deformable'
        (v2, Zhu et al. 2018, arXiv:1811.11168) one factor a tap as well.
      kernel: taps, one number for a square.
      groups: of 'grouped'.
      middle: channels between the two steps of 'spatially_separable'; by default `outputs`.
      bias: whether each step has one bias per channel that it makes.

    Returns:
      A `Cost`. MACs of the separable kinds assume that both steps make maps of the output's size; bilinear sampling of
      the deformable ones is not counted, the offset convolution is.

    Raises:
      ValueError: for an unknown kind, or channels that do not divide.
    """
    if kind not in KINDS:
        raise ValueError(f'unknown kind of convolution {kind!r}; there are {", ".join(KINDS)}')
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    _check(kernel=min(rows, columns), inputs=inputs, outputs=outputs, groups=groups)
    taps = rows * columns
    # (weights, channels made) of each step; every weight meets every position once.
    if kind in ('standard', 'dilated', 'transposed'):
        steps = [(taps * inputs * outputs, outputs)]
    elif kind == 'pointwise':
        steps = [(inputs * outputs, outputs)]
    elif kind == 'grouped':
        if inputs % groups or outputs % groups:
            raise ValueError(f'{inputs} -> {outputs} channels do not divide by {groups} groups')
        steps = [(taps * (inputs // groups) * outputs, outputs)]
    elif kind == 'depthwise':
        if outputs % inputs:
            raise ValueError(f'a depthwise convolution of {inputs} channels makes a multiple of them, not {outputs}')
        steps = [(taps * outputs, outputs)]
    elif kind == 'depthwise_separable':
        steps = [(taps * inputs, inputs), (inputs * outputs, outputs)]
    elif kind == 'spatially_separable':
        middle = outputs if middle is None else middle
        steps = [(rows * inputs * middle, middle), (columns * middle * outputs, outputs)]
    else:
        sampled = taps * (2 if kind == 'deformable' else 3)
        steps = [(taps * inputs * sampled, sampled), (taps * inputs * outputs, outputs)]
    weights = sum(w for w, _ in steps)
    return Cost(weights, sum(made for _, made in steps) if bias else 0, weights)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One window operation of a chain along one axis; `transposed` looks through `stride - 1` holes between cells."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False


def receptive_field(layers: Iterable[Layer]) -> Window:
    """What one cell behind a chain of layers sees: `.size`, `.jump` (stride) and `.start` (offset) in input cells.

    Without transposed layers, with l from the input: size = 1 + sum (k_l - 1) d_l * product of the strides before l.
    """
    window = Window()
    for layer in layers:
        if layer.transposed:
            before = effective_kernel(layer.kernel, layer.dilation) - 1 - layer.padding
            window = window.slide(layer.kernel, 1, before, layer.dilation, base_dilation=layer.stride)
        else:
            window = window.slide(layer.kernel, layer.stride, layer.padding, layer.dilation)
    return window


def _sides(padding: int | tuple[int, int]) -> tuple[int, int]:
    return (padding, padding) if isinstance(padding, int) else tuple(padding)


def _check(**positive: int) -> None:
    for name, value in positive.items():
        if value < 1:
            raise ValueError(f'{name}={value} must be at least 1')

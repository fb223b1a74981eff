"""Multiply-accumulates of one primitive operation, counted two ways.

*Nominal*, as papers, PyTorch and this project's tables do: every tap of every output, taps in the padding included; for
a transposed convolution every tap of every input cell. *Touched*, as XLA counts: only taps that meet a real cell.
"""

import math


def macs(eqn) -> int:
    """Nominal MACs of a `conv_general_dilated` or `dot_general` equation; 0 for anything else."""
    name = eqn.primitive.name
    if name == 'dot_general':
        return _dot(eqn)
    if name != 'conv_general_dilated':
        return 0
    taps = 1
    for cells_in, cells_out, kernel, p in _axes(eqn):
        taps *= cells_in * kernel if p['base_dilation'] > 1 else cells_out * kernel
    return taps * _per_tap(eqn)


def touched_macs(eqn) -> int:
    """MACs of a `conv_general_dilated` or `dot_general` equation without padding and holes; 0 for anything else."""
    name = eqn.primitive.name
    if name == 'dot_general':
        return _dot(eqn)
    if name != 'conv_general_dilated':
        return 0
    taps = 1
    for cells_in, cells_out, kernel, p in _axes(eqn):
        last = (cells_in - 1) * p['base_dilation']
        places = (
            i * p['stride'] + tap * p['dilation'] - p['padding'] for tap in range(kernel) for i in range(cells_out)
        )
        taps *= sum(0 <= place <= last and place % p['base_dilation'] == 0 for place in places)
    return taps * _per_tap(eqn)


def _axes(eqn):
    """(cells in, cells out, kernel taps, geometry) along each spatial axis."""
    p = eqn.params
    numbers = p['dimension_numbers']
    image, kernel, out = (v.aval.shape for v in (*eqn.invars, eqn.outvars[0]))
    for i in range(len(p['window_strides'])):
        geometry = {
            'stride': p['window_strides'][i],
            'padding': p['padding'][i][0],
            'dilation': p['rhs_dilation'][i],
            'base_dilation': p['lhs_dilation'][i],
        }
        yield image[numbers.lhs_spec[2 + i]], out[numbers.out_spec[2 + i]], kernel[numbers.rhs_spec[2 + i]], geometry


def _per_tap(eqn) -> int:
    """MACs for one tap at one place: batch times input channels of a group times output channels."""
    p = eqn.params
    numbers = p['dimension_numbers']
    image, kernel, out = (v.aval.shape for v in (*eqn.invars, eqn.outvars[0]))
    batch = image[numbers.lhs_spec[0]] // p['batch_group_count']
    return batch * kernel[numbers.rhs_spec[1]] * out[numbers.out_spec[1]]


def _dot(eqn) -> int:
    (contract, _), _ = eqn.params['dimension_numbers']
    left = eqn.invars[0].aval.shape
    return math.prod(eqn.outvars[0].aval.shape) * math.prod(left[d] for d in contract)

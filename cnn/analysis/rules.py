"""The receptive field rule of each primitive operation: fields of the operands -> field of the result."""

import math

from cnn.analysis.fields import Axis, blur, each, join


def _shape(atom) -> tuple[int, ...]:
    return tuple(atom.aval.shape)


def _conv(eqn, image, kernel):
    if kernel is not None:
        return blur((image, kernel))
    p = eqn.params
    numbers = p['dimension_numbers']
    lhs, rhs, out = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    shape, taps = _shape(eqn.invars[0]), _shape(eqn.invars[1])

    def change(axis):
        if axis.dim not in lhs[2:]:
            # Space that was folded into channels or batch.
            return axis.collapse(shape[axis.dim]) if axis.dim == lhs[1] else axis.moved(out[0])
        i = lhs[2:].index(axis.dim)
        window = axis.window.slide(
            taps[rhs[2 + i]], p['window_strides'][i], p['padding'][i][0], p['rhs_dilation'][i], p['lhs_dilation'][i]
        )
        return axis.moved(out[2 + i], window)

    return each(image, change)


def _reduce_window(eqn, image, *_):
    p = eqn.params

    def change(axis):
        d = axis.dim
        low, _ = p['padding'][d]
        dilations = p['window_dilation'][d], p['base_dilation'][d]
        return axis.moved(d, axis.window.slide(p['window_dimensions'][d], p['window_strides'][d], low, *dilations))

    return each(image, change)


def _dot(eqn, left, right):
    (contract_left, contract_right), (batch_left, batch_right) = eqn.params['dimension_numbers']
    rank_left = len(_shape(eqn.invars[0]))

    def side(field, shape, contract, batch, first_free):
        free = [d for d in range(len(shape)) if d not in contract and d not in batch]

        def change(axis):
            if axis.dim in contract:
                return axis.collapse(shape[axis.dim])
            if axis.dim in batch:
                return axis.moved(tuple(batch).index(axis.dim))
            return axis.moved(first_free + free.index(axis.dim))

        return None if field is None else each(field, change)

    free_left = rank_left - len(contract_left) - len(batch_left)
    return join(
        side(left, _shape(eqn.invars[0]), contract_left, batch_left, len(batch_left)),
        side(right, _shape(eqn.invars[1]), contract_right, batch_right, len(batch_left) + free_left),
    )


def _reduce(eqn, *fields):
    gone = eqn.params['axes']
    shape = _shape(eqn.invars[0])

    def change(axis):
        if axis.dim in gone:
            return axis.collapse(shape[axis.dim])
        return axis.moved(axis.dim - sum(d < axis.dim for d in gone))

    return each(join(*fields), change)


def _sort(eqn, *fields):
    shape = _shape(eqn.invars[0])
    along = eqn.params['dimension'] % len(shape)
    return each(join(*fields), lambda a: a.collapse(shape[a.dim]) if a.dim == along else a)


def _broadcast(eqn, field, *_):
    places = eqn.params['broadcast_dimensions']
    old, new = _shape(eqn.invars[0]), _shape(eqn.outvars[0])

    def change(axis):
        place = places[axis.dim]
        return axis.collapse(1) if old[axis.dim] != new[place] else axis.moved(place)

    return each(field, change)


def _transpose(eqn, field):
    return each(field, lambda axis: axis.moved(eqn.params['permutation'].index(axis.dim)))


def _squeeze(eqn, field):
    return _without(field, eqn.params['dimensions'])


def _without(field, gone):
    return each(
        field,
        lambda a: a.collapse(1) if a.dim in gone else a.moved(a.dim - sum(d < a.dim for d in gone)),
    )


def _expand(eqn, field):
    new = eqn.params['dimensions']
    kept = [d for d in range(len(_shape(eqn.outvars[0]))) if d not in new]
    return each(field, lambda axis: axis.moved(kept[axis.dim]))


def _reshape(eqn, field, *_):
    """Where the axis is the outermost of the dimensions that are regrouped, it lives on in the outermost new one.

    Split, a new cell holds several old ones; merged with an inner dimension that is not space, an old cell is repeated.
    Anything else (a flattened image) is seen whole.
    """
    old, new = _shape(eqn.invars[0]), _shape(eqn.outvars[0])
    before_old, before_new = ([math.prod(shape[:d]) for d in range(len(shape) + 1)] for shape in (old, new))
    edges = [d for d, count in enumerate(before_old) if count in before_new]

    def change(axis):
        start, stop = max(d for d in edges if d <= axis.dim), min(d for d in edges if d > axis.dim)
        others = any(a.window is not None and a.dim != axis.dim and start <= a.dim < stop for a in field)
        if old[axis.dim] == 1 or before_old[axis.dim] != before_old[start] or others:
            return axis.collapse(old[axis.dim])
        outer = max(d for d in range(len(new)) if before_new[d] == before_old[start])
        inner = before_old[stop] // before_old[axis.dim + 1]
        return axis.moved(outer, axis.window.repeat(inner).merge(old[axis.dim] * inner // new[outer]))

    return each(field, change)


def _pad(eqn, field, value):
    config = eqn.params['padding_config']

    def change(axis):
        low, _, interior = config[axis.dim]
        return axis.moved(axis.dim, axis.window.slide(1, 1, int(low), 1, int(interior) + 1))

    return join(None if field is None else each(field, change), value)


def _slice(eqn, field):
    starts = eqn.params['start_indices']
    strides = eqn.params['strides'] or (1,) * len(starts)
    return each(field, lambda a: a.moved(a.dim, a.window.slide(1, strides[a.dim], -starts[a.dim])))


def _dynamic_slice(eqn, field, *starts):
    """Exact where a dimension is kept whole; elsewhere the place is only known at run time."""
    if any(start is not None for start in starts):
        return blur((field, *starts))
    old, new = _shape(eqn.invars[0]), _shape(eqn.outvars[0])
    return each(field, lambda axis: axis if old[axis.dim] == new[axis.dim] else Axis(known=False))


def _reverse(eqn, field):
    shape = _shape(eqn.invars[0])
    flipped = eqn.params['dimensions']
    return each(field, lambda a: a.moved(a.dim, a.window.flip(shape[a.dim])) if a.dim in flipped else a)


def _concatenate(eqn, *fields):
    along = eqn.params['dimension']
    parts = []
    for field, atom in zip(fields, eqn.invars, strict=True):
        if field is not None:
            cells = _shape(atom)[along]
            parts.append(each(field, lambda a, n=cells: a.collapse(n) if a.dim == along else a))
    return join(*parts)


def _split(eqn, field):
    along, start, results = eqn.params['axis'], 0, []
    for size in eqn.params['sizes']:
        results.append(_cut(field, along, start))
        start += size
    return results


def _unstack(eqn, field):
    along = eqn.params['axis']
    return [_without(_cut(field, along, place), (along,)) for place in range(len(eqn.outvars))]


def _cut(field, along, start):
    return each(field, lambda a: a.moved(a.dim, a.window.slide(1, padding=-start)) if a.dim == along else a)


def _top_k(eqn, field):
    shape = _shape(eqn.invars[0])
    return each(field, lambda a: a.collapse(shape[a.dim]) if a.dim == len(shape) - 1 else a)


RULES = {
    'conv_general_dilated': _conv,
    'dot_general': _dot,
    'broadcast_in_dim': _broadcast,
    'transpose': _transpose,
    'squeeze': _squeeze,
    'expand_dims': _expand,
    'reshape': _reshape,
    'pad': _pad,
    'slice': _slice,
    'dynamic_slice': _dynamic_slice,
    'rev': _reverse,
    'concatenate': _concatenate,
    'sort': _sort,
    'top_k': _top_k,
}
RULES |= dict.fromkeys(
    ('reduce_window_max', 'reduce_window_min', 'reduce_window_sum', 'reduce_window'), _reduce_window
)
RULES |= dict.fromkeys(
    ('reduce_sum', 'reduce_max', 'reduce_min', 'reduce_prod', 'reduce_and', 'reduce_or', 'argmax', 'argmin'), _reduce
)

# Operations with several results: a rule gives the field of each.
SEVERAL = {
    'split': _split,
    'unstack': _unstack,  # jnp.unstack and iteration since JAX 0.12; slices before
    'optimization_barrier': lambda eqn, *fields: list(fields),
}

ELEMENTWISE = frozenset(
    (
        'abs', 'acos', 'add', 'add_any', 'and', 'asin', 'atan', 'atan2', 'cbrt', 'ceil', 'clamp',
        'convert_element_type', 'copy', 'cos', 'cosh', 'device_put', 'div', 'eq', 'erf', 'erf_inv', 'erfc', 'exp',
        'exp2', 'expm1', 'floor', 'ge', 'gt', 'integer_pow', 'is_finite', 'le', 'log', 'log1p', 'logistic', 'lt',
        'max', 'min', 'mul', 'name', 'ne', 'neg', 'nextafter', 'not', 'or', 'pow', 'reduce_precision', 'rem',
        'round', 'rsqrt', 'select_n', 'sharding_constraint', 'sign', 'sin', 'sinh', 'sqrt', 'square',
        'stop_gradient', 'sub', 'tan', 'tanh', 'xor',
    )
)  # fmt: skip

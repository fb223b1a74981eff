"""A summary as plain text of at most 120 columns."""

WIDTH = 120


def table(summary) -> str:
    """One line a layer, totals last."""
    head = ('layer', 'kind', 'output', 'parameters', 'MACs', 'memory', 'stride', 'sees')
    total = ('total', '', '', f'{summary.parameters:,}', _short(summary.macs), _bytes(summary.activation_bytes), '', '')
    rows = [head, *map(_cells, summary.layers), total]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(head) - 1))
    lines = []
    for row in rows:
        cells = (_fit(cell, width, i > 2) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        lines.append('  '.join(cells).rstrip())
    rule = '-' * (sum(widths) + 2 * (len(head) - 1))
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    return '\n'.join([*lines, _agreement(summary.check)] if summary.check else lines)


def _agreement(check) -> str:
    verdict = 'they agree' if check.agrees else 'THEY DISAGREE'
    return (
        f'operations without padding: {_short(check.ours)} by these layers, {_short(check.xla)} by XLA; '
        f'{verdict} ({check.difference:.1e} apart)'
    )


def _cells(row) -> tuple[str, ...]:
    return (
        row.name,
        row.kind,
        'x'.join(map(str, row.output_shape)),
        f'{row.parameters:,}' if row.parameters else '',
        _short(row.macs) if row.macs else '',
        _bytes(row.activation_bytes),
        _axes(row.stride),
        _axes(row.receptive_field),
    )


def _axes(value) -> str:
    if isinstance(value, list):
        return 'x'.join('-' if v is None else f'{v:g}' for v in value)
    return '-' if value is None else f'{value:g}'


def _short(count: int) -> str:
    """4,089,184,256 -> '4.089 G'."""
    for unit, size in (('G', 10**9), ('M', 10**6), ('k', 10**3)):
        if count >= size:
            return f'{count / size:.3f} {unit}'
    return f'{count}'


def _bytes(count: int) -> str:
    for unit, size in (('GiB', 2**30), ('MiB', 2**20), ('KiB', 2**10)):
        if count >= size:
            return f'{count / size:.1f} {unit}'
    return f'{count} B'


def _fit(text: str, width: int, right: bool) -> str:
    """Pads, or keeps the end of what is too long: the end of a path says more."""
    if len(text) > width:
        text = '…' + text[len(text) - width + 1 :]
    return text.rjust(width) if right else text.ljust(width)

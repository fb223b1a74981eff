"""What a study leaves behind: `study.json`, `study.md`, `study.png`, and the verdicts on the screen."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn.analysis.studies import judge_all
from cnn.analysis.study_table import Row, Table
from cnn.analysis.study_verdict import Finding, Verdict, contrast, find, over_seeds
from cnn.plots import drift as drift_plot
from cnn.plots import study as plots
from cnn.training import log, provenance

# Metrics from 0 to 1, which the table has in per cent.
_SHARES = ('accuracy', 'train_accuracy', 'fit_accuracy', 'mean_class_accuracy', 'top5_accuracy')
_HEADS = {'accuracy': 'test accuracy', 'loss': 'test loss', 'train_loss': 'loss in training',
          'train_accuracy': 'accuracy in training', 'fit_accuracy': 'accuracy on the training examples',
          'fit_loss': 'loss on the training examples', 'drift': 'drift'}  # fmt: skip


Runs = Mapping[tuple[str, int], dict[str, Any]]


def write(config, workdir: pathlib.Path, table: Table, runs: Runs, layout: str, tested: int) -> dict[str, Any]:
    """Returns what `study.json` holds.

    Args:
      runs: by arm and seed: `metrics`, `curves`, `seed`, and where it is so `drift`, `diverged_at`.
      layout: in which the members were trained.
      tested: examples of the test split.
    """
    verdicts = judge_all(config.study.name, table)
    document = {
        'study': config.study.name,
        'dataset': config.dataset,
        'tested': tested,
        'seeds': list(table.seeds),
        'layout': layout,
        'plot': dict(config.study.show),
        'arms': [_arm(row) for row in table.rows],
        'differences': _differences(table),
        'verdicts': [verdict.to_json() for verdict in verdicts],
        'runs': [{'arm': name, **found} for (name, _), found in runs.items()],
        'config': config.to_dict(),
        'versions': provenance.versions(),
        'devices': provenance.devices(),
        'commit': provenance.commit(),
    }
    document = log.to_json(document)
    log.write_json(workdir / 'study.json', document)
    columns = [name.strip() for name in config.study.columns.split(',')]
    text = markdown(table, verdicts, columns, tested)
    log.write_text(workdir / 'study.md', text)
    written = ['study.json', 'study.md', *plots.draw(document, str(workdir))]
    if any('drift' in found for found in runs.values()):
        drift_plot.draw(document, str(workdir / 'drift.png'))
        written.append('drift.png')
    print(text.replace('<br>', '\n  '))
    print(f'{workdir}: {", ".join(written)}')
    return document


def _arm(row: Row) -> dict[str, Any]:
    finite = {name: [v for v in values if math.isfinite(v)] for name, values in row.values.items()}
    return {
        'name': row.name,
        'arm': row.arm,
        'settings': dict(row.settings),
        **row.facts,
        'timings': dict(row.timings),
        'diverged': {str(seed): step for seed, step in row.diverged.items()},
        'values': {name: list(values) for name, values in row.values.items()},
        'mean': {name: float(np.mean(values)) if values else None for name, values in finite.items()},
        'std': {name: float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in finite.items()},
        'n': {name: len(values) for name, values in finite.items()},
        'interval': {name: _interval(values) for name, values in finite.items()},
    }


def _interval(values: Sequence[float]) -> list[float] | None:
    found = over_seeds(values) if values else None
    return None if found is None or found.low is None else [found.low, found.high]


def _differences(table: Table) -> list[dict[str, Any]]:
    """Each arm's paired difference to its reference over the seeds, of every metric that all of them have."""
    return [
        {'arm': row.name, 'to': table.reference(row).name, 'metric': metric, 'values': list(found.values),
         **found.interval._asdict()}
        for row in table.rows for metric in row.values if (found := _difference(table, row, metric)) is not None
    ]  # fmt: skip


def _difference(table: Table, row: Row, metric: str) -> Finding | None:
    other = table.reference(row)
    if other is row or not {metric} <= set(row.values) & set(other.values):
        return None
    values = table.values(row.name, metric) - table.values(other.name, metric)
    return find(contrast(metric, **{row.name: 1, other.name: -1}), table) if np.isfinite(values).all() else None


def markdown(table: Table, verdicts: Sequence[Verdict], columns: Sequence[str], tested: int) -> str:
    """The table, a line on what its numbers are, and the verdicts in both languages."""
    columns = [name for name in columns if any(name in row.values for row in table.rows)]
    timed = any(row.timings for row in table.rows)
    heads = ['arm', *(_HEADS.get(name, name.replace('_', ' ')) for name in columns), 'parameters', 'MACs']
    heads += ['ms a training step', 'ms a batch scored'] if timed else []
    heads += [f'{_HEADS.get(name, name)} less {_reference(table)} (95 % interval)' for name in columns[:1]] + ['n']
    lines = [_row(heads), _row(['---'] * len(heads))]
    for row in table.rows:
        cells = [row.name, *(_cell(row, name) for name in columns)]
        cells += [f'{row.facts.get("parameters", 0):,}', _short(row.facts.get('macs', 0))]
        cells += [_milliseconds(row, 'step_seconds'), _milliseconds(row, 'forward_seconds')] if timed else []
        cells += [_paired(table, row, columns[0])] if columns else []
        diverged = f', {len(row.diverged)} diverged' if row.diverged else ''
        lines.append(_row([*cells, f'{len(table.seeds)}{diverged}']))
    seeds = f'seeds {", ".join(map(str, table.seeds))}'
    about = f'Mean ± standard deviation over n {seeds}; {tested} test examples. Differences are paired by seed (t).'
    if any(row.diverged for row in table.rows):
        about += ' A run whose loss is not finite is scored as a guess and has no loss.'
    parts = ['\n'.join(lines), about]
    if verdicts:
        parts.append('\n'.join(f'- {v.said()}<br>{v.said_ko()}' for v in verdicts))
    return '\n\n'.join(parts) + '\n'


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _cell(row: Row, metric: str) -> str:
    values = np.asarray(row.values.get(metric, ()), float)
    values = values[np.isfinite(values)]
    if not len(values):
        return '–'
    scale, digits = (100, 1) if metric in _SHARES else (1, 3)
    spread = f' ± {scale * values.std(ddof=1):.{digits}f}' if len(values) > 1 else ''
    return f'{scale * values.mean():.{digits}f}{spread}' + (' %' if scale == 100 else '')


def _reference(table: Table) -> str:
    several = len({row.arm for row in table.rows}) > 1
    return table.rows[0].arm if several else table.rows[0].name


def _paired(table: Table, row: Row, metric: str) -> str:
    found = _difference(table, row, metric)
    if found is None:
        return '–'
    scale, digits = (100, 1) if metric in _SHARES else (1, 3)
    i = found.interval
    ends = f' ({scale * i.low:+.{digits}f} to {scale * i.high:+.{digits}f})' if i.low is not None else ' (no interval)'
    return f'{scale * i.mean:+.{digits}f}{ends}'


def _milliseconds(row: Row, name: str) -> str:
    values = 1e3 * np.asarray(row.timings.get(name, ()), float)
    return f'{np.median(values):.1f} ({values.min():.1f} to {values.max():.1f})' if len(values) else '–'


def _short(count: float) -> str:
    for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if count >= size:
            return f'{count / size:.2f} {unit}'
    return f'{count:g}'

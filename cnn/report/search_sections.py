"""What a sweep or a study found."""

from collections.abc import Mapping
from typing import Any

from cnn.report import numbers
from cnn.report.blocks import Folded, Section, Table, Text
from cnn.report.workdir import Run

# Trials shown.
BEST = 10


def sweep_section(run: Run) -> Section:
    """The best trials, what mattered, and what became of the others."""
    sweep = run.documents.get('sweep')
    if not sweep:
        return Section('Sweep', [])
    metric, sign = sweep['metric'], -1 if sweep['direction'] == 'maximize' else 1
    scored = [t for t in sweep['trials'] if t['value'] is not None]
    ranked = sorted(scored, key=lambda t: (t['state'] != 'complete', sign * t['value'], t['number']))
    paths = list(dict.fromkeys(path for t in sweep['trials'] for path in t['values']))
    best = (sweep.get('best') or {}).get('number')
    rows = [[f'{t["number"]}', t['state'], numbers.of_metric(metric, t['value']),
             *(numbers.setting(t['values'].get(path, '')) for path in paths), numbers.seconds(t['seconds'])]
            for t in ranked[:BEST]]  # fmt: skip
    head = ['trial', 'state', metric.replace('_', ' '), *(p.rpartition('.')[2] for p in paths), 'time']
    counts = ', '.join(f'{n} {state}' for state, n in sweep['counts'].items() if n)
    blocks: list[Any] = [
        Text(f'{sweep["sampler"]} sampler, {sweep["pruner"]} pruner, {sweep["objective"]}; trials: {counts}.', 'quiet'),
        Table(head, rows, f'The best {len(rows)} of {len(sweep["trials"])} trials: {sweep["warning"]}.',
              [i for i, t in enumerate(ranked[:BEST]) if t['number'] == best]),
    ]  # fmt: skip
    if importance := sweep.get('importance'):
        shares = sorted(importance.items(), key=lambda kv: -kv[1])
        rows = [[path, numbers.share(value)] for path, value in shares]
        blocks.append(Table(['setting', 'its share of what varied'], rows, sweep.get('importance_note', '')))
    elif note := sweep.get('importance_note'):
        blocks.append(Text(str(note), 'quiet'))
    if errors := [[f'{t["number"]}', str(t['error'])] for t in sweep['trials'] if 'error' in t]:
        blocks.append(Folded(f'{len(errors)} failed trials', [Table(['trial', 'error'], errors)]))
    return Section('Sweep', blocks)


def study_section(run: Run) -> Section:
    """The arms, and the verdicts on the claims in both languages."""
    study = run.documents.get('study')
    if not study:
        return Section('Study', [])
    names = [name for name in ('accuracy', 'loss', 'train_loss') if any(name in a['mean'] for a in study['arms'])]
    rows = [[a['name'], *(_spread(name, a) for name in names), f'{a.get("parameters", 0):,}',
             f'{max(a["n"].values(), default=0)}' + (f', {len(a["diverged"])} diverged' if a['diverged'] else '')]
            for a in study['arms']]  # fmt: skip
    head = ['arm', *(n.replace('_', ' ') for n in names), 'parameters', 'seeds']
    caption = f'Mean ± standard deviation over seeds, on {study["tested"]:,} test examples of {study["dataset"]}.'
    blocks: list[Any] = [Table(head, rows, caption)]
    for verdict in study['verdicts']:
        blocks += _verdict(verdict)
    return Section(f'Study: {study["study"]}', blocks)


def _spread(name: str, arm: Mapping[str, Any]) -> str:
    mean, std = arm['mean'].get(name), arm['std'].get(name)
    value = numbers.of_metric(name, mean)
    return value if std is None or value == '–' else f'{value} ± {numbers.of_metric(name, std).removesuffix(" %")}'


def _verdict(verdict: Mapping[str, Any]) -> list[Any]:
    status, claim = verdict['status'], verdict['claim']
    tone = {'supported': 'good', 'contradicted': 'warning'}.get(status['en'], '')
    rows = [[f['measured'], numbers.short(f['mean']),
             '–' if f['low'] is None else f'{f["low"]:.4g} to {f["high"]:.4g}', f'{f["n"]}', f['status']]
            for f in verdict['findings']]  # fmt: skip
    blocks: list[Any] = [Text(f'{claim["en"]}: {status["en"]}. {verdict.get("why", "")}', tone),
                         Text(f'{claim["ko"]}: {status["ko"]}. ({verdict["source"]})', 'quiet')]  # fmt: skip
    if rows:
        table = Table(['measured', 'mean', 'interval', 'n', 'verdict'], rows)
        blocks.append(Folded('What was measured', [table]))
    return blocks

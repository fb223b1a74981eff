"""A run's own part of the page: its numbers, curves, faults and settings."""

from collections.abc import Mapping
from typing import Any

from cnn.analysis.fold_statistics import SHARES
from cnn.report import curves, numbers
from cnn.report.blocks import Curves, Folded, Section, Table, Text, Tiles
from cnn.report.comparison import flat, main_metric
from cnn.report.workdir import Run

# How many names of a list are shown.
SHOWN = 30


def headline(run: Run) -> Section:
    """The most important numbers, and what is missing."""
    result, main = run.result, main_metric(run)
    metrics = result.get('metrics', {})
    intervals = run.documents.get('folds', {}).get('interval', {})
    tiles = []
    for name in sorted(metrics, key=lambda n: (n != main, n not in SHARES))[:4]:
        interval = numbers.ends(name, intervals.get(name))
        tiles.append((name.replace('_', ' '), numbers.of_metric(name, metrics[name]),
                      f'interval {interval}' if interval != '–' else ''))  # fmt: skip
    if 'steps' in result:
        rate = result.get('images_per_second')
        tiles.append(('steps', f'{result["steps"]:,}', f'{numbers.short(rate)} images/s' if rate else ''))
    if 'wall_seconds' in result:
        tiles.append(('time', numbers.seconds(result['wall_seconds']), ''))
    blocks: list[Any] = [Tiles(tiles)] if tiles else []
    blocks += [Text(remark, 'warning') for remark in run.remarks]
    return Section('', blocks)


def curve_section(run: Run) -> Section:
    """Its record, or its members'."""
    if run.records:
        panels = curves.panels({'': run.records})
        return Section('Curves', [Curves(panels)] if panels else [])
    panels = curves.panels(run.members)
    first = f'the first {len(run.members)} of ' if len(run.members) < run.trained else ''
    note = f'A faint line for each of {first}{run.trained} members.'
    return Section('Curves', [Text(note, 'quiet'), Curves(panels)] if panels else [])


def metric_section(run: Run) -> Section:
    """Every metric of the result; those of training parts beside them, where they were scored."""
    metrics, train = run.result.get('metrics', {}), run.result.get('train_metrics', {})
    if not metrics or 'mean' in run.documents.get('folds', {}):
        return Section('Metrics', [])
    head = ['metric', 'value', *(['on what it was fitted on'] if train else [])]
    rows = [[name.replace('_', ' '), numbers.of_metric(name, value),
             *([numbers.of_metric(name, train.get(name))] if train else [])]
            for name, value in metrics.items()]  # fmt: skip
    return Section('Metrics', [Table(head, rows)])


def fault_section(run: Run) -> Section:
    """What could not be read, and boxes that were not right."""
    result, bad = run.result, run.documents.get('bad_examples', [])
    faulty = run.documents.get('faulty_examples', [])
    count = result.get('bad_examples', len(bad))
    blocks: list[Any] = []
    if result or bad:
        said = f'{count:,} examples could not be read and were replaced.' if count else 'Every example could be read.'
        blocks.append(Text(said, 'warning' if count else 'quiet'))
    if bad:
        rows = [[str(row.get('id', '')), str(row.get('reason', ''))] for row in bad[:SHOWN]]
        blocks.append(Folded(_first(len(bad), 'examples'), [Table(['example', 'why'], rows)]))
    if boxes := result.get('faulty_boxes'):
        said = ', '.join(f'{count:,} {fault}' for fault, count in boxes.items())
        blocks.append(Text(f'Boxes that were left out, clipped or beyond the padding: {said}.', 'warning'))
    if faulty:
        rows = [[str(row.get('id', '')), ', '.join(f'{n} {f}' for f, n in row.get('faults', {}).items())]
                for row in faulty[:SHOWN]]  # fmt: skip
        blocks.append(Folded(_first(len(faulty), 'images'), [Table(['image', 'boxes'], rows)]))
    if at := result.get('diverged_at'):
        blocks.append(Text(f'The loss was not finite from step {at:,} on.', 'warning'))
    return Section('Faults', blocks)


def prediction_section(run: Run) -> Section:
    """What was said of a person's own images."""
    rows = []
    for row in run.documents.get('predictions', [])[:SHOWN]:
        rows.append([str(row.get('image', '')), _prediction(row)])
    return Section('Predictions', [Table(['image', 'prediction'], rows)] if rows else [])


def _prediction(row: Mapping[str, Any]) -> str:
    if 'top' in row:
        return ', '.join(f'{t["class"]} {numbers.share(t["probability"])}' for t in row['top'])
    if 'classes' in row:
        return ', '.join(f'{c["class"]} {numbers.share(c["share"])}' for c in row['classes'][:5])
    found = row.get('detections', [])
    return ', '.join(f'{d["class"]} {d["score"]:.2f}' for d in found[:5]) or 'nothing'


def other_section(run: Run) -> Section:
    """What else was measured: localization, layers, exported files."""
    blocks: list[Any] = []
    if found := run.documents.get('localization'):
        rows = [[name.replace('_', ' '), numbers.plain(value)] for name, value in found.items()]
        blocks.append(Table(['localization', 'value'], rows))
    if found := run.documents.get('summary'):
        blocks.append(Text(f'{found["parameters"]:,} parameters, {found["macs"]:,} multiplications an image.'))
    if found := run.documents.get('export'):
        rows = [[entry.get('file', name), f'{entry.get("bytes", 0):,}', entry.get('sha256', entry.get('error', ''))]
                for name, entry in found['formats'].items()]  # fmt: skip
        blocks.append(Table(['exported', 'bytes', 'SHA-256'], rows))
    return Section('Also', blocks)


def origin_section(run: Run) -> Section:
    """With what it was made, and all its settings."""
    result, config = run.result, run.config
    devices, versions = result.get('devices', {}), result.get('versions', {})
    rows = [['workdir', str(run.folder)]]
    rows += [[name, numbers.plain(config[name])] for name in ('task', 'dataset', 'seed') if name in config]
    if model := config.get('model'):
        sizes = [f'{name}={numbers.plain(value)}' for name, value in model.items() if name != 'name' and value != '']
        rows.append(['network', ', '.join([str(model.get('name', '')), *sizes])])
    if devices:
        rows.append(['devices', f'{devices.get("count")} x {devices.get("kind")}; processes: '
                     f'{devices.get("processes")}; CPU cores: {devices.get("cpus")}'])  # fmt: skip
    if versions:
        rows.append(['versions', ', '.join(f'{name} {version}' for name, version in versions.items())])
    if 'commit' in result:
        rows.append(['commit', str(result['commit'])])
    blocks: list[Any] = [Table(['', ''], rows, left=True)]
    dataset = run.documents.get('dataset', {})
    names = dataset.get('mask_names') if config.get('task') == 'segmentation' else dataset.get('class_names')
    if names:
        blocks.append(Folded(f'{len(names):,} classes', [Text(', '.join(map(str, names)))]))
    if config:
        settings = [[path, numbers.plain(value)] for path, value in flat(config).items()]
        blocks.append(Folded(f'All {len(settings)} settings', [Table(['setting', 'value'], settings, left=True)]))
    return Section('Origin', blocks)


def _first(count: int, what: str) -> str:
    return 'Their names' if count <= SHOWN else f'The first {SHOWN} of {count:,} {what}'


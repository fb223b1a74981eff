"""One self-contained HTML page of a run or of several: no script, no request to anywhere, every string escaped.

The escaping is Jinja2's, switched on for all that `page.html` shows; what the page may load is besides forbidden to the
browser by a content security policy in it, so that a name that slipped through would still do nothing.
"""

import base64
import datetime
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jinja2

from cnn.report import blocks, comparison, curves, fold_sections, numbers, run_sections, search_sections
from cnn.report.blocks import Curves, Folded, Picture, Pictures, Section, Table, Text
from cnn.report.workdir import Run

HERE = pathlib.Path(__file__).parent
# Pictures that are embedded, all together, at most.
PICTURE_BYTES = 24 * 2**20
# A run's parts in the order of the page.
PARTS: tuple[Callable[[Run], Section], ...] = (
    run_sections.headline,
    search_sections.study_section,
    fold_sections.fold_section,
    search_sections.sweep_section,
    run_sections.metric_section,
    run_sections.curve_section,
    run_sections.prediction_section,
    run_sections.other_section,
    fold_sections.ledger_section,
    run_sections.fault_section,
    run_sections.origin_section,
)
# What a file of another version, or by another hand, raises in the part that reads it.
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def render(runs: Sequence[Run], *, now: datetime.datetime | None = None) -> str:
    """The page. With several runs it begins with what tells them apart and whether one is better."""
    pictures = Budget(PICTURE_BYTES)
    sections = compared(runs) if len(runs) > 1 else []
    for i, run in enumerate(runs):
        sections += run_part(run, pictures, anchor=f'run-{i}', titled=len(runs) > 1 or bool(run.stages))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals |= {'kind': blocks.kind}
    now = now or datetime.datetime.now(datetime.UTC)
    return environment.get_template('page.html').render(
        title=runs[0].name if len(runs) == 1 else f'{len(runs)} runs',
        said=f'{runs[0].kind} · ' if len(runs) == 1 else '',
        written=f'{now:%Y-%m-%d %H:%M} UTC',
        # Ours, and the one string that is not escaped.
        style=(HERE / 'style.css').read_text(),
        sections=sections,
        contents=[(f'run-{i}', run.name) for i, run in enumerate(runs)] if len(runs) > 1 else [],
        marked=curves.MARKED,
        svg={'width': curves.WIDTH, 'height': curves.HEIGHT, 'left': curves.LEFT, 'bottom': curves.BOTTOM},
    )


def run_part(run: Run, pictures: 'Budget', *, anchor: str, titled: bool = True, stage: bool = False) -> list[Section]:
    """A run's sections, its earlier stages before it; without a title of its own where it is all there is."""
    sections = []
    for i, before in enumerate(run.stages):
        sections += run_part(before, pictures, anchor=f'{anchor}-stage-{i}', stage=True)
    title = f'{"Stage " if stage else ""}{run.name}'
    if titled:
        sections.append(Section(title, [Text(f'{run.kind} in {run.folder}', 'quiet')], 2, anchor))
    parts = [_read(part, run) for part in PARTS]
    # Pictures stand before the account of where all came from.
    shown = pictures.section(run.pictures, run.folder)
    return [*sections, *(s for s in [*parts[:7], shown, *parts[7:]] if s.blocks)]


def _read(part: Callable[[Run], Section], run: Run) -> Section:
    try:
        return part(run)
    except MALFORMED as error:
        what = part.__name__.removesuffix('_section').replace('_', ' ')
        why = f'{type(error).__name__}: {error}'
        words = f'The {what} cannot be shown: a file is not as this version writes it ({why}).'
        return Section('', [Text(words, 'warning')])


class Budget:
    """Pictures as data URIs, as long as there is room."""

    def __init__(self, size: int):
        self._left = size

    def section(self, paths: Sequence[pathlib.Path], folder: pathlib.Path) -> Section:
        """Those that fit, and how many did not."""
        found, left_out = [], 0
        for path in paths:
            content = path.read_bytes()
            if len(content) > self._left or not content.startswith(b'\x89PNG'):
                left_out += 1
                continue
            self._left -= len(content)
            source = f'data:image/png;base64,{base64.b64encode(content).decode()}'
            found.append(Picture(source, str(path.relative_to(folder))))
        parts: list[Any] = [Pictures(found)] if found else []
        if left_out:
            parts.append(Text(f'{left_out} pictures are left out: too large for this page, or no PNG.', 'quiet'))
        return Section('Pictures', parts)


def compared(runs: Sequence[Run]) -> list[Section]:
    """What stands above several runs."""
    made = [_overview, _different_settings, _common_curves, _paired_tests]
    sections = [Section('Comparison', [], 2, 'comparison')]
    for part in made:
        try:
            section = part(runs)
        except MALFORMED as error:
            section = Section('', [Text(f'A comparison cannot be shown ({type(error).__name__}: {error}).', 'warning')])
        sections += [section] if section.blocks else []
    return sections


def _overview(runs: Sequence[Run]) -> Section:
    main = list(dict.fromkeys(comparison.main_metric(run) for run in runs))
    metrics = [*main, *(['loss'] if 'loss' not in main else [])]
    rows = []
    for run in runs:
        result = run.result
        values = [numbers.of_metric(m, result.get('metrics', {}).get(m)) for m in metrics]
        steps = result.get('steps')
        rows.append([run.name, run.kind, *values, f'{steps:,}' if isinstance(steps, int) else '–',
                     numbers.seconds(result.get('wall_seconds')), str(run.config.get('dataset', '–')),
                     str(run.config.get('seed', '–')), _short_commit(result.get('commit'))])  # fmt: skip
    head = ['run', 'kind', *(m.replace('_', ' ') for m in metrics), 'steps', 'time', 'data', 'seed', 'commit']
    return Section('Overview', [Table(head, rows)])


def _short_commit(commit: Any) -> str:
    head, plus, changes = str(commit or '–').partition('+')
    return head[:9] + plus + changes


def _different_settings(runs: Sequence[Run]) -> Section:
    differences = comparison.differences(runs)
    if not differences:
        return Section('Settings', [Text('All settings are the same.', 'quiet')])
    head = ['setting', *(run.name for run in runs)]
    everywhere = [row for row in differences if ... not in row[1]]
    somewhere = [row for row in differences if ... in row[1]]
    parts: list[Any] = [_settings_table(head, everywhere)] if everywhere else []
    if somewhere:
        said = f'{len(somewhere)} settings that not all of the runs have'
        parts.append(Folded(said, [_settings_table(head, somewhere)]))
    return Section('Settings that differ', parts)


def _settings_table(head: Sequence[str], rows: Sequence[tuple[str, list[Any]]]) -> Table:
    cells = [[path, *('–' if v is ... else numbers.plain(v) for v in values)] for path, values in rows]
    return Table(head, cells, left=True)


def _common_curves(runs: Sequence[Run]) -> Section:
    records = {run.name: run.records for run in runs if run.records}
    metrics = dict.fromkeys([*(comparison.main_metric(run) for run in runs), 'loss'])
    panels = [panel for metric in metrics if (panel := curves.compared(records, metric))] if len(records) > 1 else []
    return Section('Curves', [Curves(panels)] if panels else [])


def _paired_tests(runs: Sequence[Run]) -> Section:
    rows, verdicts, said = [], [], []
    for pair in comparison.tests(runs):
        if pair.test is None:
            said.append(Text(f'{pair.a} and {pair.b}. {pair.words}', 'quiet'))
            continue
        test = pair.test
        interval = '–' if test.low is None else f'{numbers.difference(pair.metric, test.low)} to ' + numbers.difference(
            pair.metric, test.high
        )
        p, adjusted = ('–' if p is None else f'{p:.3f}' for p in (test.p_value, pair.adjusted))
        rows.append([f'{pair.a} less {pair.b}', pair.metric.replace('_', ' '),
                     numbers.difference(pair.metric, test.difference), interval, p, adjusted])  # fmt: skip
        verdicts.append(Text(f'{pair.a} and {pair.b}: {pair.words}'))
    parts: list[Any] = []
    if rows:
        head = ['pair', 'metric', 'difference', '95 % interval', 'p', f'p of {len(rows)} (Holm)']
        caption = 'The corrected paired test over the same folds (Nadeau and Bengio 2003).'
        parts += [Table(head, rows, caption), *verdicts]
    parts += said if len(said) < 4 else [*said[:3], Folded(f'{len(said) - 3} more pairs', said[3:])]
    return Section('Is one better?', parts)


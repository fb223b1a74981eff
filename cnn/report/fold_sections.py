"""What a cross-validation found: its folds, intervals that are legitimate, settings compared, and who was tested."""

from collections.abc import Mapping
from typing import Any

from cnn.analysis.ledger import LeakError, Ledger
from cnn.report import numbers
from cnn.report.blocks import Folded, Section, Table, Text
from cnn.report.comparison import main_metric
from cnn.report.workdir import Run


def fold_section(run: Run) -> Section:
    """The folds of images, boxes or masks; of series the methods."""
    folds = run.documents.get('folds', {})
    if not folds:
        return Section('Folds', [])
    if 'methods' in folds:
        return Section('Forecasters', _methods(folds))
    made = folds.get('settings', {})
    blocks: list[Any] = [Text(', '.join(f'{name} {numbers.plain(v)}' for name, v in made.items() if v != ''), 'quiet')]
    if folds.get('mean'):
        blocks += [_fold_table(folds), *_summary(folds, main_metric(run)), *_settings(folds, main_metric(run))]
    if final := folds.get('final_test'):
        said = ', '.join(f'{n.replace("_", " ")} {numbers.of_metric(n, v)}' for n, v in final['metrics'].items())
        blocks.append(Text(f'The final model on {final["split"]}, looked at once: {said}.'))
    if similar := folds.get('near_duplicates'):
        blocks.append(Text(similar['statement'], 'quiet'))
    return Section('Folds', blocks)


def _fold_table(folds: Mapping[str, Any]) -> Table:
    names = list(folds['mean'])
    rows = [[fold['name'], f'{len(fold["train_ids"]):,} / {len(fold["test_ids"]):,}',
             *(numbers.of_metric(n, fold['metrics'].get(n)) for n in names)] for fold in folds['folds']]  # fmt: skip
    return Table(['fold', 'trained on / tested on', *(n.replace('_', ' ') for n in names)], rows)


def _summary(folds: Mapping[str, Any], main: str) -> list[Any]:
    confidence = f'{folds.get("confidence", 0.95):.0%}'
    rows = []
    for name, mean in folds['mean'].items():
        interval = folds['interval'].get(name)
        rows.append([name.replace('_', ' '), numbers.of_metric(name, mean), numbers.ends(name, interval),
                     folds['interval_method'].get(name) or ''])  # fmt: skip
    strong = [i for i, name in enumerate(folds['mean']) if name == main]
    blocks: list[Any] = [Table(['metric', 'mean', f'{confidence} interval', 'how'], rows, strong=strong)]
    if pooled := folds.get('pooled', {}).get('accuracy'):
        ends = numbers.ends('accuracy', [pooled['low'], pooled['high']])
        mean = numbers.of_metric('accuracy', pooled['mean'])
        blocks.append(Text(f'Accuracy of all {pooled["n"]:,} out-of-fold predictions together: {mean}, {ends} '
                           f'({pooled["method"]}).'))  # fmt: skip
    return blocks


def _settings(folds: Mapping[str, Any], main: str) -> list[Any]:
    compared, choice = folds.get('settings_compared'), folds.get('choice', {})
    blocks: list[Any] = []
    if chosen := folds.get('chosen'):
        rows = [[name, ', '.join(f'{k}={numbers.plain(v)}' for k, v in values.items())]
                for name, values in chosen.items()]  # fmt: skip
        blocks.append(Table(['fold', 'settings that its inner folds chose'], rows))
    if not compared:
        return blocks
    tests, rows = folds.get('best_against', {}), []
    for name, found in compared.items():
        test = tests.get(name)
        ends = numbers.difference(main, test['difference']) if test else ''
        rows.append([name, numbers.of_metric(main, found['mean'].get(main)),
                     numbers.ends(main, found['interval'].get(main)), ends,
                     '–' if not test or test['p_value'] is None else f'{test["p_value"]:.3f}'])  # fmt: skip
    strong = [i for i, name in enumerate(compared) if name == choice.get('chosen')]
    caption = f'Chosen: {choice.get("chosen")} ({choice.get("rule")}). {_sentence(folds.get("warning", ""))}'
    head = ['settings', main.replace('_', ' '), 'interval', f'{choice.get("best", "best")} is better by', 'p']
    return [*blocks, Table(head, rows, caption, strong)]


def _sentence(words: str) -> str:
    return f'{words[:1].upper()}{words[1:]}.' if words else ''


def _methods(folds: Mapping[str, Any]) -> list[Any]:
    rows = []
    for name, found in folds['methods'].items():
        rows.append([found.get('name', name), *(numbers.of_metric(m, found['mean'].get(m)) for m in folds['mean']),
                     numbers.ends('mae', found['interval'].get('mae'))])  # fmt: skip
    blocks: list[Any] = [Table(['method', *folds['mean'], 'interval of mae'], rows, folds.get('intervals_mean', ''))]
    compared = [[c['a'], c['b'], numbers.difference('mae', c['difference']), numbers.ends('mae', c['interval']),
                 f'{c["a_better"]} of {c["n_subjects"]}'] for c in folds.get('compared', [])]  # fmt: skip
    if compared:
        head = ['method', 'less', 'difference of mae', 'interval', 'subjects where it is better']
        blocks.append(Folded(f'{len(compared)} pairs compared', [Table(head, compared)]))
    if note := folds.get('data'):
        blocks.append(Text(str(note), 'quiet'))
    return blocks


def ledger_section(run: Run) -> Section:
    """What the run said of who was tested, and what its ledger says when it is checked again now."""
    said = [run.documents.get(name, {}).get('leakage') for name in ('folds', 'sweep')]
    blocks: list[Any] = [Text(words) for words in said if words]
    if not run.ledger:
        return Section('Who was tested', blocks)
    final = 'final' if 'final_test' in run.documents.get('folds', {}) else ''
    try:
        ledger = Ledger.from_json(run.ledger)
        again = ledger.statement(last=final) if run.kind == 'cross-validation' else _verified(ledger)
        blocks.append(Text(f'Checked again for this page, from ledger.json: {again}', 'good'))
    except (ValueError, LeakError) as error:
        blocks.append(Text(f'ledger.json does not bear it out: {error}', 'warning'))
    return Section('Who was tested', blocks)


def _verified(ledger: Ledger) -> str:
    ledger.verify()
    return 'nobody was tested on what it was fitted on.'


"""What a cross-validation leaves behind: `folds.json`, `result.json`, `predictions.csv`, `ledger.json`, a plot."""

import csv
import dataclasses
import io
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn.analysis import fold_statistics
from cnn.analysis.ledger import Ledger
from cnn.experiments.group import Outcome
from cnn.plots import folds as plots
from cnn.training import log, provenance
from input_pipeline import folds as splitting
from input_pipeline import near_duplicates


@dataclasses.dataclass
class FoldReport:
    """Writes a finished cross-validation down, and prints it; `started` is when, by `time.perf_counter`."""

    config: Any
    workdir: pathlib.Path
    source: Any
    ids: Sequence[str]
    folds: Sequence[splitting.Fold]
    layout: str
    started: float

    def write(
        self,
        document: dict[str, Any],
        metrics: Sequence[dict[str, float]],
        tested: Sequence[tuple[splitting.Fold, Outcome]],
        outcomes: dict[str, Outcome],
        ledger: Ledger,
    ) -> dict[str, Any]:
        """Returns what `folds.json` holds.

        Args:
          document: what stands above the folds.
          metrics: of each fold.
          tested: each fold with the models whose predictions count.
          outcomes: everything that was trained, by name.
          ledger: who played which role.
        """
        pooled = self._predictions(tested)
        if pooled:
            document['pooled'] = pooled
        document['near_duplicates'] = self._near_duplicates()
        place = self.workdir / 'folds.json'
        made = json.loads(place.read_text())['settings']
        splitting.save(
            str(place), self.folds, self.ids, settings=made, layout=self.layout,
            metrics=metrics, summary=log.to_json(document),
        )  # fmt: skip
        log.write_json(self.workdir / 'ledger.json', ledger.to_json())
        results = [outcome.result for outcome in outcomes.values()]
        result = provenance.result(
            metrics=document['mean'],
            config=self.config.to_dict(),
            steps=sum(r['steps'] for r in results),
            # Members that train together share their time: it does not add up.
            wall_seconds=time.perf_counter() - self.started,
            images_per_second=_mean([r['images_per_second'] for r in results]),
            bad_examples=max(r['bad_examples'] for r in results),
            members=len(results),
            layout=self.layout,
        )
        log.write_json(self.workdir / 'result.json', result)
        metric = self.config.checkpoint.best_metric
        plots.draw(json.loads(place.read_text()), metric, str(self.workdir / 'folds.png'))
        self._print(document, metrics, metric)
        return json.loads(place.read_text())

    def _near_duplicates(self) -> dict[str, Any]:
        """Images so alike that training on one flatters the score on the other."""
        if not self.config.folds.near_duplicates:
            return {'statement': 'near-duplicate images were not looked for'}
        found = near_duplicates.find(self.source)
        leaks = near_duplicates.across(found, self.folds)
        return {
            'statement': near_duplicates.report(found, self.folds, self.ids),
            'pairs': [[self.ids[i], self.ids[j]] for i, j in zip(found.i[:1000], found.j[:1000], strict=True)],
            'test_ids': {name: [self.ids[i] for i in examples] for name, examples in leaks.items()},
        }

    def _predictions(self, tested) -> dict[str, Any]:
        """Writes every out-of-fold prediction, and scores the pool of them where examples have one label each."""
        tables = [(fold, outcome.part, outcome.predictions) for fold, outcome in tested]
        columns = [name for name in tables[0][2] if name != 'index']
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(['id', 'fold', 'seed', *columns])
        for fold, part, table in tables:
            for row in range(len(table['index'])):
                own = [_cell(table[name][row]) for name in columns]
                writer.writerow([self.ids[int(table['index'][row])], fold.name, part.config.seed, *own])
        log.write_text(self.workdir / 'predictions.csv', text.getvalue())
        if not {'label', 'prediction'} <= set(columns):
            return {}
        correct = np.concatenate([t['label'] == t['prediction'] for _, _, t in tables])
        examples = np.concatenate([t['index'] for _, _, t in tables])
        return {'accuracy': fold_statistics.pooled_share(correct, examples)._asdict()}

    def _print(self, document, metrics, metric: str) -> None:
        for fold, values in zip(self.folds, metrics, strict=True):
            print(f'{fold.name}: ' + '  '.join(f'{name} {value:.4f}' for name, value in values.items()))
        for name, summary in document.get('settings_compared', {}).items():
            print(f'{name}: {_line(summary, metric)}')
        print(_line(document, metric))
        if 'warning' in document:
            print(document['warning'])
        if 'pooled' in document:
            p = document['pooled']['accuracy']
            print(f'pooled accuracy {p["mean"]:.4f}, {p["low"]:.4f} to {p["high"]:.4f} ({p["method"]})')
        if 'final_test' in document:
            final = document['final_test']
            values = '  '.join(f'{name} {value:.4f}' for name, value in final['metrics'].items())
            print(f'final model on {final["split"]}, looked at once: {values}')
        print(document['leakage'])
        print(document['near_duplicates']['statement'])
        print(f'{self.workdir}: folds.json, result.json, predictions.csv, ledger.json, folds.png')


def _cell(value: Any) -> Any:
    """What a column of `predictions.csv` holds of an example; of several numbers (boxes) JSON."""
    return json.dumps(value.tolist()) if np.ndim(value) else value


def _mean(values: Sequence[float | None]) -> float:
    """Of those that are numbers; NaN where none is."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else float('nan')


def _line(summary: dict[str, Any], metric: str) -> str:
    mean, ends, how = (summary[key][metric] for key in ('mean', 'interval', 'interval_method'))
    if ends is None:
        return f'{metric} {mean:.4f}, interval {how}'
    return f'{metric} {mean:.4f}, {summary["confidence"]:.0%} interval {ends[0]:.4f} to {ends[1]:.4f} ({how})'

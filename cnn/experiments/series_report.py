"""What a nested cross-validation of series leaves behind: `folds.json`, `result.json`, `forecasts.csv`, two plots."""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn.analysis.ledger import Ledger
from cnn.experiments import series_scores
from cnn.experiments.group import Outcome
from cnn.experiments.series_folds import Division
from cnn.experiments.series_scores import Method, Rows
from cnn.plots import series as pictures
from cnn.plots import series_comparison
from cnn.training import log, provenance
from input_pipeline import folds as splitting


@dataclasses.dataclass
class SeriesReport:
    """Writes a finished comparison down, and prints it."""

    config: Any
    workdir: pathlib.Path
    source: Any
    rows: Rows
    divisions: Mapping[str, Sequence[Division]]
    methods: Mapping[str, Method]

    def write(
        self,
        metrics: Mapping[str, dict[str, float]],
        chosen: Mapping[str, Sequence[str]],
        ledger: Ledger,
        *,
        layout: str,
        results: Sequence[Outcome],
        folds: Sequence[splitting.Fold],
        made: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Returns what `folds.json` holds.

        Args:
          metrics: of each outer fold, by its name.
          chosen: the settings of each scheme's folds, by name.
          ledger: who played which role.
          layout: how members trained.
          results: all that was trained.
          folds, made: as saved before the training.
        """
        summaries = {name: series_scores.summarise(m, self.rows) for name, m in self.methods.items()}
        # The more informed scheme stands on top; both are below by their names.
        main = list(self.divisions)[-1]
        document = {
            **summaries[main],
            'of': main,
            'n_folds': len(self.divisions[main]),
            'methods': {name: {'name': self.methods[name].name, **s} for name, s in summaries.items()},
            'compared': [series_scores.compare(a, b, self.rows) for a, b in self._pairs()],
            'chosen': {scheme: _counts(names) for scheme, names in chosen.items()},
            'data': self.source.panel.note,
            'intervals_mean': series_scores.MEANING,
            'leakage': ledger.statement(),
        }
        place = self.workdir / 'folds.json'
        splitting.save(
            str(place), folds, self.source.panel.ids(), settings=made, layout=layout,
            metrics=[metrics[fold.name] for fold in folds], summary=log.to_json(document),
        )  # fmt: skip
        log.write_json(self.workdir / 'ledger.json', ledger.to_json())
        self._forecasts()
        seconds = [outcome.result['wall_seconds'] for outcome in results]
        log.write_json(
            self.workdir / 'result.json',
            provenance.result(
                metrics=document['mean'], config=self.config.to_dict(), steps=sum(o.result['steps'] for o in results),
                wall_seconds=max(seconds, default=0.0), images_per_second=float('nan'), members=len(results),
                layout=layout,
            ),
        )  # fmt: skip
        self._draw(summaries, main)
        self._print(document, summaries)
        return json.loads(place.read_text())

    def _pairs(self) -> list[tuple[Method, Method]]:
        """Each network against everything before it."""
        methods = list(self.methods.values())
        return [(m, other) for i, m in enumerate(methods) if m.trained for other in methods[:i]]

    def _forecasts(self) -> None:
        """Every forecast value of every method, beside what came."""
        panel, text = self.source.panel, io.StringIO()
        writer = csv.writer(text)
        writer.writerow(['subject', 'time', 'window', 'steps_ahead', 'truth', *self.methods])
        means = [method.forecasts.mean(0) for method in self.methods.values()]
        for row, example in enumerate(self.rows.examples):
            subject, here = self.rows.subject[row], self.source.origin[example] + 1
            for h in range(self.source.horizon):
                said = [f'{mean[row, h]:.6g}' for mean in means]
                truth = f'{self.rows.truth[row, h]:.6g}'
                time = panel.times[subject][here + h]
                writer.writerow([panel.subjects[subject], time, self.rows.window[row], h + 1, truth, *said])
        log.write_text(self.workdir / 'forecasts.csv', text.getvalue())

    def _draw(self, summaries: Mapping[str, Any], main: str) -> None:
        rows = self.rows
        shown = [
            {
                'name': method.name,
                'trained': method.trained,
                'values': rows.per_subject(method.errors(rows).mean(1)),
                'mean': summaries[name]['mean']['mae'],
                'interval': summaries[name]['interval']['mae'],
                'ahead': summaries[name]['mae_ahead'],
            }
            for name, method in self.methods.items()
        ]
        count, windows = summaries[main]['n_subjects'], summaries[main]['n_windows']
        title = f'{count} subjects, {windows} test window{"s" * (windows > 1)}, {self.config.folds.window} training'
        series_comparison.draw(shown, str(self.workdir / 'comparison.png'), unit=self.source.unit, title=title)
        table = {'index': rows.examples, 'subject': rows.subject, 'truth': rows.truth}
        table |= {'forecast': self.methods[main].forecasts.mean(0)}
        pictures.draw_forecasts(
            table, self.source.curve, str(self.workdir / 'forecasts.png'), unit=self.source.unit
        )  # fmt: skip

    def _print(self, document: Mapping[str, Any], summaries: Mapping[str, Any]) -> None:
        for name, s in summaries.items():
            ends = s['interval']['mae']
            between = f', {ends[0]:.4f} to {ends[1]:.4f}' if ends else ''
            others = '  '.join(f'{key} {s["mean"][key]:.4f}' for key in ('rmse', 'mase', 'skill'))
            print(f'{self.methods[name].name}: mae {s["mean"]["mae"]:.4f}{between}  {others}')
        for c in document['compared']:
            ends = f' ({c["interval"][0]:+.4f} to {c["interval"][1]:+.4f})' if c['interval'] else ''
            share = f'better for {c["a_better"]} of {c["n_subjects"]} subjects'
            print(f'{c["a"]} less {c["b"]}: mae {c["difference"]:+.4f}{ends}, {share}')
        for scheme, counts in document['chosen'].items():
            if len(counts) > 1 or '' not in counts:
                print(f'{scheme} chose {", ".join(f"{name} ({n} times)" for name, n in counts.items())}')
        print(document['intervals_mean'])
        print(document['leakage'])
        print(f'{self.workdir}: folds.json, result.json, forecasts.csv, ledger.json, comparison.png, forecasts.png')


def _counts(names: Sequence[str]) -> dict[str, int]:
    found, counts = np.unique(list(names), return_counts=True)
    return {str(name): int(count) for name, count in zip(found, counts, strict=True)}

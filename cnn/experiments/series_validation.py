"""`--mode=cross_validate` of series: nested folds by time, alone and informed by the others (Cochrane 2018).

Each outer fold has a test window and, before it, a validation window. The settings of `folds.grid` are trained on what
lies before the validation window and chosen by it; the chosen ones are trained once more, on all that lies before the
test window, and only then is that looked at. `regular` trains a model for each subject and window on that subject's own
past, `population_informed` one for each window on everyone's. Baselines without a network forecast the same windows.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn.analysis import fold_statistics
from cnn.analysis.ledger import Ledger
from cnn.experiments import build, grid, group, series_folds, series_report, series_scores
from cnn.experiments.engine import TRACED
from cnn.experiments.errors import UserError
from cnn.experiments.series_folds import Division
from cnn.training.lock import WorkdirLock
from input_pipeline import folds as splitting

NAMES = {'regular': 'network, own past (regular)', 'population_informed': 'network, all subjects (population-informed)'}
# Members that train together where `folds.at_once` leaves it open.
AT_ONCE = 192
# Fields of the section that other folds have and these do not.
USUAL = {'inner': 0, 'repeats': 1, 'groups': '', 'file': '', 'final': False}
LESS_IS_BETTER = ('loss', 'mae', 'rmse', 'mase')


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Returns what `folds.json` holds, {} where the run was stopped before its end."""
    with WorkdirLock(workdir):
        try:
            return SeriesValidation(config, workdir).run()
        except group.Stopped:
            print(f'{workdir}: stopped; the same command goes on from there')
            return {}


class SeriesValidation:
    """One nested cross-validation by time in a workdir."""

    def __init__(self, config, workdir: pathlib.Path):
        self.config, self.workdir = config, workdir
        for name, usual in USUAL.items():
            if config.folds[name] != usual:
                raise UserError(f'config.folds.{name} is not for series: leave it at {usual!r}')
        self.source = build.source(config, 'all')
        self.settings = grid.compared(config, config.folds.grid)
        kinds = series_folds.schemes(config)
        self.divisions = {kind: series_folds.divisions(config, self.source, kind) for kind in kinds}
        self.ledger = Ledger(self.source.panel.ids())
        self.layouts: set[str] = set()
        self.outcomes: dict[str, group.Outcome] = {}

    def run(self) -> dict[str, Any]:
        """Trains, scores and writes it all down."""
        self._begin()
        print(self.source.panel.note)
        methods, metrics, chosen = {}, {}, {}
        first = next(iter(self.divisions.values()))
        rows = series_scores.Rows.of(self.source, first)
        for scheme, divisions in self.divisions.items():
            cache: dict[str, Any] = {}
            own = self._inner(scheme, divisions, cache)
            wanted = [(d.name, d.train, d.test, v) for d, v in zip(divisions, own, strict=True)]
            outcomes = self._train(scheme, wanted, cache)
            for d in divisions:
                self._record(d)
            seeds = range(self.config.folds.seeds)
            tables = [[outcomes[self._name(d.name, v, k)].predictions for d, v in zip(divisions, own, strict=True)]
                      for k in seeds]  # fmt: skip
            methods[scheme] = series_scores.of_networks(rows, tables, NAMES[scheme])
            metrics |= {d.name: self._metrics(outcomes, d.name, v) for d, v in zip(divisions, own, strict=True)}
            chosen[scheme] = [grid.name_of(v) for v in own]
        everyone = self.divisions.get('population_informed', ())
        methods = series_scores.baselines(self.source, first, everyone, rows) | methods
        report = series_report.SeriesReport(self.config, self.workdir, self.source, rows, self.divisions, methods)
        return report.write(
            metrics, chosen, self.ledger, layout=', '.join(sorted(self.layouts)), results=list(self.outcomes.values()),
            folds=self._file_folds(), made=self._made(),
        )  # fmt: skip

    def _made(self) -> dict[str, Any]:
        """What the folds follow from."""
        c, fields = self.config.folds, ('kind', 'division', 'window', 'count', 'test_size', 'validation_size',
                                        'train_size', 'gap', 'others', 'subjects')  # fmt: skip
        more = {'past': self.source.past, 'horizon': self.source.horizon, 'data': self.source.fingerprint()}
        return {name: c[name] for name in fields} | more

    def _file_folds(self) -> list[splitting.Fold]:
        """The outer folds by the values (`subject@time`) that are trained on and forecast."""
        found = []
        for divisions in self.divisions.values():
            for d in divisions:
                train = np.flatnonzero(self.source.select(d.train).seen())
                found.append(splitting.Fold(d.name, 0, d.index, train, np.flatnonzero(self._forecast(d.test))))
        return found

    def _begin(self) -> None:
        """Saves the folds before anything is trained on them; refuses a workdir with others."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        place, made = self.workdir / 'folds.json', self._made()
        if place.is_file() and (before := json.loads(place.read_text()).get('settings')) != made:
            differ = ', '.join(k for k in made if (before or {}).get(k) != made[k])
            raise UserError(f'{place} was made with another {differ}; use a new workdir')
        if not place.is_file():
            splitting.save(str(place), self._file_folds(), self.source.panel.ids(), settings=made)

    def _inner(self, scheme: str, divisions: Sequence[Division], cache) -> list[dict[str, Any]]:
        """The settings that each fold's validation window chooses."""
        if len(self.settings) == 1:
            return [self.settings[0]] * len(divisions)
        wanted = [(f'{d.name}_inner', d.inner_train, d.validation, v) for d in divisions for v in self.settings]
        outcomes, chosen = self._train(scheme, wanted, cache), []
        for d in divisions:
            inner = f'{d.name}_inner'
            for role, values in (('fit', self._seen(d.inner_train)), ('statistics', self._seen(d.inner_train))):
                self.ledger.record(inner, role, np.flatnonzero(values), within=d.name)
            scored = np.flatnonzero(self._forecast(d.validation))
            self.ledger.record(inner, 'test', scored, within=d.name)
            self.ledger.record(d.name, 'selection', scored)
            metric = self.config.checkpoint.best_metric
            values = {grid.name_of(v): [self._metrics(outcomes, inner, v).get(metric)] for v in self.settings}
            if None in [v for own in values.values() for v in own]:
                raise UserError(f'config.checkpoint.best_metric={metric!r} is no metric of these forecasts')
            choice = fold_statistics.select(
                values, list(range(len(values))), self.config.folds.rule,
                larger_is_better=metric not in LESS_IS_BETTER, kind='expanding',
            )  # fmt: skip
            chosen.append(next(v for v in self.settings if grid.name_of(v) == choice.chosen))
        return chosen

    def _train(self, scheme: str, wanted, cache: dict[str, Any]) -> dict[str, group.Outcome]:
        """Trains every (name, examples, test examples, settings) with every seed; outcomes by name."""
        c, parts = self.config.folds, []
        for name, train, test, values in wanted:
            for k in range(c.seeds):
                own = grid.applied(self.config, {**values, 'seed': self.config.seed + k})
                # A subject's own past is small: all of it is then one batch.
                own.batch_size = min(own.batch_size, self._smallest(scheme))
                own.evaluation.every_epochs = max(own.epochs, own.evaluation.every_epochs)
                own.checkpoint.every_epochs = max(own.epochs, own.checkpoint.every_epochs)
                # Nobody reads hundreds of learning curves: four lines each.
                own.log_every_steps = own.log_every_steps or max(1, own.steps // 4)
                parts.append(group.Part(self._name(name, values, k), own, train, test))
        print(f'{scheme}: {len(parts)} models, {"inner" if wanted[0][0].endswith("_inner") else "outer"}', flush=True)
        outcomes, layout = group.run(
            self.source, parts, self.workdir, layout=c.layout, at_once=c.at_once or _even(len(parts), AT_ONCE),
            pictures=False, quiet=True, cache=cache, vary=[name for name in self.settings[0] if name in TRACED],
        )  # fmt: skip
        self.layouts.add(layout)
        found = {outcome.part.name: outcome for outcome in outcomes}
        self.outcomes |= found
        return found

    def _smallest(self, scheme: str) -> int:
        """Examples of the smallest training part."""
        return min(len(part) for d in self.divisions[scheme] for part in (d.inner_train, d.train))

    def _name(self, name: str, values, seed: int) -> str:
        name += f'_setting_{self.settings.index(values)}' if len(self.settings) > 1 else ''
        return name + (f'_seed_{self.config.seed + seed}' if self.config.folds.seeds > 1 else '')

    def _metrics(self, outcomes, name: str, values) -> dict[str, float]:
        """A fold's metrics with some settings, averaged over the seeds."""
        found = [outcomes[self._name(name, values, k)].result['metrics'] for k in range(self.config.folds.seeds)]
        return {key: float(np.mean([f[key] for f in found])) for key in found[0] if found[0][key] is not None}

    def _record(self, d: Division) -> None:
        """Who decided what in the outer fold: whole values, those that are only read included."""
        seen = np.flatnonzero(self._seen(d.train))
        self.ledger.record(d.name, 'fit', seen)
        self.ledger.record(d.name, 'statistics', seen)
        self.ledger.record(d.name, 'test', np.flatnonzero(self._forecast(d.test)))

    def _seen(self, examples: np.ndarray) -> np.ndarray:
        return self.source.select(examples).seen()

    def _forecast(self, examples: np.ndarray) -> np.ndarray:
        return self.source.select(examples).forecast()


def _even(count: int, most: int) -> int:
    """Members at once, so that all rounds are of nearly one size: a last one of its own would be compiled for."""
    return -(-count // -(-count // most))

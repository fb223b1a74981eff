"""`--mode=cross_validate`: K folds of the training split, with every claim about them checked.

With `folds.grid`, settings are compared on the same folds. With `folds.inner` besides, the comparison is nested: inner
folds of each fold's training part choose its settings, and the fold itself only estimates (Varma and Simon 2006). With
`folds.final`, the chosen settings are trained on the whole split, and the test split is looked at once, last.
"""

import json
import pathlib
import time
from typing import Any

import numpy as np

from cnn.analysis import fold_statistics
from cnn.analysis.fold_interval import BY_TIME
from cnn.analysis.ledger import Ledger
from cnn.experiments import build, fold_report, grid, group, series_validation, sources, stages
from cnn.experiments.errors import UserError
from cnn.metrics.base import LESS_IS_BETTER
from cnn.plots import validation_curve
from cnn.training.lock import WorkdirLock
from input_pipeline import folds as splitting


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Returns what `folds.json` holds, {} where the run was stopped before its end."""
    if config.task == 'forecasting':
        return series_validation.run(config, workdir)
    with WorkdirLock(workdir):
        try:
            return CrossValidation(config, workdir).run()
        except group.Stopped:
            print(f'{workdir}: stopped; the same command goes on from there')
            return {}


class CrossValidation:
    """One cross-validation in a workdir."""

    def __init__(self, config, workdir: pathlib.Path):
        self.config, self.workdir = config, workdir
        self.started = time.perf_counter()
        self.source = build.source(config, config.input.train_split)
        self.ids = [self.source.example_id(i) for i in range(len(self.source))]
        self.settings = grid.compared(config, config.folds.grid)
        self.groups = config.folds.groups
        if config.folds.inner and len(self.settings) < 2:
            raise UserError('config.folds.inner chooses between settings; give config.folds.grid two or more')
        stages.check_varied(config, {path for values in self.settings for path in values})
        if config.folds.final:
            self._check_final()
        self.metric = config.checkpoint.best_metric
        self.ledger = Ledger(self.ids)

    def run(self) -> dict[str, Any]:
        c = self.config.folds
        self.workdir.mkdir(parents=True, exist_ok=True)
        folds = self._folds()
        for line in splitting.notes(folds, self.source) if self._has_labels() else ():
            print(line)
        chosen = {fold.name: self.settings for fold in folds}
        if c.inner:
            chosen = {fold.name: [choice] for fold, choice in zip(folds, self._inner(folds), strict=True)}
        outcomes, layout = self._train([(fold, values) for fold in folds for values in chosen[fold.name]], True)
        for fold in folds:
            self._record(fold)
        document, metrics, chosen = self._summarise(folds, chosen, outcomes)
        if c.final:
            document['final_test'] = self._final(folds, outcomes)
        document['leakage'] = self.ledger.statement(last='final' if c.final else '')
        report = fold_report.FoldReport(
            self.config, self.workdir, self.source, self.ids, folds, layout, self.started
        )
        tested = [(fold, self._name(fold, chosen[fold.name], k)) for fold in folds for k in range(c.seeds)]
        return report.write(document, metrics, [(f, outcomes[name]) for f, name in tested], outcomes, self.ledger)

    def _check_final(self) -> None:
        """Refuses a final test on examples that the final model would be fitted on, before anything is trained."""
        split = build.evaluation_split(self.config)
        if both := sources.shared(self.source, build.source(self.config, split)):
            raise UserError(
                f'config.folds.final=True: {len(both)} examples of the split {split!r} are in '
                f'config.input.train_split={self.config.input.train_split!r} too ({both[0]}); '
                'set config.evaluation.split to others'
            )

    def _has_labels(self) -> bool:
        return 'labels' in self.source.info.provides

    def _folds(self) -> list[splitting.Fold]:
        """This workdir's folds, those of `folds.file`, or new ones, saved before anything is trained on them."""
        c = self.config.folds
        made = {'kind': c.kind, 'count': c.count, 'repeats': c.repeats, 'groups': c.groups, 'gap': c.gap,
                'seed': self.config.seed, 'file': c.file}  # fmt: skip
        place = self.workdir / 'folds.json'
        if place.is_file() and (before := json.loads(place.read_text()).get('settings')) != made:
            differ = ', '.join(f'folds.{k}' for k in made if (before or {}).get(k) != made[k])
            raise UserError(f'{place} was made with another {differ}; use a new workdir')
        if place.is_file():
            return splitting.load(str(place), self.ids)
        if c.file:
            folds = splitting.load(c.file, self.ids)
        else:
            groups = splitting.groups_of(self.source, c.groups) if c.groups else None
            folds = splitting.split(
                self.source, kind=c.kind, count=c.count, repeats=c.repeats, groups=groups, seed=self.config.seed,
                gap=c.gap,
            )  # fmt: skip
        splitting.save(str(place), folds, self.ids, settings=made)
        return folds

    def _inner(self, folds) -> list[dict[str, Any]]:
        """The settings that inner folds choose for each fold; every inner model of every fold in one group."""
        c = self.config.folds
        inner = {
            fold.name: splitting.inner(
                fold, self.source, count=c.inner, kind=c.kind, seed=self.config.seed, groups=c.groups or None, gap=c.gap
            )
            for fold in folds
        }
        outcomes, _ = self._train([(f, values) for fold in folds for f in inner[fold.name] for values in self.settings])
        chosen = []
        for fold in folds:
            for f in inner[fold.name]:
                self._record(f, within=fold.name)
                self.ledger.record(fold.name, 'selection', f.test)
            values = {
                grid.name_of(v): [self._value(outcomes, f, v) for f in inner[fold.name]] for v in self.settings
            }
            choice = self._select(values, inner[fold.name])
            print(f'{fold.name}: {choice.chosen} ({choice.rule}; {self.metric} {choice.means[choice.chosen]:.4f})')
            chosen.append(next(v for v in self.settings if grid.name_of(v) == choice.chosen))
        return chosen

    def _select(self, values: dict[str, list[float]], folds) -> fold_statistics.Choice:
        """Settings earlier in the grid count as simpler."""
        return fold_statistics.select(
            values,
            list(range(len(values))),
            self.config.folds.rule,
            larger_is_better=self.metric not in LESS_IS_BETTER,
            n_train=[len(f.train) for f in folds],
            n_test=[len(f.test) for f in folds],
            kind=self.config.folds.kind,
        )

    def _train(self, pairs, pictures: bool = False) -> tuple[dict[str, group.Outcome], str]:
        """Trains every (fold, settings) with every seed; outcomes by name."""
        parts = []
        for fold, values in pairs:
            for k in range(self.config.folds.seeds):
                own = grid.applied(self.config, {**values, 'seed': self.config.seed + k})
                fit, choosing = self._divided(fold)
                if choosing is None:
                    # The test part is looked at once, at the end.
                    own.evaluation.every_epochs = max(own.epochs, own.evaluation.every_epochs)
                parts.append(group.Part(self._name(fold, values, k), own, fit, fold.test, choosing))
        c = self.config.folds
        outcomes, layout = stages.run_parts(
            self.source, parts, self.workdir, layout=c.layout, at_once=c.at_once, pictures=pictures,
            train_scores=len(self.settings) > 1 and not c.inner,
        )
        return {outcome.part.name: outcome for outcome in outcomes}, layout

    def _divided(self, fold) -> tuple[np.ndarray, np.ndarray | None]:
        """What a fold's models are fitted on, and what chooses the weights among those of their evaluations."""
        c = self.config.folds
        if not c.early_stopping:
            return fold.train, None
        (part,) = splitting.inner(
            fold, self.source, fraction=c.early_stopping, kind=c.kind, seed=self.config.seed, groups=c.groups or None,
            gap=c.gap,
        )  # fmt: skip
        return part.train, part.test

    def _record(self, fold, within: str = '') -> None:
        """Enters the roles of a fold's examples."""
        fit, choosing = self._divided(fold)
        self.ledger.record(fold.name, 'fit', fit, within=within)
        if choosing is not None:
            self.ledger.record(fold.name, 'early_stopping', choosing, within=within)
        if self.config.input.statistics == 'computed':
            self.ledger.record(fold.name, 'statistics', fit, within=within)
        self.ledger.record(fold.name, 'test', fold.test, within=within)

    def _name(self, fold, values, seed: int) -> str:
        name = fold.name + (f'_setting_{self.settings.index(values)}' if len(self.settings) > 1 else '')
        return name + (f'_seed_{self.config.seed + seed}' if self.config.folds.seeds > 1 else '')

    def _metrics(self, outcomes, fold, values, of: str = 'metrics') -> dict[str, float]:
        """A fold's metrics with some settings, averaged over the seeds."""
        found = [outcomes[self._name(fold, values, k)].result[of] for k in range(self.config.folds.seeds)]
        return {name: float(np.mean([f[name] for f in found])) for name in found[0] if found[0][name] is not None}

    def _value(self, outcomes, fold, values) -> float:
        metrics = self._metrics(outcomes, fold, values)
        if self.metric not in metrics:
            raise UserError(f'config.checkpoint.best_metric={self.metric!r} is none of {", ".join(metrics)}')
        return metrics[self.metric]

    def _summarise(self, folds, candidates, outcomes) -> tuple[dict[str, Any], list[dict[str, float]], dict[str, Any]]:
        """What stands above the folds in `folds.json`, each fold's metrics, and the settings that they are of."""
        sizes = {'n_train': [len(f.train) for f in folds], 'n_test': [len(f.test) for f in folds]}
        kind = self.config.folds.kind
        if self.config.folds.inner or len(self.settings) == 1:
            chosen = {f.name: candidates[f.name][0] for f in folds}
            metrics = [self._metrics(outcomes, f, chosen[f.name]) for f in folds]
            document = fold_statistics.summary(metrics, kind=kind, **sizes)
            return document | ({'chosen': chosen} if self.config.folds.inner else {}), metrics, chosen
        values = self._table(outcomes, folds)
        choice = self._select(values, folds)
        metrics = {grid.name_of(v): [self._metrics(outcomes, f, v) for f in folds] for v in self.settings}
        summaries = {name: fold_statistics.summary(m, kind=kind, **sizes) for name, m in metrics.items()}
        others = [name for name in values if name != choice.best] if kind not in BY_TIME else []
        self._curve(folds, outcomes, values, summaries, choice)
        tests = {n: fold_statistics.paired_test(values[choice.best], values[n], kind=kind, **sizes) for n in others}
        document = {
            **summaries[choice.chosen],
            'settings_compared': summaries,
            'choice': choice._asdict(),
            'best_against': {name: test._asdict() for name, test in tests.items()},
            'warning': 'these folds chose the settings, so that the chosen mean is optimistic: '
            'folds.inner chooses and estimates on different examples',
        }
        chosen = next(v for v in self.settings if grid.name_of(v) == choice.chosen)
        return document, metrics[choice.chosen], {f.name: chosen for f in folds}

    def _curve(self, folds, outcomes, values, summaries, choice) -> None:
        """Scores over the values of the one field that the settings differ in, training beside validation."""
        axes = {path for settings in self.settings for path in settings}
        if len(axes) != 1:
            return
        (path,), capacity = axes, {grid.name_of(v): next(iter(v.values())) for v in self.settings}
        points = [
            {
                'capacity': capacity[grid.name_of(v)],
                'validation': values[grid.name_of(v)],
                'train': [self._metrics(outcomes, f, v, 'train_metrics')[self.metric] for f in folds],
                'error': summaries[grid.name_of(v)]['standard_error'][self.metric],
            }
            for v in self.settings
        ]
        validation_curve.draw(
            points, str(self.workdir / 'validation_curve.png'), metric=self.metric, capacity=path.rpartition('.')[2],
            best=capacity[choice.best], chosen=capacity[choice.chosen],
            threshold=choice.threshold if self.config.folds.rule != 'best' else None,
        )  # fmt: skip

    def _table(self, outcomes, folds) -> dict[str, list[float]]:
        """Each setting's metric on each fold."""
        return {grid.name_of(v): [self._value(outcomes, f, v) for f in folds] for v in self.settings}

    def _final(self, folds, outcomes) -> dict[str, Any]:
        """The chosen settings trained on the whole split; the test split is looked at once."""
        values = self.settings[0]
        if len(self.settings) > 1:
            if self.config.folds.inner:
                # The same procedure on the whole split: its folds choose.
                outcomes, _ = self._train([(fold, v) for fold in folds for v in self.settings])
            choice = self._select(self._table(outcomes, folds), folds)
            values = next(v for v in self.settings if grid.name_of(v) == choice.chosen)
            self.ledger.record('final', 'selection', self.ids)
        config = grid.applied(self.config, values)
        config.evaluation.every_epochs = max(config.epochs, config.evaluation.every_epochs)
        split = build.evaluation_split(config)
        result = stages.run(config, self.workdir / 'final')
        if not result:
            raise group.Stopped
        test = build.source(config, split)
        self.ledger.record('final', 'fit', self.ids)
        self.ledger.record('final', 'test', [test.example_id(i) for i in range(len(test))])
        return {'settings': values, 'split': split, 'metrics': result['metrics']}

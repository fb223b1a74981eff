"""What a sweep leaves behind: `sweep.json`, `best.py`, `result.json`, `ledger.json`, plots, and lines as it goes."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from cnn.analysis.ledger import Ledger
from cnn.experiments import build, config_file, grid, storage
from cnn.experiments.errors import RunFailed
from cnn.experiments.trials import Slot, values_of
from cnn.plots import sweep as plots
from cnn.training import log, provenance

# Completed trials from which on it is said which setting mattered.
ENOUGH = 4
_STATES = {TrialState.COMPLETE: 'complete', TrialState.PRUNED: 'pruned', TrialState.FAIL: 'failed',
           TrialState.RUNNING: 'running', TrialState.WAITING: 'waiting'}  # fmt: skip


class SweepReport:
    """Tells what a `sweep.Sweep` does, and writes down what it found."""

    def __init__(self, sweep: Any):
        self.sweep, self.workdir, self.metric = sweep, sweep.workdir, sweep.metric

    def begin(self) -> None:
        """Says what is searched, how, and how far it is."""
        s, c = self.sweep, self.sweep.config.sweep
        if c.objective == 'holdout':
            (fold,) = s.folds
            how = f' on {len(fold.test)} of {len(s.ids)} examples of {s.source.split} held out'
        else:
            how = f', its mean over {len(s.folds)} folds of {s.source.split}'
        pruned = '' if c.pruner == 'none' else f', {c.pruner} pruner'
        place = storage.masked(s.url) if s.url else self.workdir / storage.JOURNAL
        print(f'sweep {s.study.study_name}: {self.metric}{how}; {c.sampler} sampler{pruned}; trials in {place}')
        if before := len(s.trials.counted()):
            print(f'{before} trials are there already')

    def ended(self, slot: Slot, how: str) -> None:
        """A line for a trial."""
        print(f'trial {slot.number} ({settings_text(slot.values)}): {how}', flush=True)

    def progress(self) -> None:
        """How far the sweep is, on the screen and in `sweep.json`."""
        trials = self.sweep.trials.counted()
        done = sum(t.state.is_finished() for t in trials)
        total = f' of {self.sweep.total}' if self.sweep.total < 10**9 else ''
        best = _best(self.sweep.study, trials)
        leading = f', best {self.metric} {best.value:.4f} of trial {best.number}' if best else ''
        print(f'{done}{total} trials done{leading}', flush=True)
        log.write_json(self.workdir / 'sweep.json', self._document(trials))

    def write(self) -> dict[str, Any]:
        """Writes everything and returns what `sweep.json` holds.

        Raises:
          RunFailed: where no trial has a value.
        """
        s, trials = self.sweep, self.sweep.trials.counted()
        document = self._document(trials)
        log.write_json(self.workdir / 'sweep.json', document)
        best = _best(s.study, trials)
        if best is None:
            errors = [t.user_attrs['error'] for t in trials if 'error' in t.user_attrs]
            last = f'; the last: {errors[-1]}' if errors else ''
            raise RunFailed(f'none of {len(trials)} trials has a value{last}')
        config = grid.applied(s.config, values_of(best))
        path = self.workdir / 'best.py'
        log.write_text(path, config_file.source_of(config, self._how(best, trials), path))
        log.write_json(self.workdir / 'ledger.json', self._ledger().to_json())
        finished = [t for t in trials if t.state.is_finished()]
        result = provenance.result(
            metrics=best.user_attrs['metrics'],
            config=config.to_dict(),
            steps=best.user_attrs['steps'],
            wall_seconds=sum(_seconds(t) for t in finished),
            images_per_second=best.user_attrs['images_per_second'],
            trial=best.number,
            trials=len(finished),
        )
        log.write_json(self.workdir / 'result.json', result)
        drawn = self._draw(document)
        if s.trials.exhausted:
            print('every combination that the search space has was tried')
        print(f'best {self.metric} {best.value:.4f} of trial {best.number} ({settings_text(values_of(best))})')
        print(document['warning'])
        print(document['leakage'])
        print(f'{self.workdir}: {", ".join(["sweep.json", "best.py", "result.json", "ledger.json", *drawn])}')
        print(f'trained on the whole training split: python main.py --config={path}')
        return document

    def _document(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        s, c = self.sweep, self.sweep.config.sweep
        best = _best(s.study, trials)
        importance, note = importances(s.study)
        return {
            'study': s.study.study_name,
            'storage': storage.masked(s.url) if s.url else storage.JOURNAL,
            'metric': self.metric,
            'direction': s.study.direction.name.lower(),
            'objective': c.objective,
            'examples': {f.name: {'fit': len(f.train), 'scored': len(f.test)} for f in s.folds},
            'sampler': c.sampler,
            'pruner': c.pruner,
            'counts': {name: sum(_STATES[t.state] == name for t in trials) for name in _STATES.values()},
            'exhausted': s.trials.exhausted,
            'best': best and _record(best),
            'importance': importance,
            'importance_note': note,
            'warning': 'the examples that scored the trials chose the best of them, so that its value is optimistic',
            'leakage': self._leakage(),
            'trials': [_record(t) for t in trials],
            'config_file': s.where,
            'config': s.config.to_dict(),
            'versions': {**provenance.versions(), 'optuna': optuna.__version__},
        }

    def _ledger(self) -> Ledger:
        """Who was fitted on and who chose, the same for every trial."""
        ledger = Ledger(self.sweep.ids)
        for fold in self.sweep.folds:
            ledger.record(fold.name, 'fit', fold.train, within='sweep')
            if self.sweep.config.input.statistics == 'computed':
                ledger.record(fold.name, 'statistics', fold.train, within='sweep')
            ledger.record(fold.name, 'test', fold.test, within='sweep')
            ledger.record('sweep', 'selection', fold.test)
        return ledger

    def _leakage(self) -> str:
        self._ledger().verify()
        count = len(np.unique(np.concatenate([fold.test for fold in self.sweep.folds])))
        split = build.evaluation_split(self.sweep.config)
        return (f'Checked: none of the {count:,} examples that scored a model is among those that it was fitted on; '
                f'the split {split} was not read.')  # fmt: skip

    def _how(self, best: FrozenTrial, trials: Sequence[FrozenTrial]) -> str:
        s, c = self.sweep, self.sweep.config.sweep
        where = 'examples held out of' if c.objective == 'holdout' else f'{len(s.folds)} folds of'
        return (f'The best of {len(trials)} trials of {s.where}: {self.metric} {best.value:.4f} on {where} '
                f'{s.source.split}.\n\nFound by {c.sampler}, trial {best.number} of the sweep {s.study.study_name}: '
                f'{settings_text(values_of(best))}.\nThe examples that scored it chose it: its value is '
                'optimistic.')  # fmt: skip

    def _draw(self, document: dict[str, Any]) -> list[str]:
        place, larger = str(self.workdir / 'history.png'), document['direction'] == 'maximize'
        plots.history(document['trials'], place, metric=self.metric, larger_is_better=larger)
        if not document['importance']:
            return ['history.png']
        count = document['counts']['complete']
        plots.importance(document['importance'], str(self.workdir / 'importance.png'), metric=self.metric, trials=count)
        return ['history.png', 'importance.png']


def importances(study: optuna.Study) -> tuple[dict[str, float], str]:
    """Each setting's share, adding up to 1, by PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255), and a remark."""
    values = [t.value for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    if len(values) < ENOUGH or len(set(values)) == 1:
        why = 'of one value' if len(values) >= ENOUGH else ''
        return {}, ' '.join(f'{len(values)} completed trials {why} do not tell what matters'.split())
    try:
        with warnings.catch_warnings(action='ignore', category=optuna.exceptions.ExperimentalWarning):
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError) as error:
        return {}, f'what matters could not be told: {" ".join(str(error).split())}'
    return found, f'PED-ANOVA over {len(values)} completed trials' + (', which are few' if len(values) < 30 else '')


def settings_text(values: Mapping[str, Any]) -> str:
    """`learning_rate=0.0513, weight_decay=0.0005`."""
    shown = {path: f'{value:.4g}' if isinstance(value, float) else value for path, value in values.items()}
    return ', '.join(f'{path.rpartition(".")[2]}={value}' for path, value in shown.items())


def names(trials: Sequence[FrozenTrial]) -> str:
    """`trial 3 (HOST, process 12), trial 5`."""
    said = []
    for t in trials:
        who = t.user_attrs.get('worker', {})
        said.append(f'trial {t.number}' + (f' ({who["host"]}, process {who["pid"]})' if who else ''))
    return ', '.join(said)


def _best(study: optuna.Study, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The earliest of the best."""
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
    return max(done, key=lambda t: (sign * t.value, -t.number), default=None)


def _seconds(trial: FrozenTrial) -> float:
    return float(trial.user_attrs.get('seconds') or 0.0)


def _record(trial: FrozenTrial) -> dict[str, Any]:
    a = trial.user_attrs
    found = {
        'number': trial.number,
        'state': _STATES[trial.state],
        'values': values_of(trial),
        'value': trial.value,
        'metrics': a.get('metrics', {}),
        'seconds': _seconds(trial),
        'params': trial.params,
        'reported': {str(step): value for step, value in sorted(trial.intermediate_values.items())},
        'folder': a.get('claim', {}).get('name', ''),
        'worker': a.get('worker', {}),
    }
    return found | {name: a[name] for name in ('error', 'continues') if name in a}

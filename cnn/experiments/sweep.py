"""`--mode=sweep`: searches the config's `search_space` with Optuna; workers may come, go and die at any time.

A trial is worth what its settings reach on examples of the training split that were held out, or over folds of it; the
test split is never read. Trials that share shapes share what is compiled, and train as members of one program where
`sweep.at_once` asks for several. The same command started again goes on, beside others that run: the storage knows
who does what.
"""

import contextlib
import math
import pathlib
import time
from typing import Any

import jax
import optuna
from ml_collections import config_flags

from cnn.experiments import build, grid, group, search_space, settings, stages, storage, sweep_folds, train
from cnn.experiments.errors import RunFailed, UserError, nearest
from cnn.experiments.sweep_batch import Batch
from cnn.experiments.sweep_report import SweepReport, names
from cnn.experiments.trials import Trials
from cnn.metrics.base import LESS_IS_BETTER
from cnn.training import fingerprint
from cnn.training.log import to_json

# Seconds between two looks at what other workers do.
POLL = 2.0


def run(config, workdir: pathlib.Path, flags: Any) -> dict[str, Any]:
    """Returns what `sweep.json` holds, {} where the run was stopped before its end."""
    where = config_flags.get_config_filename(flags['config']).partition(':')[0]
    if flags.trials < 0:
        raise UserError(f'--trials={flags.trials} must be above 0')
    space = search_space.load(where)
    return Sweep(config, workdir, space, where=where, trials=flags.trials, url=flags.storage).run()


class Sweep:
    """One worker of a sweep in a workdir.

    Args:
      function: `search_space` of the config's file.
      where: that file.
      trials: of all workers together; 0 for 20, or the whole grid.
      url: of a database; '' for a journal in the workdir.
    """

    def __init__(self, config, workdir: pathlib.Path, function, *, where: str, trials: int = 0, url: str = ''):
        self.config, self.workdir, self.where, self.url = config, workdir, where, url
        c = config.sweep
        self._check()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = search_space.SearchSpace(function, config, where, c.points if c.sampler == 'grid' else 0)
        probe = self.space.probe()
        stages.check_varied(config, probe)
        settings.check(grid.applied(config, probe))
        self.total = trials or (10**9 if c.sampler == 'grid' else 20)
        # On the CPU convolutions gain nothing side by side; forecasters are matrix products and do (build.py).
        alone = jax.default_backend() == 'cpu' and config.task != 'forecasting'
        self.at_once = c.at_once or (1 if alone else 8)
        self.metric = config.checkpoint.best_metric
        self.source = build.source(config, config.input.train_split)
        self.ids = [self.source.example_id(i) for i in range(len(self.source))]
        self.lock = storage.FileLock(workdir / '.sweep.lock')
        # What is compiled, and which of the settings that a program takes as numbers have varied: kept between batches.
        self.cache: dict[str, Any] = {}
        self.vary: set[str] = set()

    def run(self) -> dict[str, Any]:
        """Works until all trials are done, by this worker or others."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        with self.lock:
            self.folds = sweep_folds.folds_of(self.config, self.source, self.workdir)
            self.study = self._study()
        patience = 1 if self.config.sweep.sampler == 'grid' else 30
        self.trials = Trials(self.study, self.space, self.total, self.lock, patience)
        report = SweepReport(self)
        report.begin()
        try:
            with self.trials.beating():
                self._work(report)
            return report.write()
        except group.Stopped:
            print(f'{self.workdir}: stopped; the same command goes on from there')
            return {}
        except storage.ERRORS as error:
            raise RunFailed(f'the storage failed: {storage.first_line(error)}; the same command goes on') from error
        finally:
            with contextlib.suppress(*storage.ERRORS):
                self.trials.release()

    def _work(self, report: SweepReport) -> None:
        waiting = False
        while True:
            if batch := self.trials.claim(self.at_once):
                waiting = False
                Batch(self, batch, report).train()
                report.progress()
            elif others := self.trials.others():
                if not waiting:
                    print(f'waiting for {names(others)} of other workers')
                waiting = True
                time.sleep(POLL)
            else:
                return

    # Before the first trial

    def _check(self) -> None:
        c = self.config.sweep
        choices = {'objective': ('holdout', 'cross_validate'), 'sampler': search_space.SAMPLERS,
                   'pruner': search_space.PRUNERS}  # fmt: skip
        for name, known in choices.items():
            if c[name] not in known:
                raise UserError(f'config.sweep.{name}={c[name]!r} is unknown; {nearest(c[name], known)}')
        if not 0 < c.fraction < 1:
            raise UserError(f'config.sweep.fraction={c.fraction} must lie between 0 and 1')
        for name, least in {'at_once': 0, 'startup': 1, 'points': 2}.items():
            if c[name] < least:
                raise UserError(f'config.sweep.{name}={c[name]} must be {least} or more')
        if c.pruner == 'wilcoxon' and c.objective != 'cross_validate':
            raise UserError('config.sweep.pruner=wilcoxon compares folds: set config.sweep.objective=cross_validate')
        if jax.process_count() > 1:
            raise UserError('a worker of a sweep is one process; start several with the same --workdir or --storage')

    def _study(self) -> optuna.Study:
        """The study of this sweep, made or joined; refused where its trials could not be compared with ours."""
        c = self.config.sweep
        study = optuna.create_study(
            storage=storage.open_storage(self.url, self.workdir),
            study_name=c.study or self.workdir.resolve().name,
            direction='minimize' if self.metric in LESS_IS_BETTER else 'maximize',
            sampler=search_space.SeededSampler(c.sampler, self.config.seed, c.startup),
            pruner=search_space.pruner(c.pruner, self._judgements()),
            load_if_exists=True,
        )
        fixed = {'objective': c.objective, 'metric': self.metric, 'data': self.source.fingerprint()}
        fixed = fingerprint.normalise(to_json(self.config.to_dict() | fixed))
        if 'config' not in study.user_attrs:
            study.set_user_attr('config', fixed)
        elif changed := fingerprint.differences(study.user_attrs['config'], fixed, train.FREE):
            raise UserError(f'the study {study.study_name} was begun with another config ({"; ".join(changed[:3])}); '
                            'use a new workdir, or with --storage another config.sweep.study')  # fmt: skip
        return study

    def _judgements(self) -> int:
        """How often a pruner may judge a trial."""
        if self.config.sweep.objective == 'cross_validate':
            return len(self.folds)
        plan, _ = train.plan_of(self.config, len(self.folds[0].train))
        count = math.ceil(plan.total / plan.evaluate_every - 1e-6)
        if self.config.sweep.pruner != 'none' and count < 2:
            raise UserError(f'config.sweep.pruner={self.config.sweep.pruner} has one evaluation a trial, its last, to '
                            'judge by; lower config.evaluation.every_epochs')  # fmt: skip
        return count

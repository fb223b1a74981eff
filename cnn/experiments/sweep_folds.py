"""What scores the trials of a sweep: a part of the training split that is held out, or its folds."""

import json
import pathlib
from typing import Any

import numpy as np

from cnn.experiments.errors import UserError
from input_pipeline import folds as splitting
from input_pipeline.folds import Fold


def folds_of(config, source: Any, workdir: pathlib.Path) -> list[Fold]:
    """The workdir's `folds.json`, or new folds, which are the same of every worker with the same config.

    Raises:
      UserError: where the workdir's were made by other settings.
    """
    c, own = config.folds, config.sweep
    made = {'objective': own.objective, 'kind': c.kind, 'groups': c.groups, 'gap': c.get('gap', 0), 'seed': config.seed}
    if own.objective == 'cross_validate':
        made |= {'count': c.count, 'repeats': c.repeats, 'file': c.file}
    else:
        made |= {'fraction': own.fraction}
    ids, place = [source.example_id(i) for i in range(len(source))], workdir / 'folds.json'
    if place.is_file():
        before = json.loads(place.read_text()).get('settings', {})
        if differ := sorted(name for name in made.keys() | before.keys() if before.get(name) != made.get(name)):
            raise UserError(f'{place} was made with another {", ".join(differ)}; use a new workdir')
        return splitting.load(str(place), ids)
    found = _new(config, source, ids)
    splitting.save(str(place), found, ids, settings=made)
    return found


def _new(config, source, ids) -> list[Fold]:
    c, cross = config.folds, config.sweep.objective == 'cross_validate'
    if config.task == 'forecasting':
        if cross:
            raise UserError('a sweep of series is scored by the latest times: set config.sweep.objective=holdout')
        return [_latest(source, config.sweep.fraction)]
    if cross and c.file:
        return splitting.load(c.file, ids)
    groups = splitting.groups_of(source, c.groups) if c.groups else None
    if cross:
        return splitting.split(
            source, kind=c.kind, count=c.count, repeats=c.repeats, groups=groups, seed=config.seed, gap=c.gap
        )
    labelled = 'labels' in source.info.provides
    kind = c.kind if labelled or c.kind not in ('stratified', 'repeated') else 'plain'
    whole = Fold('all', 0, 0, np.arange(len(ids)), np.zeros(0, np.int64))
    (part,) = splitting.inner(
        whole, source if labelled else np.zeros(len(ids), np.int64),
        fraction=config.sweep.fraction, kind=kind, seed=config.seed, groups=groups, gap=c.gap,
    )  # fmt: skip
    return [part._replace(name='holdout')]


def _latest(source, fraction: float) -> Fold:
    """Forecasts of the latest times score; what overlaps them neither scores nor is fitted on."""
    times = source.panel.times
    first, last = (
        np.array([times[s][o + k] for s, o in zip(source.subject, source.origin, strict=True)])
        for k in (1, source.horizon)
    )
    clock = np.unique(first)
    cut = clock[min(max(1, round((1 - fraction) * len(clock))), len(clock) - 1)]
    fit, scored = np.flatnonzero(last < cut), np.flatnonzero(first >= cut)
    if not len(fit):
        raise UserError(f'config.sweep.fraction={fraction} leaves nothing to fit on before {cut}; use a smaller one')
    return Fold('holdout', 0, 0, fit, scored)

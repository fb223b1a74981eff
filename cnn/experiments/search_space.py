"""What a sweep varies: `search_space(trial)` of a config file, checked against the config, and Optuna's ways to search.

`search_space` asks an Optuna trial for values and returns them by their path in the config:

  def search_space(trial):
      return {'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-3, 0.5, log=True)}
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna

from cnn.experiments import config_file, grid
from cnn.experiments.errors import UserError, nearest
from cnn.experiments.settings import field

SAMPLERS = ('tpe', 'random', 'grid')
PRUNERS = ('none', 'median', 'hyperband', 'wilcoxon')
# What trials must share to be compared, or what belongs to the run as a whole.
FIXED = (*grid.OF_THE_SOURCE, 'evaluation.split', 'checkpoint', 'folds', 'sweep')


class SearchSpace:
    """The search space of a config.

    Args:
      function: `search_space`.
      config: whose fields it names.
      where: its file, for messages.
      points: where above 0, ranges without a step become so many values, for a grid.
    """

    def __init__(self, function: Callable, config: Any, where: str, points: int = 0):
        self._function, self._config, self._where, self._points = function, config, where, points

    def values(self, trial: Any) -> dict[str, Any]:
        """Values by path for this trial, in the types of the config.

        Raises:
          UserError: for a path that the config lacks, one that trials must share, a value of another type, no values.
        """
        try:
            found = self._function(_Stepped(trial, self._points) if self._points else trial)
        except ValueError as error:
            raise UserError(f'{self._where}: search_space: {error}') from error
        if not isinstance(found, dict) or not found:
            raise UserError(f'{self._where}: search_space must return values by their path in the config')
        return {path: self._typed(path, value) for path, value in found.items()}

    def probe(self) -> dict[str, Any]:
        """Some values, asked without a record."""
        return self.values(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())

    def _typed(self, path: str, value: Any) -> Any:
        try:
            now = field(self._config, path)
        except (KeyError, AttributeError, TypeError):
            known = nearest(path, grid.paths(self._config))
            raise UserError(f'{self._where}: search_space names {path!r}, which the config lacks; {known}') from None
        if any(path == name or path.startswith(f'{name}.') for name in FIXED):
            raise UserError(f'{self._where}: search_space varies {path}, which all trials must share')
        grid.check_comparable(self._config, path)
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(now, tuple) and isinstance(value, list | tuple):
            return tuple(value)
        if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not type(now):
            kind = type(now).__name__
            raise UserError(f'{self._where}: search_space gives {path} the value {value!r}; it takes {kind}')
        return value


class _Stepped:
    """A trial whose ranges without a step are few values, evenly spaced, in their logarithm with `log`."""

    def __init__(self, trial: Any, points: int):
        self._trial, self._points = trial, points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def suggest_float(self, name: str, low: float, high: float, *, step: Any = None, log: bool = False) -> float:
        if step is not None:
            return self._trial.suggest_float(name, low, high, step=step, log=log)
        spaced = (np.geomspace if log else np.linspace)(low, high, self._points)
        return self._trial.suggest_categorical(name, [float(f'{value:.6g}') for value in spaced])


def load(path: str) -> Callable:
    """`search_space` of a config file.

    Raises:
      UserError: where the file has none.
    """
    module = config_file.load(path)
    if not hasattr(module, 'search_space'):
        raise UserError(f'{path} defines no search_space(trial); write one that returns values by their path in the '
                        'config, or take search_space = common.search_space')  # fmt: skip
    return module.search_space


class SeededSampler(optuna.samplers.BaseSampler):
    """A sampler that begins anew at every trial, seeded by (seed, the trial's number).

    So a trial depends on the seed, its number and what was known when it was asked for: a worker that starts again does
    not repeat itself, and two that work together do not suggest the same.
    """

    def __init__(self, name: str, seed: int, startup: int):
        self._name, self._seed, self._startup = name, seed, startup
        self._number, self._now = -1, None

    def _of(self, trial: Any) -> optuna.samplers.BaseSampler:
        if trial.number != self._number:
            seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
            with _experimental():
                self._now = {
                    'tpe': lambda: optuna.samplers.TPESampler(
                        seed=seed, n_startup_trials=self._startup, constant_liar=True
                    ),
                    'random': lambda: optuna.samplers.RandomSampler(seed=seed),
                    'grid': lambda: optuna.samplers.BruteForceSampler(seed=seed),
                }[self._name]()
            self._number = trial.number
        return self._now

    def infer_relative_search_space(self, study, trial):
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study, trial):
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study, trial, state, values):
        # The grid's would end a loop of Optuna's own; here the sweep sees for itself that nothing new is suggested.
        if self._name != 'grid':
            self._of(trial).after_trial(study, trial, state, values)


def pruner(name: str, most: int) -> optuna.pruners.BasePruner:
    """The pruner of a name; `most` is how often a trial is judged when it is not stopped."""
    with _experimental():
        return {
            'none': optuna.pruners.NopPruner,
            'median': optuna.pruners.MedianPruner,
            'hyperband': lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=most),
            'wilcoxon': optuna.pruners.WilcoxonPruner,
        }[name]()


def _experimental() -> warnings.catch_warnings:
    """Within it Optuna does not warn that an interface may change: requirements.txt holds the version."""
    return warnings.catch_warnings(action='ignore', category=optuna.exceptions.ExperimentalWarning)

"""Where a run's variables come from: the seed, a weights file, or another run's workdir."""

import logging
import pathlib
from typing import Any

import jax

from cnn import weights
from cnn.experiments.errors import UserError
from cnn.tasks.base import Task
from cnn.training.checkpoint import Checkpoints
from input_pipeline import datasets


def variables(config, task: Task, module: Any) -> dict[str, Any]:
    """Fresh variables of the task's network, or those of `config.init_from`."""
    if not config.init_from:
        return _fresh(config, task)
    return _imported(config, task, module)[0]


def trained(config, workdir: pathlib.Path, task: Task, module: Any) -> tuple[dict[str, Any], int]:
    """The variables to score or predict with, and the step they are of (0 for a weights file).

    They are those of `config.init_from` if given, else of the workdir's newest good checkpoint.
    """
    if config.init_from:
        return _imported(config, task, module)
    return from_workdir(workdir, module, _fresh(config, task))


def _fresh(config, task: Task) -> dict[str, Any]:
    return task.init(jax.random.key(config.seed), task.dummy_batch(config.image_size))


def _imported(config, task: Task, module: Any) -> tuple[dict[str, Any], int]:
    _warn_of_contamination(config)
    path = pathlib.Path(config.init_from)
    if not path.exists():
        raise UserError(f'config.init_from={config.init_from}: no such file or workdir')
    fresh = _fresh(config, task)
    if path.is_dir():
        return from_workdir(path, module, fresh, config.replace_head)
    return weights.load(path, module, template=fresh, replace_head=config.replace_head), 0


def _warn_of_contamination(config) -> None:
    """Weights from elsewhere may have been trained on the images they are now scored on."""
    if not datasets.is_path(config.dataset) and (known := datasets.info(config.dataset).contamination):
        logging.getLogger(__name__).warning('%s: %s', config.dataset, known)


def from_workdir(workdir: pathlib.Path, module: Any, fresh: dict[str, Any], replace_head: bool = False):
    """The variables of a run's newest good checkpoint, the averaged ones where it kept an average, and its step.

    Args:
      fresh: variables of `module`; with `replace_head`, the classifier's are kept where the classes differ in number.

    Raises:
      UserError: there is none. ValueError: it is another network's; the message lists the names.
    """
    folder = workdir / 'checkpoints'
    checkpoints = Checkpoints(folder)
    if checkpoints.latest_step() is None:
        raise UserError(f'{workdir} holds no checkpoint; train there first, or set config.init_from to a weights file')
    step, arrays, _ = checkpoints.restore(checkpoints.shapes())
    averaged = any(name.startswith('ema/') for name in arrays)
    found = {}
    for name, array in arrays.items():
        if averaged and name.startswith('ema/'):
            found[name.removeprefix('ema/')] = array
        elif not averaged and name.startswith(('params/', 'model_state/')):
            found[name.removeprefix('model_state/')] = array
    variables = weights.from_arrays(found, module, source=str(workdir), template=fresh, replace_head=replace_head)
    return variables, step

"""Where a run's variables come from: the seed, a weights file, or another run's workdir."""

import pathlib
from typing import Any

import jax
import numpy as np

from cnn.experiments.errors import UserError
from cnn.tasks.base import Task
from cnn.training.checkpoint import Checkpoints


def dummy_batch(image_size: int) -> dict[str, np.ndarray]:
    """A batch of one black image, for shapes."""
    return {
        'image': np.zeros((1, image_size, image_size, 3), np.uint8),
        'label': np.zeros(1, np.int32),
        'mask': np.ones(1, np.float32),
        'row': np.zeros(1, np.int32),
        'index': np.zeros(1, np.int32),
    }


def variables(config, task: Task, module: Any) -> dict[str, Any]:
    """Fresh variables of the task's network, or those of `config.init_from`."""
    if not config.init_from:
        return task.init(jax.random.key(config.seed), dummy_batch(config.image_size))
    return _imported(config, task, module)


def trained(config, workdir: pathlib.Path, task: Task, module: Any) -> dict[str, Any]:
    """The variables to score or predict with: of `config.init_from` if given, else the workdir's newest checkpoint."""
    if config.init_from:
        return _imported(config, task, module)
    return from_workdir(workdir, _shapes(config, task))


def _shapes(config, task: Task) -> dict[str, Any]:
    return jax.eval_shape(task.init, jax.random.key(config.seed), dummy_batch(config.image_size))


def _imported(config, task: Task, module: Any) -> dict[str, Any]:
    path = pathlib.Path(config.init_from)
    if not path.exists():
        raise UserError(f'config.init_from={config.init_from}: no such file or workdir')
    if path.is_dir():
        return from_workdir(path, _shapes(config, task))
    from cnn import weights

    fresh = task.init(jax.random.key(config.seed), dummy_batch(config.image_size))
    return weights.load(path, module, template=fresh, replace_head=config.replace_head)


def from_workdir(workdir: pathlib.Path, template: dict[str, Any]) -> dict[str, Any]:
    """The variables of a run's newest good checkpoint, the averaged ones where it kept an average.

    Args:
      template: variables, or their shapes.

    Raises:
      UserError: there is none. ValueError: it is another network's; the message lists the names.
    """
    folder = workdir / 'checkpoints'
    checkpoints = Checkpoints(folder)
    if checkpoints.latest_step() is None:
        raise UserError(f'{workdir} holds no checkpoint; train there first, or set config.init_from to a weights file')
    if any(name.startswith('ema/') for name in checkpoints.names()):
        return checkpoints.restore({'ema': template}, subset=True)[1]['ema']
    rest = {name: tree for name, tree in template.items() if name != 'params'}
    state = checkpoints.restore({'params': template['params'], 'model_state': rest}, subset=True)[1]
    return {'params': state['params'], **state['model_state']}

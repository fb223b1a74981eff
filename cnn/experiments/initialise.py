"""Where a run's variables come from: the seed, a weights file, or another run's workdir."""

import functools
import json
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

import jax

from cnn import weights
from cnn.experiments.errors import UserError
from cnn.tasks.base import Task
from cnn.training.checkpoint import Checkpoints
from input_pipeline import datasets

# How the folders of ImageNet and what was made of it are named.
_WORDNET = re.compile(r'n\d{8}')


def variables(config, task: Task, module: Any) -> dict[str, Any]:
    """Fresh variables of the task's network, or those of `config.init_from`."""
    if not config.init_from:
        return _fresh(config, task)
    return _imported(config, task, module)[0]


def trained(config, workdir: pathlib.Path, task: Task, module: Any) -> tuple[dict[str, Any], int]:
    """The variables to score or predict with, and the step they are of (0 for a weights file).

    They are those of `config.init_from` if given, else of the workdir's newest good checkpoint; and the checkpoint's
    where the workdir's run itself began from that `init_from`: the command that fine-tuned also scores and predicts.
    """
    if config.init_from and not _began_from(workdir, config.init_from):
        return _imported(config, task, module)
    if config.init_from:
        warn_of_contamination(config, getattr(task, 'class_names', ()))
    return from_workdir(workdir, module, _fresh(config, task))


def _began_from(workdir: pathlib.Path, init_from: str) -> bool:
    """Whether the workdir holds a run that started from these weights and has come to a checkpoint."""
    record = workdir / 'config.json'
    if not record.is_file() or json.loads(record.read_text()).get('init_from') != init_from:
        return False
    return Checkpoints(workdir / 'checkpoints').latest_step() is not None


def _fresh(config, task: Task) -> dict[str, Any]:
    return task.init(jax.random.key(config.seed), task.dummy_batch(config.image_size))


def _imported(config, task: Task, module: Any) -> tuple[dict[str, Any], int]:
    warn_of_contamination(config, getattr(task, 'class_names', ()))
    path = pathlib.Path(config.init_from)
    if not path.exists():
        raise UserError(f'config.init_from={config.init_from}: no such file or workdir')
    fresh = _fresh(config, task)
    if path.is_dir():
        _warn_of_other_pixels(config, path)
        return from_workdir(path, module, fresh, config.replace_head)
    return weights.load(path, module, template=fresh, replace_head=config.replace_head), 0


def warn_of_contamination(config, class_names: Sequence[str]) -> None:
    """Prints, once a process, that weights from elsewhere may have been trained on the images they are now scored on.

    Folders of classes are taken for ImageNet's where all are named by WordNet ids, as Stanford Dogs and imagenette are.
    """
    from_imagenet = datasets.info('stanford_dogs').contamination
    if not datasets.is_path(config.dataset):
        known = datasets.info(config.dataset).contamination
        imagenets = known == from_imagenet
    else:
        imagenets = bool(class_names) and all(_WORDNET.match(name) for name in class_names)
        known = f'classes named like {class_names[0]} are ImageNet\'s; if so, {from_imagenet}' if imagenets else ''
    if known and (not imagenets or _may_know_imagenet(pathlib.Path(config.init_from))):
        _print_once(f'warning: {config.dataset}: {known}')


@functools.cache
def _print_once(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _warn_of_other_pixels(config, workdir: pathlib.Path) -> None:
    """Prints, once a process, that a run read pixels of 0 to 255 and this one normalised ones, or the reverse."""
    record = workdir / 'config.json'
    theirs = json.loads(record.read_text()).get('input', {}).get('statistics') if record.is_file() else None
    ours = config.input.statistics
    if theirs and (theirs == 'caffe') != (ours == 'caffe'):
        _print_once(f'warning: {workdir} was trained with config.input.statistics={theirs}, this run has {ours}')


def _may_know_imagenet(path: pathlib.Path, depth: int = 8) -> bool:
    """Whether weights may come from ImageNet: a file's may; a run's by its own record of where it began."""
    record = path / 'config.json'
    if not record.is_file() or not depth:
        return True
    config = json.loads(record.read_text())
    if 'imagenet' in config.get('dataset', ''):
        return True
    begun = config.get('init_from', '')
    return bool(begun) and _may_know_imagenet(pathlib.Path(begun), depth - 1)


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

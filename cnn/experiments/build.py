"""From a config to its parts: sources, task, batches. The doors of the rooms where `input_pipeline` and `cnn` meet."""

from cnn.experiments.batches import (
    evaluation_parts,
    evaluation_pipeline,
    finder,
    measured,
    plain_batches,
    scored_info,
    train_parts,
    train_pipeline,
    whole_set,
    with_proposals,
)
from cnn.experiments.sources import DATASET_FILE, evaluation_split, info, mean_pixel, source, statistics, train_source
from cnn.experiments.tasks import model, num_classes, outputs, targets, task
from cnn.experiments.views import Resized, apply, evaluation_transform, shown
from cnn.ops import backend
from cnn.training.parallel import Replicas

__all__ = [
    'DATASET_FILE', 'Resized', 'apply', 'evaluation_parts', 'evaluation_pipeline', 'evaluation_split',
    'evaluation_transform', 'finder', 'info', 'mean_pixel', 'measured', 'model', 'num_classes', 'outputs',
    'plain_batches', 'replicas', 'scored_info', 'shown', 'source', 'stacking', 'statistics', 'targets', 'task',
    'train_parts', 'train_pipeline', 'train_source', 'whole_set', 'with_proposals',
]  # fmt: skip


def replicas(config) -> Replicas:
    """The devices that the config's run uses, with what the compiler should be told for them."""
    return Replicas(config.devices, backend.compiler_options())


def stacking(config) -> str:
    """How members of one device share a program (`Members.form`)."""
    # The forecaster's layers are matrix products, which stack well on the CPU too: hundreds of tiny models at once.
    return 'vmap' if config.task == 'forecasting' else 'auto'

"""The section `study` that every study's config has, and its argument `size`."""

from ml_collections import ConfigDict

from configs import common

SIZES = ('small', 'paper')


def parse(arg: str, paper: str, **defaults):
    """Reads a study's argument string: `size=small|paper` beside those of every config.

    Args:
      paper: the data set of the paper's size; the small size is of the embedded digits.

    Raises:
      ValueError: as `common.parse_arg`, and for another size.
    """
    a = common.parse_arg(arg, **{'size': 'small', 'dataset': '', **defaults})
    if a.size not in SIZES:
        raise ValueError(f'unknown size {a.size!r}; there are {", ".join(SIZES)}')
    a.dataset = a.dataset or ('mnist_5k' if a.size == 'small' else paper)
    return a


def rest(a) -> str:
    """What a study hands on to the config that it is based on."""
    size = f',image_size={a.image_size}' if a.image_size else ''
    return f'dataset={a.dataset}{size}'


def add(c, name: str, arms: dict, *, kind: str = 'arms', x: str = '', vary: str = '', seeds: int = 3,
        columns: str = 'accuracy,train_loss') -> None:  # fmt: skip
    """Makes a config one of a study.

    Args:
      name: of the claims that are judged (cnn/analysis/studies.py).
      arms: name -> what the arm changes of the config, in nested sections.
      kind: of the picture: curves, arms (a row each), over (a field), cost, capacity.
      x: with kind=over, the field.
    """
    c.study = ConfigDict()
    c.study.name = name
    c.study.seeds = seeds
    # Training examples that each run has, drawn class by class with its seed; 0 for all.
    c.study.examples = 0
    c.study.arms = ConfigDict(arms)
    # Those that are trained, in the order of the table; the others are compared to the first.
    c.study.order = ','.join(arms)
    # A grid that every arm is crossed with: 'optimizer.learning_rate=0.01,0.1,1'.
    c.study.vary = vary
    c.study.show = ConfigDict({'kind': kind, 'x': x, 'metric': 'accuracy'})
    # Of the table; the differences to the first arm are of the first of them.
    c.study.columns = columns
    # Rounds in which each arm's step is timed; 0 for none.
    c.study.timing = 0
    # A module's path: how the distribution of what it returns moves from checkpoint to checkpoint.
    c.study.layer = ''
    # Devices that arms need: the CPU pretends to have them. 0 for those that are there.
    c.study.devices = 0


def digits(c, a, *, epochs: float, batch_size: int = 64, evaluations: int = 8) -> None:
    """The small size: digits of 14 pixels, a quarter of the work, and a loss without smoothing.

    Shifts and mirror images are left out, so that the training curve is of the training examples.
    """
    c.image_size = a.image_size or 14
    c.batch_size = batch_size
    c.epochs = epochs
    c.loss.label_smoothing = 0.0
    c.augmentation.crop = 'none'
    c.evaluation.every_epochs = epochs / evaluations
    c.checkpoint.every_epochs = epochs / 2


def tiny(c, a) -> None:
    """With preset=tiny: two seeds of a few steps in small batches."""
    if a.preset == 'tiny':
        common.tiny(c)
        c.steps = 4
        c.log_every_steps = 1
        c.study.seeds = 2
        c.study.examples = c.study.examples or 64
        c.study.timing = min(c.study.timing, 2)

"""Degradation: do deeper plain networks train worse, and do shortcuts mend it? (He et al. 2015, arXiv:1512.03385)

  python main.py --mode=study --config=configs/studies/degradation.py
  python main.py --mode=study --config=configs/studies/degradation.py:size=paper

Plain and residual networks of 20, 32, 44 and 56 layers on the same batches. Arguments: size (small, paper), dataset,
image_size, preset=tiny. Expected: docs/studies.md. The paper's size is its CIFAR-10 recipe.
"""

from configs import resnet
from configs.studies import section

DEPTHS = (20, 32, 44, 56)


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'cifar10')
    c = resnet.get_config(f'{section.rest(a)},depth=20')
    arms = {
        f'{kind}_{depth}': {'model': {'depth': depth, 'residual': kind == 'residual'}}
        for kind in ('plain', 'residual')
        for depth in DEPTHS
    }
    section.add(c, 'degradation', arms, kind='curves', columns='train_loss,accuracy')
    if a.size == 'small':
        # Digits of 14 pixels and half the paper's width; a loss without smoothing and images without shifts, so that
        # what is seen is how well the training examples are fitted.
        c.image_size = a.image_size or 14
        c.model.width = 8
        c.batch_size = 64
        c.epochs = 5.0
        c.loss.label_smoothing = 0.0
        c.augmentation.crop = 'none'
        c.evaluation.every_epochs = 0.5
        c.checkpoint.every_epochs = 2.5
    section.tiny(c, a)
    return c

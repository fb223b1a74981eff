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
    section.add(c, 'degradation', arms, kind='curves', columns='train_loss,accuracy', seeds=5)
    if a.size == 'small':
        # Half the paper's width.
        section.digits(c, a, epochs=5.0, evaluations=10)
        c.model.width = 8
    section.tiny(c, a)
    return c

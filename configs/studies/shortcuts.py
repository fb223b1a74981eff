"""Shortcuts A, B and C, and none (He et al. 2015, arXiv:1512.03385, table 3).

  python main.py --mode=study --config=configs/studies/shortcuts.py
  python main.py --mode=study --config=configs/studies/shortcuts.py:size=paper

Zero padding, projections where shapes change, projections everywhere. Arguments: size (small, paper), dataset,
image_size, preset=tiny. Expected: docs/studies.md. The paper's size is ResNet-34 on ImageNet.
"""

from configs import resnet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'imagenet2012')
    c = resnet.get_config(f'{section.rest(a)},depth={32 if a.size == "small" else 34}')
    arms = {name: {'model': {'shortcut': name}} for name in 'ABC'} | {'plain': {'model': {'residual': False}}}
    section.add(c, 'shortcuts', arms, seeds=5 if a.size == 'small' else 3)
    # Table 3 is by ten crops.
    c.evaluation.views = 'center' if a.size == 'small' else 'ten_crop'
    if a.size == 'small':
        section.digits(c, a, epochs=4.0)
        c.model.width = 8
    section.tiny(c, a)
    return c

"""1x1 bottlenecks: parameters, multiplications, accuracy, speed (He et al. 2015, arXiv:1512.03385, section 4.1).

  python main.py --mode=study --config=configs/studies/bottleneck.py
  python main.py --mode=study --config=configs/studies/bottleneck.py:size=paper

Units of two 3x3 convolutions, units of 1x1, 3x3, 1x1 between the same channels, and units of two 3x3 so narrow that
they multiply hardly more often. Arguments: size (small, paper), dataset, image_size, preset=tiny. Expected:
docs/studies.md. The paper's size is on CIFAR-10, with six units a stage.
"""

from configs import resnet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'cifar10')
    small = a.size == 'small'
    units, width, narrow = (1, 64, 18) if small else (6, 64, 16)
    c = resnet.get_config(f'{section.rest(a)},depth={6 * units + 2}')
    c.model.bottleneck = False
    arms = {
        'basic': {'model': {'width': width}},
        'bottleneck': {'model': {'bottleneck': True, 'depth': 9 * units + 2, 'width': width // 4}},
        'narrow': {'model': {'width': narrow}},
    }
    section.add(c, 'bottleneck', arms, kind='cost', seeds=8 if small else 3)
    c.study.timing = 15
    if small:
        section.digits(c, a, epochs=8.0)
    section.tiny(c, a)
    return c

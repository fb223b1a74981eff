"""DenseNet's growth rate: accuracy over it, and over the parameters (Huang et al. 2016, arXiv:1608.06993).

  python main.py --mode=study --config=configs/studies/growth_rate.py
  python main.py --mode=study --config=configs/studies/growth_rate.py:size=paper

DenseNet-BC of one depth with growing rates. Arguments: size (small, paper), dataset, image_size, preset=tiny.
Expected: docs/studies.md. The paper's size is its CIFAR-10 recipe with 100 layers.
"""

from configs import densenet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'cifar10')
    small = a.size == 'small'
    c = densenet.get_config(f'{section.rest(a)},depth={22 if small else 100}')
    rates = (2, 4, 8, 16) if small else (6, 12, 24, 40)
    section.add(c, 'growth_rate', {'densenet': {}}, kind='over', x='model.growth_rate', seeds=5 if small else 3,
                vary=f'model.growth_rate={",".join(map(str, rates))}')  # fmt: skip
    if small:
        section.digits(c, a, epochs=3.0)
    section.tiny(c, a)
    return c

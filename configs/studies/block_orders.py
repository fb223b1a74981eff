"""The order of convolution, norm, ReLU and addition (He et al. 2016, arXiv:1603.05027, table 2).

  python main.py --mode=study --config=configs/studies/block_orders.py
  python main.py --mode=study --config=configs/studies/block_orders.py:size=paper

The five orders of figure 4, in ResNet-110: at 32 layers full pre-activation gains nothing yet. The small size is half
as wide, on digits, the paper's size on CIFAR-10. Arguments: size (small, paper), dataset, image_size, preset=tiny.
Expected: docs/studies.md.
"""

from configs import resnet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'cifar10')
    c = resnet.get_config(f'{section.rest(a)},depth=110')
    orders = ('original', 'bn_after_add', 'relu_before_add', 'relu_only_preact', 'full_preact')
    section.add(c, 'block_orders', {name: {'model': {'order': name}} for name in orders},
                seeds=10 if a.size == 'small' else 5)  # fmt: skip
    if a.size == 'small':
        section.digits(c, a, epochs=4.0)
        c.model.width = 8
    section.tiny(c, a)
    return c

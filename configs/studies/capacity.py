"""Capacity against data: training against test error, networks of growing width on growing amounts of data.

  python main.py --mode=study --config=configs/studies/capacity.py
  python main.py --mode=study --config=configs/studies/capacity.py:size=paper

The notes' curve over the degree of a polynomial, with the width of a ResNet for the degree. Arguments: size (small,
paper), dataset, image_size, preset=tiny. Expected: docs/studies.md. The paper's size is ResNet-20 on CIFAR-10 for as
many steps whatever the number of examples.
"""

from configs import resnet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'cifar10')
    small = a.size == 'small'
    c = resnet.get_config(f'{section.rest(a)},depth={8 if small else 20}')
    widths = (1, 2, 4, 8, 16) if small else (2, 4, 8, 16, 32, 64)
    examples = (50, 200, 800, 3200) if small else (500, 2000, 8000, 32000)
    vary = f'model.width={",".join(map(str, widths))};study.examples={",".join(map(str, examples))}'
    section.add(c, 'capacity', {'resnet': {}}, kind='capacity', vary=vary, seeds=5 if small else 3,
                columns='accuracy,loss,fit_accuracy,fit_loss')  # fmt: skip
    c.augmentation.crop, c.augmentation.flip = 'none', False
    if small:
        section.digits(c, a, epochs=4.0)
        c.steps = 300
    else:
        c.steps = 64000
    section.tiny(c, a)
    return c

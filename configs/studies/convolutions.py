"""Kinds of convolution: accuracy against parameters, multiplications and measured time.

  python main.py --mode=study --config=configs/studies/convolutions.py
  python main.py --mode=study --config=configs/studies/convolutions.py:size=paper

The 3x3 convolutions of a ResNet's units replaced by each kind. Arguments: size (small, paper), dataset, image_size,
preset=tiny. Expected: docs/studies.md. The paper's size is ResNet-20 with its CIFAR-10 recipe.
"""

from configs import resnet
from configs.studies import section

KINDS = ('standard', 'dilated', 'spatially_separable', 'grouped', 'pointwise', 'depthwise', 'depthwise_separable',
         'deformable')  # fmt: skip


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'cifar10')
    c = resnet.get_config(f'{section.rest(a)},depth={8 if a.size == "small" else 20}')
    arms = {kind: {'model': {'conv': kind}} for kind in KINDS}
    # Offsets that move as fast as weights at a rate of 0.1 lose the image: the authors' rates are below 0.001.
    arms['deformable'] |= {'optimizer': {'rates': 'offset=0.01'}}
    section.add(c, 'convolutions', arms, kind='cost', seeds=5 if a.size == 'small' else 3)
    c.study.timing = 15
    if a.size == 'small':
        section.digits(c, a, epochs=4.0)
        c.model.width = 16
    section.tiny(c, a)
    return c

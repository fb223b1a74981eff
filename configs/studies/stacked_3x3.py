"""Two stacked 3x3 convolutions against one of 5x5 (Simonyan and Zisserman 2014, arXiv:1409.1556, section 4.1).

  python main.py --mode=study --config=configs/studies/stacked_3x3.py
  python main.py --mode=study --config=configs/studies/stacked_3x3.py:size=paper

VGG B, the shallow net with 5x5 convolutions in its place, and that net so wide that it multiplies more often.
Arguments: size (small, paper), dataset, image_size, preset=tiny. Expected: docs/studies.md. The paper's size is its
own on ImageNet.
"""

from configs import vgg
from configs.studies import section

# Of the shallow net's width: with it, it multiplies more often than the stacked one.
WIDER = 1.25


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'imagenet2012')
    c = vgg.get_config(f'{section.rest(a)},variant=13,batch_norm={a.size == "small"}')
    width = 0.125 if a.size == 'small' else 1.0
    shallow = {'variant': 'B5x5', 'width': width}
    arms = {
        'stacked_3x3': {'model': {'width': width}},
        'single_5x5': {'model': shallow},
        'wide_5x5': {'model': shallow | {'width': WIDER * width}},
    }
    section.add(c, 'stacked_3x3', arms, kind='cost', seeds=5 if a.size == 'small' else 3)
    # Section 4.1 compares them by a central crop.
    c.evaluation.views = 'center'
    if a.size == 'small':
        section.digits(c, a, epochs=10.0)
        # Five poolings need 28 pixels.
        c.image_size = a.image_size or 28
    section.tiny(c, a)
    return c

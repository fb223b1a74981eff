"""VGG (Simonyan and Zisserman 2014, arXiv:1409.1556).

  python main.py --config=configs/vgg.py                                     VGG-11 in small on 5,000 real digits
  python main.py --config=configs/vgg.py:dataset=imagenet2012,variant=16     the paper's recipe, dense evaluation

Arguments: dataset, variant (11, 13, 16, 19, C), batch_norm, image_size, preset=tiny. Expected on ImageNet: 71.6 % top-1
for 16 with --config.evaluation.views=center (torchvision's weights).
"""

from configs import common

# What --mode=sweep varies.
search_space = common.search_space


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, variant='', batch_norm=False)
    small = common.small_images(a)
    variant = a.variant or ('11' if small else '16')
    model = {'name': 'vgg', 'variant': variant, 'batch_norm': a.batch_norm, 'classifier': 'dense', 'conv': 'standard',
             'lrn': False, 'stem': 'small' if small else 'imagenet', 'width': 0.0, 'dropout': 0.5}  # fmt: skip
    c = common.base(a, model=model, small=small)
    c.optimizer.weight_decay = 5e-4
    if small:
        common.small_recipe(c, epochs=12.0, learning_rate=0.05 if a.batch_norm else 0.02)
    else:
        # Section 3.1: 370,000 steps of 256 (74 epochs), 0.01 divided by ten three times; scale jitter from 256 to 512.
        c.epochs = 74.0
        c.optimizer.learning_rate = 0.01
        c.schedule.name = 'step'
        c.schedule.milestones = (30.0, 50.0, 65.0)
        c.augmentation.crop = 'random'
        c.augmentation.resize_min = 256
        c.augmentation.resize_max = 512
        if c.image_size >= 224:
            # Section 3.2: fc6 as a convolution over seven by seven cells, which smaller images have not.
            c.model.classifier = 'conv'
            c.evaluation.views = 'dense'
            c.evaluation.scales = (256, 384, 512)
    if a.preset == 'tiny':
        common.tiny(c)
    return c

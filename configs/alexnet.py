"""AlexNet (Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks").

  python main.py --config=configs/alexnet.py                          its small-image form on 5,000 real digits
  python main.py --config=configs/alexnet.py:dataset=imagenet2012    the paper's net and recipe, ten-crop evaluation

Arguments: dataset, variant (paper, torchvision), towers (2, 1), image_size, preset=tiny. Expected on ImageNet: 57.1 %
top-1 with --config.evaluation.views=center (BVLC's replication by this solver, bvlc_alexnet/readme.md, whose net has
--config.model.lrn=caffe, biases of 0.1 and no lighting).
"""

from configs import common

# What --mode=sweep varies.
search_space = common.search_space


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, variant='paper', towers=2)
    small = common.small_images(a)
    model = {'name': 'alexnet', 'variant': a.variant, 'towers': a.towers, 'stem': 'small' if small else 'imagenet',
             'width': 0.0, 'lrn': '', 'overlapping': True, 'dropout': 0.5, 'init': ''}  # fmt: skip
    c = common.base(a, model=model, small=small)
    c.optimizer.weight_decay = 5e-4
    if small:
        # No batch norm holds the scale here: the rate of the full net, and its half as drop.
        common.small_recipe(c, epochs=12.0, learning_rate=0.02)
    else:
        # The paper prints 224; its strides and the released nets need 227. BVLC's solver: 450,000 steps of 256, the
        # rate divided by ten every 100,000.
        c.image_size = a.image_size or (227 if a.variant == 'paper' else 224)
        c.epochs = 90.0
        c.optimizer.learning_rate = 0.01
        c.schedule.name = 'step'
        c.schedule.milestones = (20.0, 40.0, 60.0, 80.0)
        c.augmentation.crop = 'random'
        c.augmentation.lighting = 0.1
        c.evaluation.resize = 256
        c.evaluation.views = 'ten_crop'
        if a.variant == 'paper':
            common.raw_pixels(c)
    if a.preset == 'tiny':
        common.tiny(c)
    return c

"""DenseNet (Huang et al. 2016, arXiv:1608.06993).

  python main.py --config=configs/densenet.py                                       DenseNet-BC (22, 8) on real digits
  python main.py --config=configs/densenet.py:dataset=cifar10,depth=100,growth_rate=12   the paper's CIFAR-10 recipe
  python main.py --config=configs/densenet.py:dataset=imagenet2012,depth=121

Arguments: dataset, depth, growth_rate, bottleneck (DenseNet-BC on small images), image_size, preset=tiny. Expected on
ImageNet: 75.0 % top-1 for 121, one central crop (liuzhuang13/DenseNet).
"""

from configs import common

# What --mode=sweep varies.
search_space = common.search_space


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, depth=0, growth_rate=0, bottleneck=True)
    small = common.small_images(a)
    digits = a.dataset == 'mnist_5k'
    if small:
        sizes = {'depth': a.depth or (22 if digits else 100), 'growth_rate': a.growth_rate or (8 if digits else 12),
                 'bottleneck': a.bottleneck, 'stem': 'cifar'}  # fmt: skip
    else:
        # A rate of 0 is the depth's own; what ImageNet's networks do not have is refused, not passed over.
        sizes = {'depth': a.depth or 121, 'growth_rate': a.growth_rate, 'bottleneck': a.bottleneck, 'stem': 'imagenet'}
    c = common.base(a, model={'name': 'densenet', **sizes, 'dropout': 0.0, 'remat': False}, small=small)
    c.optimizer.nesterov = True
    c.schedule.name = 'step'
    if digits:
        c.epochs = 8.0
        c.schedule.name = 'cosine'
        c.schedule.warmup_epochs = 1.0
        c.augmentation.crop = 'pad'
        c.augmentation.pad = 2
    elif small:
        # Section 4.2: 300 epochs of 64, the rate divided by ten at half and at three quarters.
        c.batch_size = 64
        c.epochs = 300.0
        c.schedule.milestones = (150.0, 225.0)
        c.augmentation.crop = 'pad'
        c.augmentation.flip = True
    else:
        c.epochs = 90.0
        c.schedule.milestones = (30.0, 60.0)
    if a.preset == 'tiny':
        common.tiny(c)
    return c

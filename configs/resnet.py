"""ResNet (He et al. 2015, arXiv:1512.03385) on any classification set.

  python main.py --config=configs/resnet.py                              ResNet-8 on 5,000 real digits
  python main.py --config=configs/resnet.py:dataset=cifar10,depth=20     the paper's CIFAR-10 recipe
  python main.py --config=configs/resnet.py:dataset=imagenet2012,depth=50

Arguments: dataset, depth (18, 34, 50, 101, 152, or 6n+2 for small images), image_size, preset=tiny. Expected: 98.7 % on
the digits, 91.25 % for ResNet-20 on CIFAR-10 (the paper), 76.1 % for ResNet-50 on ImageNet (torchvision, V1).
"""

from configs import common

IMAGENET_DEPTHS = (18, 34, 50, 101, 152)

# What --mode=sweep varies.
search_space = common.search_space


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, depth=0)
    small = common.small_images(a)
    # 6n+2 is a small-image depth, except where it is one of the ImageNet depths (50 = 6 x 8 + 2).
    small = small or (a.depth > 0 and a.depth not in IMAGENET_DEPTHS)
    depth = a.depth or {'mnist_5k': 8}.get(a.dataset, 20 if small else 50)
    model = {'name': 'resnet', 'depth': depth, 'stem': 'cifar' if small else 'imagenet', 'residual': True,
             'shortcut': '', 'order': 'original', 'stride_on': '3x3', 'conv': 'standard', 'norm': 'batch',
             'zero_init': 'auto', 'width': 0}  # fmt: skip
    c = common.base(a, model=model, small=small)
    if a.dataset == 'mnist_5k':
        _digits(c)
    elif small:
        _cifar(c)
        if depth >= 110:
            # Section 4.2: 0.01 until it has begun to learn, about 400 steps, or 0.1 does not start.
            c.schedule.warmup_epochs = 1.0
    else:
        _imagenet(c)
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def _digits(c):
    c.epochs = 24.0
    c.batch_size = 64
    c.optimizer.weight_decay = 5e-4
    c.loss.label_smoothing = 0.1
    c.schedule.warmup_epochs = 1.0
    c.evaluation.every_epochs = 2.0
    c.checkpoint.every_epochs = 2.0
    # Digits are not mirrored; two pixels of shift are.
    c.augmentation.crop = 'pad'
    c.augmentation.pad = 2


def _cifar(c):
    # Section 4.2: 64,000 steps of 128, 0.1 divided by ten at 32,000 and 48,000, padding by 4 and mirroring.
    c.epochs = 163.84
    c.schedule.name = 'step'
    c.schedule.milestones = (81.92, 122.88)
    c.augmentation.crop = 'pad'
    c.augmentation.flip = True


def _imagenet(c):
    # Batch 256, 0.1 divided by ten every 30 of 90 epochs; facebookarchive/fb.resnet.torch, README.
    c.epochs = 90.0
    c.schedule.name = 'step'
    c.schedule.milestones = (30.0, 60.0)
    c.checkpoint.every_epochs = 1.0

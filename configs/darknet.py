"""The twenty convolutions of YOLO v1 as a classifier, at half of detection's resolution (Redmon et al. 2016).

  python main.py --config=configs/darknet.py                                  a quarter of the width, 5,000 real digits
  python main.py --config=configs/darknet.py:dataset=imagenet2012             the paper's pretraining at 224 pixels
  python main.py --config=configs/yolo.py:dataset=voc/2007,from=runs/darknet_dataset=imagenet2012
                                                                              and detection on top of it

Arguments: dataset, variant (yolo, tiny), image_size, preset=tiny. Expected on ImageNet: 88 % top-5, the
paper's figure; nobody has run it with this code yet.
"""

from configs import common

# What --mode=sweep varies.
search_space = common.search_space


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, variant='yolo')
    small = common.small_images(a)
    model = {'name': 'darknet', 'variant': a.variant, 'stem': 'small' if small else 'imagenet', 'width': 0.0,
             'stages': 0, 'norm': 'batch'}  # fmt: skip
    c = common.base(a, model=model, small=small)
    c.optimizer.weight_decay = 5e-4
    if small:
        common.small_recipe(c, epochs=12.0, learning_rate=0.1)
    else:
        # Section 2.2 gives a week of training and no schedule: this one is usual for nets with batch norm.
        c.epochs = 80.0
        c.batch_size = 128
        c.optimizer.learning_rate = 0.1
        c.augmentation.color_jitter = 0.4
    if a.preset == 'tiny':
        common.tiny(c)
    return c

"""GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842).

  python main.py --config=configs/googlenet.py                            its small-image form on 5,000 real digits
  python main.py --config=configs/googlenet.py:dataset=imagenet2012       the paper's net with both auxiliary heads

Arguments: dataset, variant (paper, torchvision), image_size, preset=tiny. Expected on ImageNet: nobody has trained it
with this code. BVLC's replication has 68.7 % top-1 by one central crop (bvlc_googlenet/readme.md), by another recipe:
quick_solver.prototxt, 60 epochs of a polynomial decay, without the paper's crops of all sizes and shapes.
"""

from configs import common

# What --mode=sweep varies.
search_space = common.search_space


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, variant='paper')
    small = common.small_images(a)
    stem = 'small' if small else 'imagenet'
    model = {'name': 'googlenet', 'variant': a.variant, 'auxiliary': not small, 'stem': stem,
             'width': 0.0, 'norm': '', 'lrn': '', 'dropout': -1.0}  # fmt: skip
    c = common.base(a, model=model, small=small)
    c.optimizer.weight_decay = 2e-4
    if small:
        # Twenty-two layers without any norm stand still for six epochs of 4,000 images; with batch norm (Ioffe and
        # Szegedy 2015, who put it into this very network) they learn from the first.
        common.small_recipe(c, epochs=8.0, learning_rate=0.1)
    else:
        # BVLC's solver.prototxt: 0.01 times 0.96 every 320,000 steps of 32, which is the paper's every 8 epochs.
        c.batch_size = 32
        c.epochs = 250.0
        c.optimizer.learning_rate = 0.01
        c.schedule.name = 'exponential'
        c.schedule.factor = 0.96
        c.schedule.decay_epochs = 8.0
        if a.variant == 'paper':
            common.raw_pixels(c)
    if a.preset == 'tiny':
        common.tiny(c)
    return c

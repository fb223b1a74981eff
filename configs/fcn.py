"""Fully convolutional networks (Long, Shelhamer, Darrell 2015, arXiv:1411.4038) on any set with masks.

  python main.py --config=configs/fcn.py                              FCN-8s on digit_scenes
  python main.py --config=configs/fcn.py:variant=32s                  without skips
  python main.py --config=configs/fcn.py:training=staged              32s, from it 16s, from it 8s, as the paper's best
  python main.py --config=configs/fcn.py:variant=16s,from=runs/fcn_variant=32s      one such stage by itself
  python main.py --config=configs/fcn.py:dataset=masks:street         images/ and masks/ of yours, VGG-16
  python main.py --config=configs/fcn.py:dataset=oxford_iiit_pet,trunk=resnet,from=resnet50.pth

Arguments: dataset, trunk (vgg, resnet, googlenet, densenet, alexnet, squeezenet), depth, variant (32s, 16s, 8s),
training (at_once, staged), from (a classifier's weights, or the workdir of a coarser stage), image_size, preset=tiny.
Expected: mean IU 81.7 %, pixel accuracy 98.0 % on the 500 test scenes (one seed) in 4 min 48 s on two cores. Nobody has
trained on photographs with this code yet: their recipe is a beginning, not a measured one.
"""

from ml_collections import ConfigDict

from configs import common

SIDES = {'digit_scenes': 96}


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', trunk='', depth=0, variant='8s', training='at_once',
                         **{'from': ''})  # fmt: skip
    small = a.dataset in SIDES or 0 < a.image_size <= 128
    a.image_size = a.image_size or SIDES.get(a.dataset, 320)
    c = common.base(a, model=_model(a, small), small=small)
    c.task = 'segmentation'
    # letterbox (the whole image, as large as it fits), pixels (as it is; larger ones cut) or stretch, on a canvas of so
    # many pixels; 0 for image_size. What an image does not cover is ignored.
    c.canvas = ConfigDict({'fit': 'letterbox', 'height': 0, 'width': 0})
    # mean (over labelled pixels), or sum over an image's pixels, as the paper's release; a factor for each class, or ()
    c.loss.reduction = 'mean'
    c.loss.class_weights = ()
    c.checkpoint.best_metric = 'mean_iou'
    c.folds.kind = 'plain'
    c.init_from = a['from']
    # Another number of classes, or layers that the stage before had not.
    c.replace_head = bool(a['from'])
    c.optimizer.decay_vectors = False
    if c.model.trunk in common.RAW_PIXELS:
        common.raw_pixels(c)
    if small:
        _scenes(c)
    else:
        _photographs(c)
    if a.training not in ('at_once', 'staged'):
        raise ValueError(f'unknown training {a.training!r}; there are at_once and staged')
    if a.training == 'staged':
        _staged(c, a.variant)
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def search_space(trial) -> dict:
    """What --mode=sweep varies; AdamW's ranges, which the default trains with."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 3e-4, 1e-2, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-4, 0.3, log=True),
        'loss.label_smoothing': trial.suggest_float('loss.label_smoothing', 0.0, 0.2),
    }


def _model(a, small):
    trunk = a.trunk or 'vgg'
    model = {'name': 'fcn', 'trunk': trunk, 'variant': a.variant, 'depth': a.depth, 'trunk_variant': '',
             'stem': 'imagenet', 'width': 0.0, 'norm': '', 'output_stride': 0, 'head': '', 'head_size': 0, 'hidden': 0,
             'alignment': 'exact', 'upsampling': 'fixed', 'skip_scales': (), 'auxiliary': False,
             'dropout': -1.0}  # fmt: skip
    if trunk == 'resnet' and not a.depth:
        model['depth'] = 18 if small else 50
    if small:
        model['width'] = 24.0 if trunk == 'resnet' else 0.25
        if trunk == 'vgg':
            model.update({'trunk_variant': '11', 'norm': 'batch', 'hidden': 256})
    return model


def _staged(c, last: str):
    """Coarse to fine (section 4.2): each stage adds a skip, whose scores begin at zero, at a hundredth of the rate."""
    order, rate = ['32s', '16s', '8s'], c.optimizer.learning_rate
    order = order[: order.index(last) + 1] if last in order else [last]
    # The paper's ratio of 1e-10, 1e-12 and 1e-14 (for sums over pixels, in its release). What begins here from scratch
    # has no trunk from ImageNet to spare, and takes half.
    factor = 0.5 if c.dataset in SIDES else 0.01
    for i, variant in enumerate(order):
        c.stages[f'fcn{variant}'] = ConfigDict(
            {'model': {'variant': variant}, 'optimizer': {'learning_rate': rate * factor**i}}
        )
    c.stages.order = ','.join(f'fcn{variant}' for variant in order)


def _scenes(c):
    common.scenes_recipe(c, epochs=22.0, batch_size=32, learning_rate=0.004, weight_decay=0.05, evaluations=2)
    c.checkpoint.every_epochs = 5.5


def _photographs(c):
    c.epochs = 100.0
    c.batch_size = 16
    c.optimizer.learning_rate = 0.01
    c.optimizer.weight_decay = 5e-4
    c.schedule.warmup_epochs = 2.0
    c.evaluation.every_epochs = 5.0
    c.checkpoint.every_epochs = 5.0
    c.augmentation.crop = 'random_resized'
    c.augmentation.min_area = 0.25
    c.augmentation.flip = True

"""Fully convolutional networks (Long, Shelhamer, Darrell 2015, arXiv:1411.4038) on any set with masks.

  python main.py --config=configs/fcn.py                              FCN-8s on digit_scenes
  python main.py --config=configs/fcn.py:variant=32s                  without skips
  python main.py --config=configs/fcn.py:variant=16s,from=runs/fcn_variant=32s      the next stage, from the coarser one
  python main.py --config=configs/fcn.py:dataset=masks:street         images/ and masks/ of yours, VGG-16
  python main.py --config=configs/fcn.py:dataset=oxford_iiit_pet,trunk=resnet,from=resnet50.pth

Arguments: dataset, trunk (vgg, resnet, googlenet, densenet, alexnet, squeezenet), depth, variant (32s, 16s, 8s), from
(a classifier's weights, or the workdir of a coarser stage), image_size, preset=tiny. Expected: mean IU 81.7 %, pixel
accuracy 98.0 % on the 500 test scenes (one seed). Nobody has trained on photographs with this code yet: their recipe is
a beginning, not a measured one.
"""

from ml_collections import ConfigDict

from configs import common

SIDES = {'digit_scenes': 96}


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', trunk='', depth=0, variant='8s', **{'from': ''})
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
    if small:
        _scenes(c)
    else:
        _photographs(c)
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

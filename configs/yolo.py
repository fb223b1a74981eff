"""YOLO v1 (Redmon, Divvala, Girshick, Farhadi 2016, arXiv:1506.02640): detection in one pass.

  python main.py --config=configs/yolo.py                                     a small one on digit_scenes
  python main.py --config=configs/yolo.py:dataset=voc/2007+2012               the paper's net and recipe at 448 pixels
  python main.py --config=configs/yolo.py:dataset=voc/2007+2012,variant=fast  Fast YOLO
  python main.py --config=configs/yolo.py:dataset=coco:photos,trunk=resnet,depth=18,from=resnet18.pth
                                                                              your own boxes, on a pretrained trunk

Arguments: dataset (digit_scenes, voc/2007[+2012], coco, stanford_dogs, voc:PATH, coco:PATH), variant (paper, fast,
tiny, local, small), trunk (any network), depth, from (a classifier's weights or workdir: configs/darknet.py pretrains
the paper's), image_size, preset=tiny. Expected on digit_scenes: map_50 0.886, map_coco 0.455 on the 500 test scenes
(seed 0), after 15 epochs on two CPU cores; on VOC 2007, trained with 2012's images besides, the paper's 63.4 % (fast:
52.7 %), which nobody has run with this code yet.
"""

from configs import common

SIDES = {'digit_scenes': 96}


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', variant='', trunk='', depth=0, **{'from': ''})
    small = a.dataset in SIDES or 0 < a.image_size <= 128
    a.image_size = a.image_size or SIDES.get(a.dataset, 448)
    c = common.base(a, model=_model(a, small), small=small)
    common.detection(c, fit='stretch', max_boxes=common.most_boxes(a.dataset))
    # The lambdas of equation 3; whether the responsible confidence is to become the overlap (the paper's text, and
    # darknet's files) or 1; darknet's choice of the responsible predictor where none overlaps; roots of the sides.
    c.loss.coord = 5.0
    c.loss.noobj = 0.5
    c.loss.rescore = True
    c.loss.rmse_fallback = False
    c.loss.sqrt = True
    c.init_from = a['from']
    c.replace_head = bool(a['from'])
    if small:
        _scenes(c)
    else:
        _photographs(c, a)
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def search_space(trial) -> dict:
    """What --mode=sweep varies."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-4, 1e-2, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-5, 1e-1, log=True),
        'loss.noobj': trial.suggest_float('loss.noobj', 0.1, 1.0),
    }


def _model(a, small):
    variant = a.variant or ('small' if small else 'paper')
    # batch: darknet's files; the paper says nothing of norms.
    return {'name': 'yolo', 'variant': variant, 'trunk': a.trunk, 'depth': a.depth, 'trunk_variant': '', 'stem': '',
            'width': 0.0, 'stages': 0, 'endpoint': '', 'convs': (), 'head': '', 'hidden': (), 'side': 0, 'boxes': 0,
            'dropout': 0.5, 'order': 'cell', 'norm': 'batch'}  # fmt: skip


def _scenes(c):
    common.scenes_recipe(c, epochs=15.0, batch_size=32, learning_rate=0.003, weight_decay=0.01, evaluations=3)
    c.checkpoint.every_epochs = 5.0


def _photographs(c, a):
    # Section 2.2: 135 epochs of 64, 0.01 (which rises slowly to that) for 75, 0.001 for 30, 0.0001 for 30; darknet's
    # gradients are half of the loss's as the paper prints it, so that its rates are halved here, and its decay of
    # 0.0005, which the rate multiplies, doubled. It spares biases and norms, as darknet does.
    c.epochs = 135.0
    c.batch_size = 64
    c.optimizer.learning_rate = 0.005
    c.optimizer.weight_decay = 1e-3
    c.optimizer.decay_vectors = False
    c.schedule.name = 'step'
    c.schedule.warmup_epochs = 3.0
    c.schedule.milestones = (75.0, 105.0)
    c.evaluation.every_epochs = 5.0
    c.checkpoint.every_epochs = 5.0
    # Scaling and translations of up to 20 %; exposure and saturation by 0.5 to 1.5 times, where darknet has 1 / 1.5 to
    # 1.5 in HSV.
    c.augmentation.crop = 'none'
    c.canvas.jitter = 0.2
    c.augmentation.color_jitter = 0.5
    c.augmentation.flip = True
    common.voc_2007_protocol(c)

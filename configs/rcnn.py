"""R-CNN (Girshick, Donahue, Darrell, Malik 2014, arXiv:1311.2524): every proposal, warped, through the whole network.

  python main.py --config=configs/rcnn.py                                     a small one on digit_scenes
  python main.py --config=configs/rcnn.py:dataset=voc/2007,from=WORKDIR
                                                             the paper's net and recipe: 58.5 mAP there, 54.2 without
                                                             regressions of boxes; WORKDIR is a run of alexnet.py on
                                                             ImageNet with --config.model.lrn=caffe
  python main.py --config=configs/rcnn.py:dataset=voc/2007,variant=L,from=vgg16.pth                      66.0 mAP

Arguments: dataset (digit_scenes, voc/2007[+2012], coco, stanford_dogs, voc:PATH, coco:PATH), proposals
(selective_search, windows, or the workdir of a run of Faster R-CNN), variant (S, L, small), trunk (any network), depth,
from (a classifier's weights or workdir), image_size, preset=tiny, which takes windows. Two stages: `finetune` trains
the network with a softmax, `solve` fits a support vector machine and a regression of boxes for each class. To score the
softmax in place of machines, or boxes as they were proposed, evaluate the same workdir with
--config.linear.classifier=softmax, --config.linear.regress=False. Expected on digit_scenes: map_50 0.981, map_coco
0.711 on the 500 test scenes (seed 0; six and a half minutes on two cores beside selective search in 23 ms a scene); by
the softmax without regressions 0.976 and 0.680.
"""

from ml_collections import ConfigDict

from configs import common

SIDES = {'digit_scenes': 96}
WINDOWS = 'windows'


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', proposals='', variant='', trunk='', depth=0, **{'from': ''})
    small = a.dataset in SIDES or 0 < a.image_size <= 128
    a.image_size = a.image_size or SIDES.get(a.dataset, 500)
    # What is 0, empty or -1 is the variant's (cnn/models/detectors/rcnn.py).
    model = {'name': 'rcnn', 'variant': a.variant or ('small' if small else 'S'), 'trunk': a.trunk, 'depth': a.depth,
             'trunk_variant': '', 'stem': '', 'width': 0.0, 'stages': 0, 'norm': '', 'hidden': (), 'size': 0,
             'context': -1, 'chunk': 0, 'classifier': 'both', 'regress': True, 'dropout': -1.0}  # fmt: skip
    c = common.base(a, model=model, small=small)
    linear(c, a)
    # Regions of an image that are learnt on average: a batch has 32 objects and 96 of the background.
    c.roi = ConfigDict({'batch': 8, 'positive_share': 0.25, 'positive': 0.5, 'background_low': 0.0,
                        'background_high': 0.5, 'add_truth': True})  # fmt: skip
    c.init_from = a['from']
    c.replace_head = bool(a['from'])
    if small:
        _scenes(c)
    else:
        _photographs(c, a)
    c.stages.order = 'finetune,solve'
    c.stages.finetune = ConfigDict({'linear': {'classifier': 'softmax', 'regress': False}})
    c.stages.solve = ConfigDict({'fit': 'svm,boxes'})
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def search_space(trial) -> dict:
    """What --mode=sweep varies."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-4, 1e-2, log=True),
        'linear.c': trial.suggest_float('linear.c', 1e-4, 1e-1, log=True),
        'linear.ridge': trial.suggest_float('linear.ridge', 1.0, 1e4, log=True),
    }


def linear_options(classifier: str) -> ConfigDict:
    """Whose scores count (svm, softmax), whether boxes are moved, and how both are solved for: the releases' settings,
    which cnn/tasks/region_fit.py, region_svm.py and region_ridge.py explain."""
    return ConfigDict({'classifier': classifier, 'regress': True, 'c': 1e-3, 'positive_weight': 2.0, 'bias': 10.0,
                       'norm': 20.0, 'negative': 0.3, 'hard': -1.0001, 'easy': -1.2, 'enough': 2000, 'epochs': 1,
                       'tolerance': 0.1, 'ridge': 1000.0, 'overlap': 0.6, 'megabytes': 1024})  # fmt: skip


def linear(c: ConfigDict, a: ConfigDict) -> None:
    """What R-CNN and SPPNet share beside their stages: whole images, proposals, and what is solved for on features."""
    common.detection(c, fit='shortest', max_boxes=common.most_boxes(c.dataset))
    c.detection.nms_threshold = 0.3
    c.linear = linear_options('svm')
    given = a.proposals or (WINDOWS if a.preset == 'tiny' else 'selective_search')
    c.input.proposals = '' if given == WINDOWS else given
    # Of windows, as in configs/fast_rcnn.py.
    c.windows = ConfigDict({'stride': 16, 'scales': (4.0, 8.0, 16.0, 32.0), 'ratios': (0.5, 1.0, 2.0)})
    if c.dataset in SIDES or c.image_size <= 128:
        c.windows.update({'stride': 12, 'scales': (1.25, 2.0, 3.0), 'ratios': (1.0, 1.6)})


def _scenes(c):
    common.scenes_recipe(c, epochs=12.0, batch_size=16, learning_rate=0.002, weight_decay=0.01, evaluations=1)
    c.checkpoint.every_epochs = c.epochs


def _photographs(c, a):
    # The release's solver: 0.001, a tenth every 20,000 of 100,000 steps, the new classifier ten times as fast. Batches
    # of 128 regions, of 24 for VGG-16 (section 3.3).
    c.batch_size = 3 if c.model.variant == 'L' else 16
    c.epochs = 100.0
    c.steps = 100000 if common.is_voc_2007(c) else 0
    c.optimizer.learning_rate = 0.001
    c.optimizer.weight_decay = 5e-4
    common.caffe_rates(c, ('S', 'L'), 'cls_score/kernel=10,cls_score/bias=20')
    c.detection.use_difficult = True
    c.schedule.name = 'step'
    c.schedule.milestones = (20.0, 40.0, 60.0, 80.0)
    c.evaluation.every_epochs = 100.0
    c.checkpoint.every_epochs = 10.0
    c.augmentation.crop = 'none'
    c.augmentation.flip = True
    common.voc_2007_protocol(c)
    if a.trunk in common.RAW_PIXELS or (c.model.variant == 'S' and not a.trunk):
        common.raw_pixels(c)

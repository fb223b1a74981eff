"""Faster R-CNN (Ren, He, Girshick, Sun 2015, arXiv:1506.01497): proposals and detections from one map.

  python main.py --config=configs/faster_rcnn.py                              a small one on digit_scenes
  python main.py --config=configs/faster_rcnn.py:dataset=voc/2007,from=vgg16.pth
                                                                              the paper's net and recipe: 69.9 mAP there
  python main.py --config=configs/faster_rcnn.py:dataset=voc/2007,variant=ZF
  python main.py --config=configs/faster_rcnn.py:dataset=coco:photos,variant=C4,from=resnet50.pth
                                                                              your own boxes, on a pretrained ResNet
  python main.py --config=configs/faster_rcnn.py:training=alternating         in the paper's four steps (section 3.2)

Arguments: dataset (digit_scenes, voc/2007[+2012], coco, stanford_dogs, voc:PATH, coco:PATH), variant (L, ZF, M, S, C4,
small), trunk (any network), depth, from (a classifier's weights or workdir), training (joint, all losses at once;
alternating, four stages), image_size, preset=tiny. Expected on digit_scenes: map_50 0.968 on the 500 test scenes, 0.744
by COCO's rule (one seed, 20 epochs; two and a half minutes on two quiet cores); in four steps 0.954 and 0.710, after
907 s on cores that several other runs shared.
"""

from ml_collections import ConfigDict

from configs import common

SIDES = {'digit_scenes': 96}


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', variant='', trunk='', depth=0, training='joint', **{'from': ''})
    common.check_choice('training', a.training, ('joint', 'alternating'))
    small = a.dataset in SIDES or 0 < a.image_size <= 128
    c = region_detector(a, small, 'faster_rcnn')
    c.model.rpn_features = 0
    c.model.ratios = (1.0, 1.6) if small else (0.5, 1.0, 2.0)
    # Sides of the anchors, in units of 16 pixels; () is the variant's. The release adds 4 to 8, 16, 32 for COCO.
    c.model.scales = (4.0, 8.0, 16.0, 32.0) if a.dataset == 'coco' else ()
    # Whose losses are learnt: joint, rpn or head (cnn/tasks/faster_rcnn.py).
    c.loss.parts = 'joint'
    # The release's (cnn/tasks/proposals.py says what each means).
    c.rpn = ConfigDict({'batch': 256, 'positive_share': 0.5, 'positive': 0.7, 'negative': 0.3, 'border': 0.0,
                        'sigma': 3.0, 'weight': 1.0, 'train_before': 12000, 'train_after': 2000, 'test_before': 6000,
                        'test_after': 300, 'nms_threshold': 0.7, 'min_size': 16.0})  # fmt: skip
    # End to end the release has one image of 128 regions, whose background may overlap nothing.
    c.roi.background_low = 0.0
    if small:
        c.roi.batch = 32
        c.rpn.update({'batch': 64, 'border': 24.0, 'train_before': 1000, 'train_after': 100, 'test_before': 1000,
                      'test_after': 40, 'min_size': 4.0})  # fmt: skip
    else:
        c.roi.batch = 128
    if a.training == 'alternating':
        _alternating(c, a, small)
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def _alternating(c, a, small):
    """Section 3.2's four steps. The first two train apart, each from the weights that the run starts with; the other
    two train only what is their own, on the trunk of the second, so that one network comes out."""
    c.stages.order = 'rpn,detector,rpn_shared,detector_shared'
    kept = '|' + c.optimizer.freeze if c.optimizer.freeze else ''
    # The head learns from proposals that are kept, but in the last step from the network's own: on a frozen trunk they
    # are what would have been kept.
    rpn, head = {'loss': {'parts': 'rpn'}}, {'loss': {'parts': 'head'}}
    # What it is judged by, where there is no head yet.
    rpn['checkpoint'] = {'best_metric': 'average_recall'}
    steps = {'rpn': rpn | {'optimizer': {'freeze': '^head/' + kept}},
             'detector': head | {'begin': 'start', 'input': {'proposals': '{rpn}'},
                                 'optimizer': {'freeze': '^rpn/' + kept}},
             'rpn_shared': rpn | {'model': {'freeze_norm': True}, 'optimizer': {'freeze': '^(trunk|head)/'}},
             'detector_shared': head | {'model': {'freeze_norm': True},
                                        'optimizer': {'freeze': '^(trunk|rpn)/'}}}  # fmt: skip
    for name, step in steps.items():
        c.stages[name] = ConfigDict(step)
        if a.preset == 'tiny':
            continue
        if small:
            epochs = {'rpn': 8.0, 'detector': 12.0, 'rpn_shared': 4.0, 'detector_shared': 6.0}[name]
            c.stages[name].update({'epochs': epochs, 'evaluation': {'every_epochs': epochs}})
            continue
        # The release's: one image of 256 anchors, two of 64 regions; a tenth of the rate for the last quarter.
        own = {'batch_size': 1 if name.startswith('rpn') else 2, 'epochs': 16.0, 'schedule': {'milestones': (12.0,)}}
        c.stages[name].update(own)
        c.stages[name].optimizer.accumulate_steps = 1
        if common.is_voc_2007(c):
            c.stages[name].steps = 80000 if name.startswith('rpn') else 40000
        if name.startswith('detector'):
            c.stages[name].roi = ConfigDict({'batch': 64})


def search_space(trial) -> dict:
    """What --mode=sweep varies."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-4, 1e-2, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-5, 1e-1, log=True),
    }


def region_detector(a: ConfigDict, small: bool, name: str) -> ConfigDict:
    """What Fast and Faster R-CNN share."""
    variant = a.variant or ('small' if small else 'L')
    a.image_size = a.image_size or SIDES.get(a.dataset, 1000)
    # What is 0, empty or -1 is the variant's (cnn/models/detectors/fast_rcnn.py). Norms that came trained stay so.
    model = {'name': name, 'variant': variant, 'trunk': a.trunk, 'depth': a.depth, 'trunk_variant': '', 'stem': '',
             'width': 0.0, 'norm': '', 'endpoint': '', 'head': '', 'hidden': (), 'ranks': (), 'pooling': '',
             'pool_size': 0, 'dropout': -1.0, 'freeze_norm': bool(a['from']) and not small}  # fmt: skip
    c = common.base(a, model=model, small=small)
    common.detection(c, fit='shortest', max_boxes=common.most_boxes(a.dataset))
    c.detection.nms_threshold = 0.3
    # cnn/tasks/regions.py says what each means. The deviations are Faster R-CNN's release's; Fast R-CNN's measures mean
    # and deviation of each class's targets (section 2.3), which weighs the two losses a little otherwise.
    c.roi = ConfigDict({'batch': 64, 'positive_share': 0.25, 'positive': 0.5, 'background_low': 0.1,
                        'background_high': 0.5, 'add_truth': True, 'stds': (0.1, 0.1, 0.2, 0.2), 'sigma': 1.0,
                        'weight': 1.0, 'regress': True})  # fmt: skip
    # Singular values that dense layers are cut to when a trained network is scored, as (1024, 256); () for none.
    c.evaluation.ranks = ()
    c.init_from = a['from']
    c.replace_head = bool(a['from'])
    if small:
        _scenes(c, name)
    else:
        _photographs(c, a, name)
    return c


def _scenes(c, name):
    epochs = 20.0 if name == 'faster_rcnn' else 12.0
    common.scenes_recipe(c, epochs=epochs, batch_size=16, learning_rate=0.002, weight_decay=0.01, evaluations=2)
    c.checkpoint.every_epochs = epochs / 2


def _photographs(c, a, name):
    # The shortest side 600 pixels unless the longest would pass 1,000 (both less with a smaller `image_size`); 40,000
    # steps of two images for Fast, 70,000 of two one after the other for Faster R-CNN, a tenth of the rate for the last
    # 10,000 and 20,000.
    c.canvas.shortest = round(0.6 * c.image_size)
    c.canvas.longest = c.image_size
    faster = name == 'faster_rcnn'
    c.batch_size = 2
    c.optimizer.accumulate_steps = 2 if faster else 1
    c.epochs = 28.0 if faster else 16.0
    # Section 5.3 of Fast R-CNN: 60,000 steps where 2012's images are learnt too.
    fast_steps = 60000 if '+2012' in c.dataset else 40000
    c.steps = (70000 if faster else fast_steps) if common.is_voc_2007(c) else 0
    c.optimizer.learning_rate = 0.001
    c.optimizer.weight_decay = 5e-4
    common.caffe_rates(c, ('S', 'M', 'L', 'ZF'))
    # Table 1 of Fast R-CNN: 66.9 with them, 68.1 without.
    c.detection.use_difficult = not faster
    # The first two stages of VGG-16 stay as they were trained for ImageNet (Fast R-CNN, section 4.5).
    c.optimizer.freeze = 'trunk/conv[12]_' if a['from'] and c.model.variant == 'L' and not a.trunk else ''
    c.schedule.name = 'step'
    c.schedule.milestones = (c.epochs * (5 / 7 if faster else 3 / 4),)
    c.evaluation.every_epochs = 4.0
    c.checkpoint.every_epochs = 4.0
    c.augmentation.crop = 'none'
    c.augmentation.flip = True
    common.voc_2007_protocol(c)
    if a.trunk in common.RAW_PIXELS or (c.model.variant in ('S', 'M', 'ZF') and not a.trunk):
        common.raw_pixels(c)

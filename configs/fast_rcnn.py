"""Fast R-CNN (Girshick 2015, arXiv:1504.08083): one pass over the image, a head on every region given.

  python main.py --config=configs/fast_rcnn.py                                a small one on digit_scenes
  python main.py --config=configs/fast_rcnn.py:dataset=voc/2007,from=vgg16.pth        the paper's net L and recipe
  python main.py --config=configs/fast_rcnn.py:dataset=voc/2007,variant=S,from=WORKDIR
                          WORKDIR is a run of alexnet.py on ImageNet with --config.model.lrn=caffe

The paper's ablations:
  training=classes        no regression of boxes (section 5.1, table 6)
  training=stagewise      boxes afterwards, all else as it was trained for classes (the same)
  classifier=svm          support vector machines as R-CNN's in place of the softmax (section 5.4, table 8)
  scales=five             five scales: one at random in training; each region where it is nearest to 224 x 224 pixels in
                          detection (section 5.2, table 7)
  --config.optimizer.freeze=trunk/        only the dense layers are fine-tuned (section 4.5, table 5); trunk/conv[12]_
                          leaves conv3 and above to be trained as well, which is the default on net L
  --mode=evaluate --config.evaluation.ranks='(1024,256)'        a trained one with truncated dense layers (section 4.4)

Arguments: dataset (digit_scenes, voc/2007[+2012], coco, stanford_dogs, voc:PATH, coco:PATH), proposals
(selective_search, windows, or the workdir of a run of Faster R-CNN), training (joint, classes, stagewise), classifier
(softmax, svm), scales (one, five), variant (S, M, L, ZF, C4, small), trunk (any network), depth, from (a classifier's
weights or workdir), image_size, preset=tiny, which takes windows. The paper's 66.9 mAP on voc/2007 are those of
selective search. Expected on digit_scenes: map_50 0.940, map_coco 0.702 on the 500 test scenes, of whose objects 99.5 %
are proposed (one seed, 12 epochs, two minutes of one core after selective search in 25 ms a scene); with windows, which
propose 94 %, map_50 0.922; the ablations 0.897 to 0.949 (benchmarks/RESULTS.md).
"""

from ml_collections import ConfigDict

from configs import common
from configs.faster_rcnn import SIDES, region_detector
from configs.rcnn import linear_options

TRAININGS = ('joint', 'classes', 'stagewise')
# Section 5.2; the longest side is at most 2,000 pixels.
FIVE, LONGEST = (480, 576, 688, 864, 1200), 2000
WINDOWS = 'windows'


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', proposals='', training='joint', classifier='softmax',
                         scales='one', variant='', trunk='', depth=0, **{'from': ''})  # fmt: skip
    small = a.dataset in SIDES or 0 < a.image_size <= 128
    common.check_choice('training', a.training, TRAININGS)
    common.check_choice('classifier', a.classifier, ('softmax', 'svm'))
    common.check_choice('scales', a.scales, ('one', 'five'))
    if a.scales == 'five' and not small:
        a.image_size = a.image_size or LONGEST
    c = region_detector(a, small, 'fast_rcnn')
    given = a.proposals or (WINDOWS if a.preset == 'tiny' else 'selective_search')
    c.input.proposals = '' if given == WINDOWS else given
    # Pixels between windows, their sides in units of 16 pixels, heights over widths.
    c.windows = ConfigDict({'stride': 16, 'scales': (4.0, 8.0, 16.0, 32.0), 'ratios': (0.5, 1.0, 2.0)})
    # Regions at the scale that brings them nearest to an area: cnn/models/detectors/fast_rcnn.py.
    c.model.update({'shortest': 0.0, 'scales': (), 'region': 224.0 * 224.0})
    if small:
        c.roi.batch = 32
        c.windows.update({'stride': 8, 'scales': (1.25, 2.0, 3.0), 'ratios': (1.0, 1.6)})
    if a.scales == 'five':
        _five_scales(c, small)
    c.roi.regress = a.training != 'classes'
    if a.training == 'stagewise':
        c.stages.order = 'classes,boxes'
        c.stages.classes = ConfigDict({'roi': {'regress': False}})
        c.stages.boxes = ConfigDict({'optimizer': {'freeze': '^(?!head/bbox_pred/)'}, 'model': {'freeze_norm': True}})
    _classifier(c, a.classifier)
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def _classifier(c, name):
    c.linear = linear_options(name)
    c.model.svm = name == 'svm'
    if name == 'svm':
        # The softmax trains the network all the same.
        trained = c.stages.order or 'finetune'
        for stage in trained.split(','):
            c.stages[stage] = c.stages.get(stage, ConfigDict())
            c.stages[stage].linear = ConfigDict({'classifier': 'softmax'})
        c.stages.order = f'{trained},svm'
        c.stages.svm = ConfigDict({'fit': 'svm'})


def _five_scales(c, small):
    scales = tuple(round(side * c.image_size / (FIVE[-1] if small else LONGEST)) for side in FIVE)
    c.canvas.scales = scales
    c.canvas.longest = c.image_size
    c.model.scales = tuple(float(side) for side in scales)
    c.model.shortest = float(scales[-1])
    # Scenes' digits are 32 pixels large in the middle.
    c.model.region = 1024.0 if small else 224.0 * 224.0


def search_space(trial) -> dict:
    """What --mode=sweep varies."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-4, 1e-2, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-5, 1e-1, log=True),
    }

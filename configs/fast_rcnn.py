"""Fast R-CNN (Girshick 2015, arXiv:1504.08083): one pass over the image, a head on every region given.

  python main.py --config=configs/fast_rcnn.py                                a small one on digit_scenes
  python main.py --config=configs/fast_rcnn.py:dataset=voc/2007,from=vgg16.pth        the paper's net L and recipe
  python main.py --config=configs/fast_rcnn.py:dataset=voc/2007,variant=S,from=alexnet.pth

Arguments: dataset (digit_scenes, voc/2007, coco, stanford_dogs, voc:PATH, coco:PATH), variant (S, M, L, ZF, C4, small),
trunk (any network), depth, from (a classifier's weights or workdir), image_size, preset=tiny. Regions are the
batch's `proposals` where it brings them, else the sliding windows of the section `windows`; the paper's 66.9 mAP on
voc/2007 are those of selective search. Expected on digit_scenes: map_50 0.922 on the 500
test scenes (one seed, 12 epochs; 664 s on two cores that several other runs shared); windows overlap 94 % of the
objects by half.
"""

from ml_collections import ConfigDict

from configs import common
from configs.faster_rcnn import SIDES, region_detector


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='digit_scenes', variant='', trunk='', depth=0, **{'from': ''})
    small = a.dataset in SIDES or 0 < a.image_size <= 128
    c = region_detector(a, small, 'fast_rcnn')
    # Pixels between windows, their sides in units of 16 pixels, heights over widths.
    c.windows = ConfigDict({'stride': 16, 'scales': (4.0, 8.0, 16.0, 32.0), 'ratios': (0.5, 1.0, 2.0)})
    if small:
        c.roi.batch = 32
        c.windows.update({'stride': 8, 'scales': (1.25, 2.0, 3.0), 'ratios': (1.0, 1.6)})
    if a.preset == 'tiny':
        common.tiny(c)
    return c


def search_space(trial) -> dict:
    """What --mode=sweep varies."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-4, 1e-2, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-5, 1e-1, log=True),
    }

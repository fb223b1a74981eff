"""Batch normalisation synchronised over devices, or not (Peng et al. 2018, arXiv:1711.07240).

  python main.py --mode=study --config=configs/studies/synchronised.py
  python main.py --mode=study --config=configs/studies/synchronised.py:size=paper

Two images a device on eight devices, and the whole batch on one. Arguments: size (small, paper), dataset, image_size,
preset=tiny. Expected: docs/studies.md. The paper's size is ResNet-50 on ImageNet with as many images a device, for
hosts with eight devices; in the small size the CPU pretends to have them.
"""

from configs import resnet
from configs.studies import section

DEVICES, EACH = 8, 2


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'imagenet2012')
    c = resnet.get_config(f'{section.rest(a)},depth={8 if a.size == "small" else 50}')
    arms = {
        'each_device': {'devices': DEVICES},
        'synchronised': {'devices': DEVICES, 'batch_norm': {'synchronised': True}},
        'one_device': {'devices': 1},
    }
    section.add(c, 'synchronised', arms, seeds=10 if a.size == 'small' else 3)
    if a.size == 'small':
        section.digits(c, a, epochs=1.5, batch_size=DEVICES * EACH)
        c.model.width = 8
    c.batch_size = DEVICES * EACH
    # In proportion to the batch (Goyal et al. 2017, arXiv:1706.02677).
    c.optimizer.learning_rate = 0.1 * c.batch_size / (64 if a.size == 'small' else 256)
    c.evaluation.batch_size = 128
    c.study.devices = DEVICES
    section.tiny(c, a)
    return c

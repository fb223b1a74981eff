"""LRN, overlapping pooling, dropout and augmentation in AlexNet (Krizhevsky et al. 2012).

  python main.py --mode=study --config=configs/studies/alexnet.py:dataset=cifar10
  python main.py --mode=study --config=configs/studies/alexnet.py
  python main.py --mode=study --config=configs/studies/alexnet.py:size=paper

The network, and the network without each of them. Arguments: size (small, paper), dataset, image_size, preset=tiny. The
small size is of the embedded digits, which show augmentation alone; natural images (CIFAR-10, or dataset=folder:DIR of
the same in files) show more. Expected: docs/studies.md. The paper's size is its own on ImageNet.
"""

from configs import alexnet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'imagenet2012')
    small, digits = a.size == 'small', a.dataset == 'mnist_5k'
    if small:
        a.image_size = a.image_size or (14 if digits else 24)
    c = alexnet.get_config(section.rest(a))
    arms = {
        'whole': {},
        'without_lrn': {'model': {'lrn': 'none'}},
        'without_overlap': {'model': {'overlapping': False}},
        'without_dropout': {'model': {'dropout': 0.0}},
        'without_augmentation': {'augmentation': {'crop': 'none', 'flip': False, 'lighting': 0.0}},
    }
    seeds = (20 if digits else 4) if small else 3
    section.add(c, 'alexnet', arms, seeds=seeds, columns='accuracy,loss,fit_accuracy')
    if small:
        # Few examples, and steps enough to fit them: what is against overfitting needs something to do. At a rate at
        # which the network learns without LRN as well.
        c.study.examples = 400 if digits else 1000
        c.augmentation.pad = 1 if digits else 3
        c.model.width = 0.25
        c.batch_size = 32
        c.steps = 1000 if digits else 2000
        c.optimizer.learning_rate = 0.01 if digits else 0.02
        c.evaluation.every_epochs = c.epochs / 2
        c.checkpoint.every_epochs = c.epochs / 2
    section.tiny(c, a)
    return c

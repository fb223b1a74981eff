"""Batch normalisation over learning rates, and the drift of activations (Ioffe and Szegedy 2015, arXiv:1502.03167).

  python main.py --mode=study --config=configs/studies/batch_norm.py
  python main.py --mode=study --config=configs/studies/batch_norm.py:size=paper

The same network with and without it. Arguments: size (small, paper), dataset, image_size, preset=tiny. Expected:
docs/studies.md. The paper's size is its Inception on ImageNet at the paper's rates, once, five and thirty times
0.0015.
"""

from configs import googlenet, resnet
from configs.studies import section


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = section.parse(arg, 'imagenet2012')
    small = a.size == 'small'
    # Inception keeps its response normalisation in both; only the accelerated nets of section 4.2.1 go without.
    lrn = {} if small else {'lrn': 'paper'}
    arms = {'without': {'model': {'norm': 'none', **lrn}}, 'with': {'model': {'norm': 'batch', **lrn}}}
    base = resnet if small else googlenet
    c = base.get_config(f'{section.rest(a)},depth=20' if small else section.rest(a))
    rates = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0) if small else (0.0015, 0.0075, 0.045)
    vary = f'optimizer.learning_rate={",".join(map(str, rates))}'
    section.add(c, 'batch_norm', arms, kind='over', x='optimizer.learning_rate', vary=vary, seeds=10 if small else 3,
                columns='accuracy,train_loss,drift')  # fmt: skip
    if small:
        section.digits(c, a, epochs=4.0)
        c.model.width = 8
        # No shortcut carries the signal past a layer, and nothing else holds its scale.
        c.model.residual = False
        c.schedule.warmup_epochs = 0.0
        c.checkpoint.every_epochs = 0.5
    c.study.layer = 'conv4_3/norm2' if small else 'inception_5b/3x3_norm'
    c.checkpoint.keep = 20
    section.tiny(c, a)
    return c

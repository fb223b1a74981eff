"""Convolutional passes by hand: loops, branches, and each detector's own."""

import jax
import jax.numpy as jnp
import pytest

from cnn.analysis.passes import convolutional_passes, images_read
from cnn.models import detectors
from cnn.ops.conv import conv
from cnn.tasks.fast_rcnn import FastRCNN
from cnn.tasks.rcnn import RCNN
from cnn.tasks.sppnet import SPPNet

SHARED = {'num_classes': 2, 'mean': (0.5,) * 3, 'std': (0.25,) * 3, 'max_boxes': 2, 'max_detections': 4}
VGG = {'trunk': 'vgg', 'trunk_variant': '11', 'stem': 'small', 'width': 0.05, 'hidden': (8,), 'dropout': 0.0,
       'norm': 'none'}  # fmt: skip
PYRAMID = VGG | {'endpoint': 'conv3', 'levels': (2, 1)}


def test_loops_and_branches_are_counted_as_often_as_they_run():
    kernels = {name: jnp.zeros((3, 3, 2, 2)) for name in ('first', 'often', 'maybe', 'never')}
    batch = {'image': jnp.zeros((4, 8, 8, 2))}

    def function(variables, batch):
        x = conv(batch['image'], variables['params']['first'].astype(jnp.float32))
        x = conv(x, variables['params']['first'])

        def step(x, part):
            much = lambda x: conv(jnp.concatenate([x, x]), variables['params']['maybe'])[:4, :2, :2]  # noqa: E731
            x = x + jax.lax.cond(part > 1, lambda x: x[:, :2, :2], much, x).mean()
            return x + jax.jit(conv)(x, variables['params']['often']).mean(), None

        return jax.lax.scan(step, x, jnp.arange(5.0))[0]

    found = images_read(function, {'params': kernels}, batch)
    assert found == {'params/first': 8, 'params/maybe': 5 * 8, 'params/often': 5 * 4}


def passes(task, proposals, images=2):
    batch = {name: jnp.zeros((images, *x.shape[1:]), x.dtype) for name, x in task.dummy_batch(48).items()}
    batch['proposals'] = jnp.zeros((images, proposals, 4))
    variables = jax.eval_shape(task.init, jax.random.key(0), batch)
    # Whatever form it was traced in before.
    jax.eval_shape(task.predict, variables, batch)
    return convolutional_passes(task, variables, batch)


def test_rcnn_passes_once_for_every_proposal_and_the_others_once_for_the_image():
    rcnn = RCNN(detectors.create('rcnn', **VGG, num_classes=2, size=32, chunk=250), **SHARED)
    assert passes(rcnn, 2000) == 2000
    assert passes(rcnn, 8) == 8
    sppnet = SPPNet(detectors.create('sppnet', num_classes=2, **PYRAMID), **SHARED)
    assert passes(sppnet, 2000) == 1
    scales = {'shortest': 48.0, 'scales': (32.0, 48.0, 64.0, 80.0, 96.0)}
    assert passes(SPPNet(detectors.create('sppnet', num_classes=2, **PYRAMID, **scales), **SHARED), 2000) == 5
    fast = FastRCNN(detectors.create('fast_rcnn', num_classes=2, **VGG, endpoint='conv3'), **SHARED)
    assert passes(fast, 2000) == 1


def test_what_does_not_convolve_is_refused():
    class Task:
        @staticmethod
        def predict(variables, batch):
            return batch['image'] * variables['params']['scale']

    with pytest.raises(ValueError, match='Task predicts without a convolution'):
        convolutional_passes(Task(), {'params': {'scale': jnp.ones(3)}}, {'image': jnp.zeros((1, 4, 4, 3))})

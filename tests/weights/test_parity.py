"""Logits and every layer against torchvision's: weights by `rule.py`, goldens by `make_goldens.py`."""

import json
import pathlib

import jax
import numpy as np
import pytest

from cnn import models, weights
from cnn.models.googlenet import Auxiliary
from cnn.weights.certify import activations, summarise
from tests.weights import rule

GOLDEN = np.load(pathlib.Path(__file__).parent / 'golden' / 'torchvision.npz')
INDEX = json.loads(GOLDEN['index'].tobytes())
TOLERANCE = 1e-4
# Ours, and the images' size and number in make_goldens.py.
NETWORKS = {
    'alexnet': (('alexnet', {'variant': 'torchvision'}), 224, 2),
    'googlenet': (('googlenet', {'variant': 'torchvision', 'auxiliary': True}), 64, 2),
    **{f'densenet{d}': (('densenet', {'depth': d}), 64, 2) for d in (121, 161, 169, 201)},
    **{f'squeezenet1_{d}': (('squeezenet', {'variant': f'1.{d}'}), 64, 2) for d in (0, 1)},
    **{f'resnet{d}': (('resnet', {'depth': d}), 64, 2) for d in (18, 34, 50, 101, 152)},
    **{
        f'vgg{d}{suffix}': (('vgg', {'variant': str(d), 'batch_norm': bool(suffix)}), 96, 1)
        for d in (11, 13, 16, 19)
        for suffix in ('', '_bn')
    },
}


def state_dict(name):
    return {key: rule.fill(key, tuple(shape)) for key, shape in INDEX[name]['shapes'].items()}


def test_every_golden_is_compared():
    assert set(NETWORKS) == set(INDEX)


@pytest.mark.parametrize('name', NETWORKS)
def test_logits_and_layers_equal_torchvision(name):
    (network, sizes), size, batch = NETWORKS[name]
    model = models.create(network, num_classes=1000, **sizes)
    if network == 'vgg':
        model = model.clone(hidden=INDEX[name]['shapes']['classifier.0.weight'][0])
    variables = weights.from_arrays(state_dict(name), model)
    got = activations(model, variables, rule.images(size, batch), style='torchvision', reduce=summarise)
    golden = dict(zip(INDEX[name]['layers'], GOLDEN[f'{name}/layers'], strict=True))
    certificate = weights.certify(got, golden | {'output': GOLDEN[f'{name}/output']}, tolerance=TOLERANCE)
    assert certificate.passed, str(certificate)


def test_auxiliary_heads_equal_torchvision():
    # They run in training only, where dropout is random: here each by itself, in evaluation mode, on its map.
    (network, sizes), size, batch = NETWORKS['googlenet']
    model = models.create(network, num_classes=1000, **sizes)
    variables = weights.from_arrays(state_dict('googlenet'), model)
    _, endpoints = jax.jit(model.apply)(variables, rule.images(size, batch))
    parts = (model.width, model.adaptive, model.conv, model.norm, model.dense, model.bias_init)
    for head, block in (('aux1', 'inception_4a'), ('aux2', 'inception_4d')):
        own = {collection: tree[head] for collection, tree in variables.items()}
        logits = Auxiliary(model.num_classes, *parts).apply(own, endpoints[block], False)
        certificate = weights.certify({head: logits}, {head: GOLDEN[f'googlenet/{head}']}, tolerance=TOLERANCE)
        assert certificate.passed, str(certificate)

"""Every study is wired at both sizes: its arms pass the checks and are traced; every claim finds what it speaks of."""

import importlib
import pathlib

import jax
import numpy as np
import pytest

from cnn.analysis.studies import STUDIES, judge_all
from cnn.analysis.study_table import Row, Table
from cnn.analysis.study_verdict import NOT_JUDGED
from cnn.experiments import arms, build, cost, grid
from cnn.plots import study as plots

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = sorted(p.stem for p in (ROOT / 'configs' / 'studies').glob('*.py') if p.stem not in ('__init__', 'section'))
BOTH = pytest.mark.parametrize('size', ['small', 'paper'])
METRICS = ('accuracy', 'loss', 'train_loss', 'train_accuracy', 'fit_loss', 'fit_accuracy', 'drift')


def config_of(name, arg=''):
    return importlib.import_module(f'configs.studies.{name}').get_config(arg)


def table_of(config, seeds=3):
    """A table of the config's arms with numbers of no meaning."""
    rng = np.random.default_rng(0)
    rows = [
        Row(arm.name, arm.section, arm.values, {name: rng.random(seeds) for name in METRICS},
            {'step_seconds': rng.random(4)} if config.study.timing else {},
            {'parameters': 1 + k, 'macs': 100 - (k % 3)})
        for k, arm in enumerate(arms.of(config))
    ]  # fmt: skip
    return Table(tuple(rows), tuple(range(seeds)))


def test_every_study_has_claims_and_every_claim_a_study():
    assert sorted(STUDIES) == sorted(config_of(name).study.name for name in NAMES)
    claims = [claim for found in STUDIES.values() for claim in found]
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        # The learner reads it in Korean, and finds the source.
        assert any('가' <= letter <= '힣' for letter in claim.claim_ko)
        assert claim.source


@BOTH
@pytest.mark.parametrize('name', NAMES)
def test_every_claim_finds_its_arms_and_its_metrics(name, size):
    config = config_of(name, f'size={size}')
    verdicts = judge_all(config.study.name, table_of(config))
    assert verdicts
    assert [v.claim.id for v in verdicts if v.status == NOT_JUDGED] == []
    assert config.study.show.kind in plots.KINDS
    assert config.study.seeds >= 3


@BOTH
@pytest.mark.parametrize('name', NAMES)
def test_its_arms_are_traced(name, size):
    """Those of most and fewest settings' worth: the first and the last of each section, which differ in shape."""
    config = config_of(name, f'size={size}')
    assert config.dataset == 'mnist_5k' or size == 'paper'
    shapes = {}
    for arm in arms.of(config):
        shapes[str(arm.config.model)] = arm
    found = list(shapes.values())
    for arm in found if size == 'small' and len(found) < 6 else (found[0], found[-1]):
        model = build.model(arm.config, 10)
        side = arm.config.image_size
        images = jax.ShapeDtypeStruct((2, side, side, 3), np.float32)
        keys = {stream: jax.random.key(0) for stream in ('params', 'dropout')}
        (logits, _), _ = jax.eval_shape(lambda x, m=model, k=keys: m.init_with_output(k, x, train=True), images)
        assert logits.shape == (2, 10)


@pytest.mark.parametrize('name', NAMES)
def test_its_fields_can_be_overridden_and_its_docstring_shows_the_commands(name):
    config = config_of(name)
    for path in grid.paths(config):
        value = config
        for part in path.split('.'):
            value = value[part]
        assert isinstance(value, str | int | float | bool | tuple) or not value.keys(), path
    doc = importlib.import_module(f'configs.studies.{name}').__doc__
    for size in ('', ':size=paper'):
        assert f'python main.py --mode=study --config=configs/studies/{name}.py{size}\n' in doc
    tiny = config_of(name, 'preset=tiny')
    assert tiny.steps == 4
    with pytest.raises(ValueError, match='unknown size'):
        config_of(name, 'size=huge')


def test_alexnets_small_size_is_of_the_digits_or_of_natural_images():
    natural, files = (config_of('alexnet', f'dataset={name}') for name in ('cifar10', 'folder:images'))
    assert natural.image_size == 24
    assert natural.study.arms.without_augmentation.augmentation.flip is False
    assert natural.augmentation.flip
    files.dataset = natural.dataset
    assert files == natural
    assert config_of('alexnet').image_size == 14
    assert config_of('alexnet', 'dataset=cifar10,image_size=32').image_size == 32
    for arm in arms.of(natural):
        images = jax.ShapeDtypeStruct((2, 24, 24, 3), np.float32)
        keys = {stream: jax.random.key(0) for stream in ('params', 'dropout')}
        model = build.model(arm.config, 10)
        (logits, _), _ = jax.eval_shape(lambda x, m=model, k=keys: m.init_with_output(k, x, train=True), images)
        assert logits.shape == (2, 10)


@BOTH
def test_the_narrow_network_multiplies_hardly_more_often_than_the_one_with_bottlenecks(size):
    found = {arm.name: cost.counted(arm.config, 10) for arm in arms.of(config_of('bottleneck', f'size={size}'))}
    assert found['bottleneck']['macs'] < found['narrow']['macs'] < 1.05 * found['bottleneck']['macs']
    assert found['basic']['macs'] > 5 * found['bottleneck']['macs']


def test_one_thing_differs_between_the_arms_of_a_paper():
    """Response normalisation, views and crops are the same in all arms, and those of the source."""
    batch_norm = config_of('batch_norm', 'size=paper').study.arms
    assert batch_norm['with'].model.lrn == batch_norm.without.model.lrn == 'paper'
    assert config_of('stacked_3x3', 'size=paper').evaluation.views == 'center'
    assert config_of('shortcuts', 'size=paper').evaluation.views == 'ten_crop'
    assert config_of('alexnet', 'size=paper').study.arms.without_augmentation.augmentation.crop == 'none'

"""Every config is wired: it parses, passes the checks, builds its network and traces a step, for each data set."""

import importlib
import pathlib

import jax
import pytest

from cnn.experiments import build, settings
from cnn.training import optimizer
from configs import common
from input_pipeline import datasets, placement

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = sorted(p.stem for p in (ROOT / 'configs').glob('*.py') if p.stem not in ('__init__', 'common'))
CONTRACT = ('seed', 'dataset', 'image_size', 'batch_size', 'epochs', 'precision', 'init_from', 'model', 'optimizer',
            'schedule', 'augmentation', 'evaluation', 'checkpoint', 'folds')  # fmt: skip
# The data sets of those that do not learn classes of images.
DETECTORS = ('rcnn', 'sppnet', 'fast_rcnn', 'faster_rcnn', 'yolo')
OWN = {'forecast': ('fertility',), 'fcn': ('digit_scenes', 'oxford_iiit_pet'),
       **dict.fromkeys(DETECTORS, ('digit_scenes', 'voc/2007'))}  # fmt: skip


def config_of(name, arg=''):
    return importlib.import_module(f'configs.{name}').get_config(arg)


def leaves(config, prefix=''):
    for key, value in config.items():
        if hasattr(value, 'items'):
            yield from leaves(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


@pytest.mark.parametrize(('name', 'dataset'), [(n, d) for n in NAMES for d in OWN.get(n, ('mnist_5k', 'imagenet2012'))])
def test_it_builds_and_traces(name, dataset):
    config = config_of(name, f'dataset={dataset}')
    settings.check(config)
    info = datasets.info(dataset)
    task = build.task(config, info, None)
    batch = task.dummy_batch(config.image_size)
    variables = jax.eval_shape(task.init, jax.random.key(0), batch)
    output = jax.eval_shape(task.loss, variables, batch, jax.random.key(0))
    assert output.total.shape == ()
    size = max(placement.sides(build.evaluation_transform(config).image_size))
    said = jax.eval_shape(task.predict, variables, task.dummy_batch(size))
    if config.task == 'segmentation':
        assert said['segmentation'].shape == (1, size, size)
        assert said['confusions'].shape == (1, *(len(info.mask_names),) * 2)
        return
    if config.task == 'detection':
        most = config.detection.max_detections
        assert {name: said[name].shape for name in ('boxes', 'scores', 'labels')} == {
            'boxes': (1, most, 4), 'scores': (1, most), 'labels': (1, most),
        }  # fmt: skip
        return
    assert said['forecast' if config.task == 'forecasting' else 'logits'].shape == (1, info.num_classes)


@pytest.mark.parametrize('dataset', ['voc/2007', 'voc/2007+2012'])
@pytest.mark.parametrize('name', DETECTORS)
def test_voc_2007_is_learnt_from_trainval_and_scored_on_test(name, dataset):
    config = config_of(name, f'dataset={dataset}')
    assert config.input.train_split == 'train+validation'
    assert (config.evaluation.split, config.evaluation.ap) == ('test', 'eleven_point')
    assert config_of(name, 'dataset=coco').input.train_split == 'train'


def test_recipes_of_imagenet_are_those_of_their_sources():
    # fb.resnet.torch and torchvision's references: 90 epochs, a tenth every 30.
    resnet = config_of('resnet', 'dataset=imagenet2012')
    assert (resnet.epochs, resnet.schedule.milestones, resnet.schedule.factor) == (90, (30, 60), 0.1)
    # He et al. 2015, section 4.2: the deepest begins at 0.01.
    assert config_of('resnet', 'dataset=cifar10,depth=110').schedule.warmup_epochs == 1
    assert config_of('resnet', 'dataset=cifar10,depth=56').schedule.warmup_epochs == 0
    # DenseNet's arguments reach the network.
    model = config_of('densenet', 'dataset=imagenet2012,growth_rate=12,bottleneck=false').model
    assert (model.growth_rate, model.bottleneck) == (12, False)
    # Of 450,000 steps of 256 a drop every 100,000 (bvlc_alexnet/solver.prototxt): every 20 of 90 epochs.
    assert config_of('alexnet', 'dataset=imagenet2012').schedule.milestones == (20, 40, 60, 80)


def test_yolos_weights_shrink_by_what_darknets_do():
    # darknet: w -= rate (g / 2 + decay w); here the rate is halved, and w -= rate / 2 (g + decay' w).
    optimizer = config_of('yolo', 'dataset=voc/2007').optimizer
    assert optimizer.learning_rate * optimizer.weight_decay == pytest.approx(0.01 * 5e-4)
    assert not optimizer.decay_vectors


@pytest.mark.parametrize(('name', 'arg', 'expected'), [
    ('alexnet', 'dataset=imagenet2012', 'caffe'), ('alexnet', 'dataset=imagenet2012,variant=torchvision', 'dataset'),
    ('alexnet', '', 'dataset'), ('googlenet', 'dataset=imagenet2012', 'caffe'),
    ('rcnn', 'dataset=voc/2007', 'caffe'), ('rcnn', 'dataset=voc/2007,variant=L', 'dataset'),
    ('sppnet', 'dataset=voc/2007', 'caffe'), ('fast_rcnn', 'dataset=voc/2007,variant=M', 'caffe'),
    ('fcn', 'dataset=oxford_iiit_pet,trunk=alexnet', 'caffe'), ('fcn', '', 'dataset'),
    ('stanford_dogs', 'model=alexnet,variant=paper', 'caffe'), ('stanford_dogs', 'model=alexnet', 'dataset'),
    ('rcnn', 'dataset=voc/2007,trunk=alexnet', 'caffe'), ('rcnn', 'dataset=voc/2007,trunk=resnet', 'dataset'),
    ('fast_rcnn', 'dataset=voc/2007', 'dataset'), ('faster_rcnn', 'dataset=voc/2007,variant=ZF', 'caffe'),
])  # fmt: skip
def test_networks_with_response_normalisation_read_the_pixels_its_alpha_is_for(name, arg, expected):
    assert config_of(name, arg).input.statistics == expected


@pytest.mark.parametrize('name', NAMES)
def test_fields_of_the_contract_are_there_and_can_be_overridden(name):
    config = config_of(name)
    assert all(field in config for field in CONTRACT)
    for path, value in leaves(config):
        assert isinstance(value, str | int | float | bool | tuple), f'{path}={value!r} cannot be overridden'


@pytest.mark.parametrize('name', NAMES)
def test_its_docstring_shows_a_command_and_a_result(name):
    doc = importlib.import_module(f'configs.{name}').__doc__
    assert f'python main.py --config=configs/{name}.py' in doc
    assert 'Expected' in doc
    assert config_of(name, 'preset=tiny').epochs < 1


def test_fifty_layers_are_the_imagenet_net_except_on_small_images():
    assert config_of('resnet', 'dataset=folder:x,depth=50').model.stem == 'imagenet'
    assert config_of('resnet', 'dataset=folder:x,depth=56').image_size == 32
    assert config_of('resnet', 'dataset=cifar10,depth=50').model.stem == 'cifar'


def test_arguments_are_read_into_their_types():
    a = common.parse_arg('depth=20,flag=true,rate=0.5', depth=0, flag=False, rate=0.0)
    assert (a.depth, a.flag, a.rate) == (20, True, 0.5)
    with pytest.raises(ValueError, match="flag='perhaps' takes true or false"):
        common.parse_arg('flag=perhaps', flag=False)


def test_the_r_cnn_lines_solvers_are_the_releases():
    """Difficult objects and rates: fast-rcnn and rcnn have no filter, Faster R-CNN and SPPNet have; every prototxt has
    1 and 2 for weights and biases, R-CNN's fc8_pascal 10 and 20, and its VGG-16 batches of 24."""
    names = ('rcnn', 'sppnet', 'fast_rcnn', 'faster_rcnn', 'yolo')
    found = {name: config_of(name, 'dataset=voc/2007') for name in names}
    difficult = {name for name, config in found.items() if config.detection.use_difficult}
    assert difficult == {'rcnn', 'fast_rcnn'}
    for name in ('sppnet', 'fast_rcnn', 'faster_rcnn'):
        assert optimizer.parse_rates(found[name].optimizer.rates) == [('/bias$', 2.0)]
    rates = {'/bias$': 2.0, 'cls_score/kernel': 10.0, 'cls_score/bias': 20.0}
    assert dict(optimizer.parse_rates(found['rcnn'].optimizer.rates)) == rates
    regions = {variant: config_of('rcnn', f'dataset=voc/2007,variant={variant}') for variant in 'SL'}
    assert {variant: c.batch_size * c.roi.batch for variant, c in regions.items()} == {'S': 128, 'L': 24}
    assert config_of('faster_rcnn', 'dataset=voc/2007,variant=C4').optimizer.rates == ''
    assert config_of('rcnn').optimizer.rates == ''


@pytest.mark.parametrize(('name', 'arg', 'side'), [
    ('sppnet', '', 1152), ('fast_rcnn', '', 1000), ('fast_rcnn', 'scales=five', 2000), ('faster_rcnn', '', 1000),
])  # fmt: skip
def test_the_shortest_side_follows_the_size_of_the_image(name, arg, side):
    arg = f'dataset=voc/2007,{arg}'.rstrip(',')
    own, half = config_of(name, arg), config_of(name, f'{arg},image_size={side // 2}')
    assert own.image_size == side
    for config in (own, half):
        settings.check(config)
    # Section 5.2 of Fast R-CNN and section 4.1 of SPPNet have the same five.
    published = own.canvas.scales or (688 if name == 'sppnet' else 600,)
    assert published in ((480, 576, 688, 864, 1200), (688,), (600,))
    assert (half.canvas.scales or (half.canvas.shortest,)) == tuple(s // 2 for s in published)
    if 'sppnet' in name or 'five' in arg:
        assert [s / 2 for s in own.model.scales] == list(half.model.scales) != []

"""The config for breeds: two recipes, every network, crops by box, and what is said where something is missing."""

import re

import jax
import numpy as np
import pytest

import input_pipeline
from cnn.experiments import build, settings
from cnn.training import optimizer
from configs import stanford_dogs
from input_pipeline import datasets
from input_pipeline.source import Source

MODELS = ('resnet', 'densenet', 'vgg', 'googlenet', 'alexnet', 'squeezenet')


@pytest.mark.parametrize('model', MODELS)
def test_the_classifier_alone_learns_at_the_full_rate(model):
    config = stanford_dogs.get_config(f'model={model},from=weights.pth')
    settings.check(config)
    assert (config.image_size, config.replace_head, config.init_from) == (224, True, 'weights.pth')
    info = datasets.info('stanford_dogs')
    task = build.task(config, info, None)
    params = jax.eval_shape(task.init, jax.random.key(0), task.dummy_batch(224))['params']
    ((pattern, factor),) = optimizer.parse_rates(config.optimizer.rates)
    slow = optimizer.matching(pattern, params, 'rates')
    fast = {optimizer.path_name(p) for p, hit in jax.tree_util.tree_leaves_with_path(slow) if not hit}
    sized = {optimizer.path_name(p) for p, leaf in jax.tree_util.tree_leaves_with_path(params) if leaf.shape[-1] == 120}
    assert fast == sized
    assert len(fast) == 2
    assert factor == 0.1


def test_the_recipes_differ():
    tuned, scratch = stanford_dogs.get_config('from=x.pth'), stanford_dogs.get_config('')
    assert scratch.init_from == scratch.optimizer.rates == ''
    assert scratch.epochs > 5 * tuned.epochs
    assert scratch.optimizer.learning_rate > tuned.optimizer.learning_rate
    for config in (tuned, scratch):
        assert config.dataset == 'stanford_dogs'
        assert config.augmentation.crop == 'random_resized'
        assert config.augmentation.flip
        assert config.loss.label_smoothing == 0.1


@pytest.mark.parametrize(
    ('arg', 'statistics'),
    [
        ('model=squeezenet,from=squeezenet_weights.pkl', 'caffe'),
        ('model=squeezenet,from=squeezenet1_1.pth', 'dataset'),
        ('model=googlenet,from=googlenet.pth', 'half'),
        ('model=resnet,from=resnet50.pth', 'dataset'),
    ],
)
def test_pixels_are_scaled_as_the_weights_expect(arg, statistics):
    config = stanford_dogs.get_config(arg)
    assert config.input.statistics == statistics
    mean, std = build.statistics(config, datasets.info('stanford_dogs'), {})
    white = (1 - np.array(mean)) / np.array(std)
    # Caffe: 255 less 123, 117, 104; torchvision's GoogLeNet: -1 to 1; else the usual mean and deviation.
    expected = {'caffe': [132, 138, 151], 'half': [1, 1, 1], 'dataset': [2.249, 2.429, 2.640]}[statistics]
    np.testing.assert_allclose(white, expected, atol=1e-3)


def test_small_images_take_the_small_stem():
    config = stanford_dogs.get_config('dataset=folder:x,depth=20,from=resnet20.th')
    assert (config.model.stem, config.image_size) == ('cifar', 64)
    assert stanford_dogs.get_config('dataset=folder:x,model=vgg,image_size=64').model.stem == 'small'
    assert stanford_dogs.get_config('dataset=folder:x,depth=18').model.stem == 'imagenet'


@pytest.mark.parametrize(
    ('arg', 'message'),
    [
        ('model=resnt', "unknown model 'resnt' for dogs"),
        ('model=vgg,depth=16', 'vgg has no depth=; its size is variant='),
        ('model=resnet,variant=50', 'resnet has no variant=; its size is depth='),
        ('form=x.pth', "unknown config argument 'form'; did you mean 'from'"),
    ],
)
def test_mistakes_are_named(arg, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        stanford_dogs.get_config(arg)


class OneDog(Source):
    """A dark picture with a bright dog in its box."""

    split = 'train'
    labels = np.zeros(1, np.int32)

    def __init__(self, provides):
        self.info = datasets.DatasetInfo('dogs', 2, {}, 'test', '', provides=provides)

    def __len__(self):
        return 1

    def read(self, i):
        image = np.zeros((100, 200, 3), np.uint8)
        image[40:60, 150:190] = 255
        # x0, y0, x1, y1 as shares of the sides.
        return {'image': image, 'label': 0, 'boxes': np.float32([[0.75, 0.4, 0.95, 0.6]]),
                'box_labels': np.zeros(1, np.int32), 'box_flags': np.zeros(1, np.int32)}  # fmt: skip


def test_images_are_cut_to_the_box(monkeypatch):
    config = stanford_dogs.get_config('box_crop=true')
    monkeypatch.setattr(input_pipeline, 'load', lambda *_, **__: OneDog(('labels', 'boxes')))
    cut = build.source(config, 'train').read(0)['image']
    # 20 x 40 pixels and a tenth of the sides around.
    assert cut.shape == (24, 48, 3)
    assert (cut[2:-2, 4:-4] == 255).all()
    assert cut[0].max() == 0
    assert build.source(stanford_dogs.get_config(''), 'train').read(0)['image'].shape == (100, 200, 3)
    monkeypatch.setattr(input_pipeline, 'load', lambda *_, **__: OneDog(('labels',)))
    with pytest.raises(ValueError, match='not boxes of objects'):
        build.source(config, 'train')


def test_tiny_runs_on_what_is_embedded():
    assert stanford_dogs.get_config('preset=tiny').dataset == 'mnist_5k'
    assert stanford_dogs.get_config('preset=tiny,dataset=stanford_dogs').dataset == 'stanford_dogs'

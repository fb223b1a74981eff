"""Image sizes that change while training, crops cut out of resident data, and what of a recipe reaches the device."""

import shutil

import jax
import numpy as np
import pytest

from cnn.experiments import build, recipe, settings, train
from cnn.experiments.errors import UserError
from cnn.tasks.augmentation import Augmentation
from configs import alexnet, resnet
from input_pipeline import datasets
from tests.experiments import runs


def resident_config():
    """Digits kept at 28 pixels, from which the device cuts what becomes 20 x 20."""
    config = resnet.get_config('preset=tiny')
    config.devices = 1
    config.model.width = 2
    config.input.train_split, config.evaluation.split = 'train[:96]', 'test[:30]'
    config.epochs, config.log_every_steps, config.evaluation.every_epochs = 3.0, 3, 3.0
    config.input.mode, config.augmentation.crop = 'resident', 'random_resized'
    config.image_size, config.input.resident_size = 20, 28
    return config


def test_stages_are_shares_of_the_steps():
    config = resnet.get_config('dataset=imagenet2012')
    config.augmentation.progressive = '128@0.4,160@0.7'
    found = recipe.stages(config, 1000)
    assert found == [recipe.Stage(128, 400), recipe.Stage(160, 700), recipe.Stage(224, 1000)]
    # Too short for the first: half a step is none.
    assert recipe.stages(config, 1) == [recipe.Stage(160, 1)]
    config.augmentation.progressive = ''
    assert recipe.stages(config, 7) == [recipe.Stage(224, 7)]
    assert recipe.at_stage(config, recipe.Stage(224, 7)) is config


@pytest.mark.parametrize(('text', 'message'), [
    ('128', "'128' is not SIZE@SHARE, as 128@0.4"),
    ('a@0.4', "'a@0.4' is not SIZE@SHARE"),
    ('128@0.7,160@0.4', 'shares must rise between 0 and 1'),
    ('128@1.0', 'shares must rise between 0 and 1'),
    ('128@nan', 'shares must rise between 0 and 1'),
    ('256@0.5', 'sizes must lie between 1 and config.image_size=224'),
    ('0@0.5', 'sizes must lie between 1 and config.image_size=224'),
])  # fmt: skip
def test_mistakes_in_the_stages_are_named(text, message):
    config = resnet.get_config('dataset=imagenet2012')
    config.augmentation.progressive = text
    with pytest.raises(UserError) as error:
        settings.check(config)
    assert message in str(error.value)


def test_each_step_is_taken_at_its_size_wherever_a_run_begins():
    stages = [recipe.Stage(8, 4), recipe.Stage(12, 5), recipe.Stage(16, 9)]
    expected = [8] * 4 + [12] + [16] * 4

    def run(first, per_dispatch):
        taken = []
        advances = {s.size: lambda state, b, size=s.size: taken.extend([size] * len(b)) or state + len(b)
                    for s in stages}  # fmt: skip
        advance, state = recipe.in_stages(advances, stages, lambda state: state), first
        while state < 9:
            state = advance(state, list(range(state, min(state + per_dispatch, 9))))
        return taken

    for first in range(9):
        for per_dispatch in (1, 2, 9):
            assert run(first, per_dispatch) == expected[first:]


@pytest.mark.usefixtures('no_pictures')
def test_a_run_resumed_before_the_size_changes_equals_an_uninterrupted_one(tmp_path):
    config = resident_config()
    config.augmentation.policy = 'trivial'
    # Nine steps, four of them small; three to a dispatch, so that one dispatch is of both sizes.
    config.augmentation.progressive, config.input.steps_per_dispatch = '14@0.45', 3
    config.checkpoint.every_epochs, config.checkpoint.keep = 1.0, 9
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    assert np.isfinite(train.run(config, whole)['metrics']['loss'])
    shutil.copytree(whole, resumed)
    later = [p for p in (resumed / 'checkpoints').iterdir() if p.name.endswith(('6', '9'))]
    assert len(later) == 2
    for folder in later:
        shutil.rmtree(folder)
    train.run(config, resumed)
    ours, theirs = runs.arrays(resumed), runs.arrays(whole)
    assert int(ours['step']) == 9
    for name, array in ours.items():
        assert array.tobytes() == theirs[name].tobytes(), name
    assert (resumed / 'metrics.jsonl').read_bytes() == (whole / 'metrics.jsonl').read_bytes()


def test_the_task_of_a_stage_makes_its_size_of_what_comes():
    config = alexnet.get_config('dataset=imagenet2012')
    config.input.mode, config.image_size = 'resident', 224
    task = build.task(recipe.at_stage(config, recipe.Stage(112, 1)), datasets.info('imagenet2012'), None)
    # Half the size, and so the squares that hold the same part of the picture: 112 of 128 for 224 of 256.
    assert (task.augmentation.size, task.augmentation.resize_min, task.augmentation.resize_max) == (112, 128, 128)
    images = jax.ShapeDtypeStruct((2, 256, 256, 3), np.uint8)
    shown = jax.eval_shape(
        lambda i: task.augmentation.images(jax.random.key(0), i, np.arange(2), mean=task.mean, std=task.std), images
    )
    assert shown.shape == (2, 112, 112, 3)


@pytest.mark.parametrize(('config', 'fits'), [(alexnet, False), (resnet, True)])
def test_a_network_for_one_size_is_refused_before_anything_is_computed(config, fits):
    config = config.get_config('dataset=imagenet2012' + (',depth=18' if fits else ''))

    def task_of(config):
        return build.task(config, datasets.info('imagenet2012'), None)

    task = task_of(config)
    variables = jax.eval_shape(task.init, jax.random.key(0), task.dummy_batch(config.image_size))
    stages = [recipe.Stage(128, 4), recipe.Stage(config.image_size, 9)]
    if fits:
        recipe.check_sizes(config, task_of, variables, stages)
        return
    with pytest.raises(UserError, match='at 128 pixels the network has parameters of other shapes; train one that'):
        recipe.check_sizes(config, task_of, variables, stages)


@pytest.mark.parametrize('crop', ['random_resized', 'random'])
def test_resident_data_keeps_its_size_for_the_device_to_crop(crop):
    config = resident_config()
    config.augmentation.crop = crop
    config.augmentation.resize_min, config.augmentation.resize_max = 24, 28
    source = build.source(config, config.input.train_split)
    pipeline = build.train_pipeline(config, source, build.replicas(config))
    assert pipeline.arrays['image'].shape == (96, 28, 28, 3)
    assert set(next(pipeline.batches())) == {'index', 'row', 'mask'}
    config.input.resident_bytes = 1000
    with pytest.raises(UserError, match='at 28 pixels it needs over 1000 bytes; use streaming'):
        build.train_pipeline(config, source, build.replicas(config))
    config.input.resident_size = 16
    with pytest.raises(UserError, match='resident_size=16 is smaller than'):
        settings.check(config)


def test_crops_stay_with_the_host_unless_the_data_is_to_be_resident():
    config = resnet.get_config('dataset=imagenet2012')
    assert config.augmentation.crop == 'random_resized'
    assert not recipe.cut_on_device(config)
    assert recipe.device_fields(config)['window'] == 'none'
    config.input.mode = 'resident'
    assert recipe.device_fields(config)['window'] == 'random_resized'
    assert recipe.stored_size(config) == 256
    config.augmentation.crop, config.augmentation.resize_max = 'random', 512
    assert recipe.stored_size(config) == 512


def test_every_field_of_the_device_recipe_comes_from_the_config():
    config = resnet.get_config('dataset=imagenet2012')
    plain = build.task(recipe.without_augmentation(config), datasets.info('imagenet2012'), None).augmentation
    assert plain == Augmentation(size=224)
    changed = {'flip': True, 'pad': 3, 'crop': 'pad', 'policy': 'rand', 'policy_ops': 3, 'policy_magnitude': 7,
               'color_jitter': 0.3, 'hue': 0.1, 'lighting': 0.2, 'random_erasing': 0.25, 'mixup': 0.2, 'cutmix': 1.0,
               'mix_switch': 0.75, 'min_area': 0.2, 'resize_min': 300, 'resize_max': 400}  # fmt: skip
    config.augmentation.update(changed)
    found = build.task(config, datasets.info('imagenet2012'), None).augmentation
    jitter = {'brightness': 0.3, 'contrast': 0.3, 'saturation': 0.3}
    same = {name: value for name, value in changed.items() if name not in ('flip', 'pad', 'crop', 'color_jitter')}
    assert found == Augmentation(size=224, flip=0.5, pad_and_crop=3, **jitter, **same)

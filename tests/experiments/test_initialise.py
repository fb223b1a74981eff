"""Where variables come from, and the warning that weights may know the images they are scored on."""

import json

import pytest
from ml_collections import ConfigDict

from cnn.experiments import initialise

DOGS = ('n02085936-Maltese_dog', 'n02086240-Shih-Tzu')


@pytest.fixture
def warned(capsys):
    """The warning for a data set, its class names and what the weights come from."""

    def ask(dataset, init_from, class_names=()):
        initialise._print_once.cache_clear()
        config = ConfigDict({'dataset': dataset, 'init_from': str(init_from)})
        initialise.warn_of_contamination(config, class_names)
        initialise.warn_of_contamination(config, class_names)
        return capsys.readouterr().err

    return ask


def run_at(folder, **config):
    folder.mkdir()
    (folder / 'config.json').write_text(json.dumps({'dataset': 'mnist_5k', 'init_from': '', **config}))
    return folder


@pytest.mark.parametrize('dataset', ['stanford_dogs', 'imagenette', 'imagenette/160px-v2'])
def test_sets_made_of_imagenet_are_warned_of_once(warned, dataset):
    message = warned(dataset, 'resnet50.pth')
    assert message.startswith(f'warning: {dataset}: its images come from ImageNet')
    assert message.count('\n') == 1


@pytest.mark.parametrize('names', [DOGS, ('n01440764', 'n02102040')])
def test_folders_are_known_by_their_wordnet_ids(warned, names):
    message = warned('folder:dogs', 'resnet50.pth', names)
    assert message.startswith(f"warning: folder:dogs: classes named like {names[0]} are ImageNet's")


@pytest.mark.parametrize('names', [(), ('cat', 'n02086240-Shih-Tzu'), ('n0208', 'n0209'), ('beagle', 'dingo')])
def test_other_folders_are_not(warned, names):
    assert warned('folder:dogs', 'resnet50.pth', names) == ''


def test_a_set_with_nothing_to_warn_of_is_not(warned):
    assert warned('oxford_iiit_pet', 'resnet50.pth') == ''


def test_a_run_counts_by_where_it_began(warned, tmp_path):
    digits = run_at(tmp_path / 'digits')
    imagenet = run_at(tmp_path / 'imagenet', dataset='imagenet2012')
    second = run_at(tmp_path / 'second', init_from=str(imagenet))
    third = run_at(tmp_path / 'third', init_from=str(second))
    from_file = run_at(tmp_path / 'file', init_from='resnet50.pth')
    assert warned('stanford_dogs', digits) == ''
    for workdir in (imagenet, second, third, from_file):
        assert 'come from ImageNet' in warned('stanford_dogs', workdir)
    # Near duplicates within CIFAR-10 concern every weights.
    assert 'near duplicates' in warned('cifar10', digits)


def test_runs_that_name_each_other_end(warned, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    run_at(one, init_from=str(two))
    run_at(two, init_from=str(one))
    assert 'come from ImageNet' in warned('stanford_dogs', one)


@pytest.mark.parametrize(('theirs', 'ours', 'differ'), [
    ('caffe', 'dataset', True), ('imagenet', 'caffe', True), ('caffe', 'caffe', False), ('dataset', 'imagenet', False),
])  # fmt: skip
def test_weights_of_a_run_that_read_other_pixels_are_warned_of(tmp_path, capsys, theirs, ours, differ):
    initialise._print_once.cache_clear()
    workdir = run_at(tmp_path / 'run', input={'statistics': theirs})
    initialise._warn_of_other_pixels(ConfigDict({'input': {'statistics': ours}}), workdir)
    message = capsys.readouterr().err
    assert message == (
        f'warning: {workdir} was trained with config.input.statistics={theirs}, this run has {ours}\n' if differ else ''
    )

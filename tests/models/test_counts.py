"""Parameters of every network, to the digit; the figures and their sources are those of the project's references."""

import pytest

from tests.models.networks import count, parameters, shapes

RESNET = {
    (18, 'B'): 11_689_512,
    (34, 'B'): 21_797_672,
    (50, 'B'): 25_557_032,
    (101, 'B'): 44_549_160,
    (152, 'B'): 60_192_808,
    (18, 'A'): 11_515_688,
    (34, 'A'): 21_623_848,
    (50, 'A'): 22_780_456,
    (18, 'C'): 12_043_816,
    (34, 'C'): 22_716_840,
    (50, 'C'): 40_128_552,
}
CIFAR_RESNET = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
CIFAR_RESNET_B = {20: 272_474, 32: 466_906, 44: 661_338, 56: 855_770, 110: 1_730_714}
VGG = {'11': 132_863_336, '13': 133_047_848, '16': 138_357_544, '19': 143_667_240, 'C': 133_638_952}
VGG_CONVOLUTIONS = {'11': 9_220_480, '13': 9_404_992, '16': 14_714_688, '19': 20_024_384}
VGG_BN = {'11': 132_868_840, '13': 133_053_736, '16': 138_365_992, '19': 143_678_248}
ALEXNET = {
    'conv1': 34_944,
    'conv2': 307_456,
    'conv3': 885_120,
    'conv4': 663_936,
    'conv5': 442_624,
    'fc6': 37_752_832,
    'fc7': 16_781_312,
    'fc8': 4_097_000,
}
GOOGLENET = {
    'inception_3a': 163_696,
    'inception_3b': 388_736,
    'inception_4a': 376_176,
    'inception_4b': 449_160,
    'inception_4c': 510_104,
    'inception_4d': 605_376,
    'inception_4e': 868_352,
    'inception_5a': 1_043_456,
    'inception_5b': 1_444_080,
    'aux1': 3_188_840,
    'aux2': 3_190_888,
}
DENSENET = {121: 7_978_856, 161: 28_681_000, 169: 14_149_480, 201: 20_013_928, 264: 33_337_704}
CIFAR_DENSENET = {
    (40, 12, False): 1_019_722,
    (100, 12, False): 6_979_642,
    (100, 24, False): 27_249_082,
    (100, 12, True): 769_162,
    (250, 24, True): 15_324_406,
    (190, 40, True): 25_624_430,
}
DOGS = {
    ('resnet', 'depth', 18): 11_238_072,
    ('resnet', 'depth', 34): 21_346_232,
    ('resnet', 'depth', 50): 23_753_912,
    ('vgg', 'variant', '16'): 134_752_184,
    ('densenet', 'depth', 121): 7_076_856,
    ('googlenet', 'variant', 'paper'): 6_096_552,
    ('alexnet', 'variant', 'paper'): 57_359_864,
}


@pytest.mark.parametrize(('depth', 'shortcut'), RESNET)
def test_resnet_has_the_published_parameters_with_every_shortcut(depth, shortcut):
    assert parameters('resnet', depth=depth, shortcut=shortcut) == RESNET[depth, shortcut]


@pytest.mark.parametrize('depth', [18, 34])
def test_plain_twin_has_as_many_parameters_as_shortcut_a(depth):
    assert parameters('resnet', depth=depth, residual=False) == RESNET[depth, 'A']


def test_the_msra_release_of_resnet_50_has_a_bias_in_its_stem():
    assert parameters('resnet', depth=50, stem_bias=True, stride_on='1x1') == 25_557_096


@pytest.mark.parametrize('depth', CIFAR_RESNET)
def test_small_image_resnet_has_the_published_parameters(depth):
    sizes = {'depth': depth, 'stem': 'cifar', 'num_classes': 10, 'size': 32}
    assert parameters('resnet', **sizes) == CIFAR_RESNET[depth]
    assert parameters('resnet', shortcut='B', **sizes) == CIFAR_RESNET_B[depth]


def test_resnet_1202_has_the_published_parameters():
    assert parameters('resnet', depth=1202, stem='cifar', num_classes=10, size=32) == 19_421_274


def test_small_image_plain_twin_has_as_many_parameters():
    assert parameters('resnet', depth=20, stem='cifar', residual=False, num_classes=10, size=32) == CIFAR_RESNET[20]


@pytest.mark.parametrize('variant', VGG)
def test_vgg_has_the_published_parameters_with_either_classifier(variant):
    assert parameters('vgg', variant=variant) == VGG[variant]
    assert parameters('vgg', variant=variant, classifier='conv') == VGG[variant]


@pytest.mark.parametrize('variant', VGG_BN)
def test_vgg_has_the_published_parameters_with_batch_norm_and_without_its_classifier(variant):
    assert parameters('vgg', variant=variant, batch_norm=True) == VGG_BN[variant]
    params = shapes('vgg', variant=variant)['params']
    convolutions = {name: leaf for name, leaf in params.items() if name.startswith('conv')}
    assert count(convolutions) == VGG_CONVOLUTIONS[variant]


def test_alexnet_has_the_published_parameters_layer_by_layer():
    params = shapes('alexnet', size=227)['params']
    assert {name: count(leaf) for name, leaf in params.items()} == ALEXNET
    assert count(params) == 60_965_224
    assert count(params['conv1']['kernel']) == 34_848
    assert count(params['conv2']['kernel']) == 307_200


def test_alexnet_in_one_tower_and_torchvisions_have_the_published_parameters():
    assert parameters('alexnet', size=227, towers=1) == 62_378_344
    assert parameters('alexnet', variant='torchvision') == 61_100_840


def test_googlenet_has_the_published_parameters_block_by_block():
    params = shapes('googlenet', auxiliary=True)['params']
    assert {name: count(params[name]) for name in GOOGLENET} == GOOGLENET
    assert count(params) == 13_378_280
    assert parameters('googlenet') == 6_998_552


def test_torchvisions_googlenet_has_the_published_parameters():
    assert parameters('googlenet', variant='torchvision') == 6_624_904
    assert parameters('googlenet', variant='torchvision', auxiliary=True) == 13_004_888


@pytest.mark.parametrize('depth', DENSENET)
def test_densenet_has_the_published_parameters(depth):
    assert parameters('densenet', depth=depth) == DENSENET[depth]


@pytest.mark.parametrize(('depth', 'growth_rate', 'bottleneck'), CIFAR_DENSENET)
def test_small_image_densenet_has_the_published_parameters(depth, growth_rate, bottleneck):
    sizes = {'depth': depth, 'growth_rate': growth_rate, 'bottleneck': bottleneck, 'stem': 'cifar'}
    assert parameters('densenet', num_classes=10, size=32, **sizes) == CIFAR_DENSENET[depth, growth_rate, bottleneck]


@pytest.mark.parametrize(('name', 'key', 'value'), DOGS)
def test_networks_for_120_classes_have_the_parameters_computed_for_stanford_dogs(name, key, value):
    assert parameters(name, num_classes=120, **{key: value}) == DOGS[name, key, value]

"""FCN: published counts, the reference's crops, scores that land where their receptive fields lie, stages and skips."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.analysis.receptive_field import receptive_field
from cnn.models.upsampling import KINDS, Decoder, Grid
from cnn.ops.conv_transpose import conv_transpose
from cnn.ops.upsample import bilinear_taps
from tests.models.networks import count, parameters

# Learnable parameters, and those of the transposed convolutions, which the reference fixes (fcn.berkeleyvision.org).
VGG = {'32s': (134_346_581, 1_806_336), '16s': (134_357_354, 458_640), '8s': (134_362_751, 127_008)}
ALEXNET = (56_954_261, 1_750_329)
TORCHVISION = {50: 35_322_218, 101: 54_314_346}
SMALL_VGG = {'trunk_variant': '11', 'width': 1 / 64}
SMALL = {
    'vgg': {'trunk': 'vgg', **SMALL_VGG},
    'vgg-reference': {'trunk': 'vgg', **SMALL_VGG, 'alignment': 'reference'},
    'alexnet': {'trunk': 'alexnet', 'width': 1 / 48, 'variant': '16s'},
    'alexnet-reference': {'trunk': 'alexnet', 'width': 1 / 48, 'variant': '16s', 'alignment': 'reference'},
    'resnet': {'trunk': 'resnet', 'depth': 18, 'width': 4},
    'googlenet': {'trunk': 'googlenet', 'width': 1 / 16},
    'densenet': {'trunk': 'densenet', 'stem': 'cifar', 'depth': 10, 'variant': '1s'},
    'resnet-small-images': {'trunk': 'resnet', 'depth': 8, 'stem': 'cifar', 'width': 4, 'variant': '1s'},
}


@pytest.mark.parametrize('alignment', ['exact', 'reference'])
@pytest.mark.parametrize('variant', VGG)
def test_vgg_has_the_published_parameters(variant, alignment):
    learnable, enlarging = VGG[variant]
    sizes = {'num_classes': 21, 'size': 320, 'variant': variant, 'alignment': alignment}
    assert parameters('fcn', **sizes) == learnable
    assert parameters('fcn', upsampling='learnt', **sizes) == learnable + enlarging


@pytest.mark.parametrize('alignment', ['exact', 'reference'])
def test_alexnet_has_the_published_parameters(alignment):
    sizes = {'num_classes': 21, 'size': 320, 'trunk': 'alexnet', 'variant': '32s', 'alignment': alignment}
    assert parameters('fcn', **sizes) == ALEXNET[0]
    assert parameters('fcn', upsampling='learnt', **sizes) == sum(ALEXNET)


@pytest.mark.parametrize('depth', TORCHVISION)
def test_torchvisions_nets_have_their_parameters(depth):
    sizes = {'trunk': 'resnet', 'depth': depth, 'output_stride': 8, 'head': 'conv', 'auxiliary': True}
    assert parameters('fcn', num_classes=21, size=64, alignment='resize', **sizes) == TORCHVISION[depth]


def test_the_crops_of_the_reference_follow_from_where_cells_lie():
    """voc-fcn32s, -16s, -8s and -alexnet: the offsets of their Crop layers."""
    vgg = models.create('fcn', num_classes=21, alignment='reference')
    pixels, score = Grid(0, 1), vgg.grid('pool5').behind(7, 0)
    assert score.finer(32, 64).steps_to(pixels) == 19
    sixteen = score.finer(2, 4)
    assert -sixteen.steps_to(vgg.grid('pool4')) == 5
    assert sixteen.finer(16, 32).steps_to(pixels) == 27
    eight = sixteen.finer(2, 4)
    assert -eight.steps_to(vgg.grid('pool3')) == 9
    assert eight.finer(8, 16).steps_to(pixels) == 31
    alexnet = models.create('fcn', num_classes=21, trunk='alexnet', variant='32s', alignment='reference')
    assert alexnet.grid('pool5').behind(6, 0).finer(32, 63).steps_to(pixels) == 18


def maps_of(model, size):
    """The shapes of a model's score maps with their receptive fields, coarse to fine."""
    fields = receptive_field(model, (*size, 3))
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    run = functools.partial(model.init_with_output, train=False)
    (_, endpoints), _ = jax.eval_shape(run, jax.random.key(0), images)
    names = ['score_fr', *(f'score{model.trunk.endpoint_strides[name]}' for name in model.skips)]
    return {name: (endpoints[name].shape[1:3], fields[name]) for name in names}


@pytest.mark.parametrize('case', SMALL)
def test_one_cell_lands_where_its_receptive_field_is_centred(case):
    size = (32, 48) if SMALL[case].get('stem') else (193, 160)
    model = models.create('fcn', num_classes=2, **SMALL[case])
    maps = maps_of(model, size)
    grids = [Grid(float(field.offset[0]), float(field.stride[0])) for _, field in maps.values()]
    assert all(field.offset == (grid.offset,) * 2 for (_, field), grid in zip(maps.values(), grids, strict=True))
    decoder = Decoder('fixed', model.alignment)
    run = jax.jit(lambda scores: decoder.init_with_output(
        jax.random.key(0), [*zip(scores, grids, strict=True)], size)[0])  # fmt: skip
    tried = 0
    for place, ((height, width), field) in enumerate(maps.values()):
        scores = [np.zeros((1, *shape, 2), np.float32) for shape, _ in maps.values()]
        # A cell whose triangle, which fades on either side within a stride, lies inside the image.
        stride, offset = float(field.stride[0]), float(field.offset[0])
        cells = [next((i for i in range(1, n - 1) if stride <= offset + stride * i < pixels - stride), None)
                 for n, pixels in zip((height, width), size, strict=True)]  # fmt: skip
        if None in cells:
            continue
        tried += 1
        scores[place][0, cells[0], cells[1], 1] = 1
        heat = np.asarray(run(scores))[0]
        assert heat.shape == (*size, 2)
        assert not heat[..., 0].any()
        assert heat[..., 1].sum() == pytest.approx(stride**2, rel=1e-5)
        for axis, cell in enumerate(cells):
            mass = heat[..., 1].sum(1 - axis)
            centre = (mass * np.arange(size[axis])).sum() / mass.sum()
            assert centre == pytest.approx(offset + stride * cell, abs=1e-3)
    assert tried >= min(2, len(maps))


@pytest.mark.parametrize('case', ['vgg', 'alexnet-reference', 'resnet'])
def test_learnt_upsampling_begins_as_the_fixed_one_also_at_the_border(case):
    size = (97, 64)
    model = models.create('fcn', num_classes=2, **SMALL[case])
    maps = maps_of(model, size)
    rng = np.random.default_rng(0)
    scores = [(rng.standard_normal((1, *shape, 2)).astype(np.float32),
               Grid(float(field.offset[0]), float(field.stride[0]))) for shape, field in maps.values()]  # fmt: skip
    found = {}
    for kind in KINDS:
        decoder = Decoder(kind, model.alignment)
        out, variables = jax.jit(lambda d=decoder: d.init_with_output(jax.random.key(0), scores, size))()
        found[kind] = np.asarray(out)
        assert bool(variables.get('params')) == (kind != 'fixed')
    assert np.isfinite(found['fixed']).all()
    np.testing.assert_allclose(found['learnt'], found['fixed'], atol=1e-5)
    np.testing.assert_allclose(found['learnt_per_class'], found['fixed'], atol=1e-5)


def test_the_references_arithmetic_is_a_transposed_convolution_and_a_crop():
    """FCN-32s: a bilinear 64 x 64 kernel at stride 32, cropped from row and column 19 on."""
    model = models.create('fcn', num_classes=1, variant='32s', **SMALL['vgg-reference'])
    shape, _ = maps_of(model, (100, 140))['score_fr']
    x = np.random.default_rng(0).standard_normal((1, *shape, 1)).astype(np.float32)
    kernel = np.outer(bilinear_taps(64), bilinear_taps(64))[..., None, None]
    whole = conv_transpose(jnp.asarray(x), jnp.asarray(kernel), strides=(32, 32))
    scores = [(x, model.grid('pool5').behind(7, 0))]
    out, _ = Decoder('learnt', 'reference').init_with_output(jax.random.key(0), scores, (100, 140))
    np.testing.assert_allclose(out, whole[:, 19:119, 19:159], atol=1e-5)


def test_resizing_is_the_half_pixel_rule():
    x = np.random.default_rng(0).standard_normal((1, 5, 7, 3)).astype(np.float32)
    out, _ = Decoder(alignment='resize').init_with_output(jax.random.key(0), [(x, Grid(0, 8))], (33, 56))
    expected = jax.image.resize(jnp.asarray(x), (1, 33, 56, 3), 'bilinear')
    np.testing.assert_allclose(out, expected, atol=1e-5)


def trained(upsampling):
    """One step of a small net: its variables, logits, gradients and endpoints."""
    sizes = SMALL['resnet-small-images'] | {'variant': '2s', 'head': 'conv', 'auxiliary': True, 'dropout': 0.0}
    model = models.create('fcn', num_classes=3, upsampling=upsampling, **sizes)
    images = jax.random.normal(jax.random.key(1), (2, 16, 24, 3))
    shapes = jax.ShapeDtypeStruct(images.shape, images.dtype)
    variables = model.lazy_init({'params': jax.random.key(0)}, shapes, train=True)
    # Zero scores would hide a missing gradient behind them.
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.01), variables['params'])
    rest = {k: jax.tree.map(np.asarray, v) for k, v in variables.items() if k != 'params'}

    def loss(params):
        (logits, endpoints), _ = model.apply({'params': params, **rest}, images, train=True, mutable=['batch_stats'])
        heads = [logits, *(value for name, value in endpoints.items() if name == 'aux_logits')]
        return sum(jnp.square(head - 1).sum() for head in heads), (logits, endpoints)

    grads, (logits, endpoints) = jax.jit(jax.grad(loss, has_aux=True))(params)
    return variables, logits, grads, endpoints


@pytest.mark.parametrize('kind', ['learnt', 'learnt_per_class'])
def test_every_parameter_gets_a_gradient_and_logits_are_the_images_size(kind):
    variables, logits, grads, endpoints = trained(upsampling=kind)
    assert logits.shape == (2, 16, 24, 3)
    assert logits.dtype == jnp.float32
    assert endpoints['aux_logits'].shape == logits.shape
    dead = [path for path, grad in flax.traverse_util.flatten_dict(grads, sep='/').items() if not np.any(grad)]
    assert dead == []
    assert not np.any(variables['params']['score_fr']['kernel'])
    assert not np.any(variables['params']['score2']['kernel'])


def test_stages_share_the_names_of_what_they_share():
    def flat(variant):
        module = models.create('fcn', num_classes=3, variant=variant, upsampling='learnt', **SMALL['vgg'])
        images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        params = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), images)['params']
        return {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(params, sep='/').items()}

    coarse, middle, fine = (flat(variant) for variant in ('32s', '16s', '8s'))
    def new(stride, *enlarging):
        return {f'score{stride}/kernel', f'score{stride}/bias', *(f'decoder/{name}/kernel' for name in enlarging)}

    assert coarse.keys() - middle.keys() == {'decoder/up32to1/kernel'}
    assert middle.keys() - coarse.keys() == new(16, 'up32to16', 'up16to1')
    assert middle.keys() - fine.keys() == {'decoder/up16to1/kernel'}
    assert fine.keys() - middle.keys() == new(8, 'up16to8', 'up8to1')
    assert all(coarse[name] == middle[name] for name in coarse.keys() & middle.keys())


def test_skips_scale_what_they_score():
    sizes = {'trunk': 'resnet', 'depth': 8, 'stem': 'cifar', 'width': 4, 'variant': '2s'}
    images = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))
    plain = models.create('fcn', num_classes=2, **sizes)
    shapes = jax.ShapeDtypeStruct(images.shape, images.dtype)
    variables = jax.tree.map(lambda x: np.asarray(x) + 0.01, plain.lazy_init(jax.random.key(0), shapes))
    scaled = models.create('fcn', num_classes=2, skip_scales=(0.25,), **sizes)
    (_, a), (_, b) = (jax.jit(m.apply)(variables, images) for m in (plain, scaled))
    bias = variables['params']['score2']['bias']
    np.testing.assert_allclose(b['score2'] - bias, (a['score2'] - bias) / 4, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(a['score_fr'], b['score_fr'])


def test_an_image_of_any_size_is_scored_pixel_by_pixel():
    module = models.create('fcn', num_classes=2, **SMALL['vgg'])
    sizes = [(1, 64, 64, 3), (1, 97, 61, 3), (2, 33, 200, 3)]
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), jax.ShapeDtypeStruct(sizes[0], jnp.float32))
    for shape in sizes:
        logits, _ = jax.eval_shape(module.apply, variables, jax.ShapeDtypeStruct(shape, jnp.float32))
        assert logits.shape == (*shape[:3], 2)


def test_declared_strides_are_the_endpoints_own():
    model = models.create('fcn', num_classes=2, **SMALL['vgg'])
    fields = receptive_field(model, (96, 96, 3))
    for name, stride in model.endpoint_strides.items():
        if name != 'logits':
            assert fields[name].stride == (stride, stride), name


def test_bfloat16_is_scored_in_float32():
    model = models.create('fcn', num_classes=2, dtype=jnp.bfloat16, **SMALL['vgg'])
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.bfloat16)
    (logits, endpoints), variables = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x), images)
    assert logits.dtype == jnp.float32
    assert endpoints['fc7'].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert count(variables) > 0


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'trunk': 'vg'}, "unknown network 'vg'; did you mean 'vgg'"),
        ({'variant': '9s'}, "unknown fcn variant '9s'; there are 32s, 16s, 8s"),
        ({'alignment': 'exct'}, "did you mean 'exact'"),
        ({'upsampling': 'learned'}, "unknown fcn upsampling 'learned'; did you mean 'learnt'"),
        ({'head': 'dense'}, "unknown fcn head 'dense'"),
        ({'trunk': 'resnet', 'alignment': 'reference'}, "for vgg and alexnet, not for resnet; use 'exact'"),
        ({'skip_scales': (0.5,)}, '8s has 2 skips, not 1: pool4, pool3'),
        ({'trunk': 'vgg', 'depth': 18}, "vgg has no size 'depth'"),
    ],
)
def test_a_wrong_size_is_one_line_that_names_the_right_one(sizes, message):
    with pytest.raises(ValueError, match=message) as error:
        models.create('fcn', num_classes=2, **sizes)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('variant', VGG)
def test_the_references_scores_reach_every_pixel_of_a_photograph(variant):
    """500 x 375 pixels are VOC's usual size; poolings that round down would end ten columns before the image does."""
    module = models.create('fcn', num_classes=2, trunk='vgg', trunk_variant='11', width=1 / 64, variant=variant,
                           alignment='reference')  # fmt: skip
    images = jnp.zeros((1, 375, 500, 3))
    variables = module.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct(images.shape, images.dtype))
    variables = flax.core.unfreeze(variables)
    variables['params']['score_fr']['bias'] = np.ones(2, np.float32)
    logits, endpoints = jax.jit(module.apply)(variables, images)
    # voc-fcn32s: 22 x 18 cells behind pool5 (700 x 575 pixels with the padding), of which fc6 leaves 16 x 12.
    assert endpoints['score_fr'].shape == (1, 12, 16, 2)
    # Its scores fade out from the crop's corner on, (1 - 0.391)² of a cell's for strides of 32, and nowhere to nothing.
    assert float(logits.min()) > 0.3

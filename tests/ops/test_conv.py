"""Convolution in every form against sums over taps in NumPy's float64, and against the laws of its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import backend, conv

# kernel (kh, kw), strides, padding, dilation, groups, channels (in, out), image size
CASES = {
    '3x3': ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, (4, 6), (7, 6)),
    '3x3 of few channels': ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, (1, 6), (7, 6)),
    'stride 2': ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1, (4, 6), (7, 8)),
    'stem': ((7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1, (3, 4), (9, 10)),
    'lopsided': ((3, 2), (2, 3), ((0, 1), (2, 0)), (1, 1), 1, (3, 4), (9, 8)),
    'dilated': ((3, 3), (1, 1), ((2, 2), (1, 3)), (2, 2), 1, (3, 4), (8, 7)),
    'dilated and strided': ((3, 2), (2, 1), ((2, 2), (0, 2)), (2, 3), 1, (3, 4), (8, 7)),
    'stride above the kernel': ((2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1), 1, (3, 4), (8, 7)),
    'padding above the kernel': ((3, 3), (1, 1), ((4, 3), (3, 5)), (1, 1), 1, (2, 3), (5, 5)),
    'separable': ((1, 3), (1, 1), ((0, 0), (1, 1)), (1, 1), 1, (3, 8), (5, 6)),
    'groups': ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2, (4, 6), (6, 5)),
    'groups of stride 2': ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 2, (4, 6), (6, 5)),
    'depthwise': ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3, (3, 3), (6, 5)),
    'depthwise of stride 2, two outputs each': ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 3, (3, 6), (6, 5)),
    'pointwise': ((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, (4, 6), (5, 4)),
    'pointwise of stride 2': ((1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 1, (4, 6), (5, 4)),
    'pointwise, padded': ((1, 1), (1, 1), ((1, 0), (0, 2)), (1, 1), 1, (4, 6), (5, 4)),
}
FORMS = [form for form in backend.FORMS if form != 'onednn' or backend.onednn.available()]


def case(name):
    size, strides, padding, dilation, groups, (inputs, outputs), image = CASES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *image, inputs)).astype(np.float32)
    kernel = rng.normal(size=(*size, inputs // groups, outputs)).astype(np.float32)
    return x, kernel, {'strides': strides, 'padding': padding, 'dilation': dilation, 'groups': groups}


def taps(shape, kernel_size, *, strides, padding, dilation):
    """For each tap (i, j): the rows and the columns of the padded image that it meets."""
    padded = [n + sum(p) for n, p in zip(shape[1:3], padding, strict=True)]
    out = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(padded, kernel_size, strides, dilation, strict=True)
    ]
    for i, j in np.ndindex(*kernel_size):
        starts = i * dilation[0], j * dilation[1]
        yield (i, j), tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, strides, out, strict=True))


def expected(x, kernel, g, *, strides, padding, dilation, groups):
    """Output, and for the cotangent `g` of it the gradients of image and kernel, in float64; `g=None`: the output."""
    x, kernel = np.float64(x), np.float64(kernel)
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    dpadded, dkernel = np.zeros_like(padded), np.zeros_like(kernel)
    ins, outs = kernel.shape[2], kernel.shape[3] // groups
    y = 0
    for (i, j), (rows, cols) in taps(x.shape, kernel.shape[:2], strides=strides, padding=padding, dilation=dilation):
        parts = []
        for n in range(groups):
            a, b = slice(n * ins, (n + 1) * ins), slice(n * outs, (n + 1) * outs)
            seen = padded[:, rows, cols, a]
            parts.append(seen @ kernel[i, j, :, b])
            if g is not None:
                dkernel[i, j, :, b] = np.einsum('bhwi,bhwo->io', seen, g[..., b])
                dpadded[:, rows, cols, a] += g[..., b] @ kernel[i, j, :, b].T
        y = y + np.concatenate(parts, -1)
    (top, _), (left, _) = padding
    return y, dpadded[:, top : top + x.shape[1], left : left + x.shape[2]], dkernel


def computed(x, kernel, g, options):
    def both(x, kernel, g):
        y, vjp = jax.vjp(lambda x, kernel: conv.conv(x, kernel, **options), x, kernel)
        return y, *vjp(g)

    return jax.jit(both)(x, kernel, g)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('name', CASES)
def test_output_and_gradients(name, form):
    x, kernel, options = case(name)
    shape = expected(x, kernel, None, **options)[0].shape
    g = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    with conv.lowering(form):
        got = computed(x, kernel, g, options)
    for value, want in zip(got, expected(x, kernel, g, **options), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize('form', [form for form in FORMS if form != 'plain'])
@pytest.mark.parametrize('name', ['3x3', 'stride 2', 'groups', 'pointwise of stride 2'])
def test_bfloat16_keeps_its_type_and_float32_accuracy(name, form):
    x, kernel, options = case(name)
    x, kernel = jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16)
    wide = np.float32(x), np.float32(kernel)
    g = np.ones(expected(*wide, None, **options)[0].shape, np.float32)
    with conv.lowering(form):
        got = computed(x, kernel, jnp.asarray(g, jnp.bfloat16), options)
    for value, want in zip(got, expected(*wide, g, **options), strict=True):
        assert value.dtype == jnp.bfloat16
        # One rounding of a result to 8 bits; the gradient of a strided image is a sum of disjoint parts.
        np.testing.assert_allclose(np.float32(value), want, rtol=2**-7, atol=1e-2)


@pytest.mark.parametrize('form', FORMS)
def test_inside_scan_and_map(form):
    x, kernel, options = case('3x3')
    square = np.concatenate([kernel, kernel[:, :, :, :2]], -1)[..., :4] * 0.2
    with conv.lowering(form):

        def loss(kernel):
            def body(carry, _):
                return conv.conv(carry, kernel, **options), None

            return (jax.lax.scan(body, jnp.asarray(x), length=3)[0] ** 2).sum()

        value, gradient = jax.jit(jax.value_and_grad(loss))(square)
        mapped = jax.jit(lambda x: jax.lax.map(lambda x: conv.conv(x[None], square, **options)[0], x))(x)
    stages = [x]
    for _ in range(3):
        stages.append(expected(stages[-1], square, None, **options)[0])
    np.testing.assert_allclose(mapped, stages[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(value, (stages[3] ** 2).sum(), rtol=1e-5)
    g, want = 2 * stages[3], 0
    for stage in reversed(stages[:3]):
        _, g, dkernel = expected(stage, square, g, **options)
        want = want + dkernel
    np.testing.assert_allclose(gradient, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize('form', [form for form in FORMS if form != 'plain'])
@pytest.mark.parametrize('name', ['3x3', 'pointwise'])
def test_vmap_over_members_with_kernels_of_their_own(name, form):
    x, kernel, options = case(name)
    kernels, images = np.stack([kernel, -2 * kernel, kernel[::-1]]), np.stack([x, x[::-1], x * 0.5])
    with conv.lowering(form):

        def loss(x, kernel):
            y = conv.conv(x, kernel, **options)
            return (y**2).sum() / 2, y

        (_, y), (dx, dkernel) = jax.jit(jax.vmap(jax.value_and_grad(loss, (0, 1), has_aux=True)))(images, kernels)
    for n in range(3):
        want = expected(images[n], kernels[n], None, **options)[0]
        want = expected(images[n], kernels[n], want, **options)
        for value, right in zip((y[n], dx[n], dkernel[n]), want, strict=True):
            np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-5 * np.abs(right).max())


@pytest.mark.parametrize('form', [form for form in FORMS if form != 'plain'])
@pytest.mark.parametrize('name', ['3x3', 'stride 2', 'pointwise'])
def test_gradient_of_a_gradient(name, form):
    """loss = |K * x|² / 2 is quadratic in x: its second derivative along v is K^T K v."""
    x, kernel, options = case(name)
    v = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    with conv.lowering(form):
        first = jax.grad(lambda x: (conv.conv(x, kernel, **options) ** 2).sum() / 2)
        second = jax.jit(jax.grad(lambda x: jnp.vdot(first(x), v)))(x)
    forward = expected(v, kernel, None, **options)[0]
    want = expected(v, kernel, forward, **options)[1]
    np.testing.assert_allclose(second, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_forms_in_the_program():
    """What analysis relies on: one convolution in the plain form; and that the others are what they say."""
    x, kernel, options = case('3x3')

    def primitives(form):
        with conv.lowering(form):
            return str(jax.make_jaxpr(lambda x, k: conv.conv(x, k, **options))(x, kernel))

    assert primitives('plain').count('conv_general_dilated') == 1
    assert 'onednn' not in primitives('plain') + primitives('cpu')
    assert '__onednn$convolution' in primitives('onednn')


def test_other_types_and_empty_batches_take_the_plain_form():
    x, kernel, options = case('3x3')
    assert conv.conv(x[:0], kernel, **options).shape == (0, 7, 6, 6)
    whole = conv.conv(jnp.int32(x * 4), jnp.int32(kernel * 4), **options)
    np.testing.assert_array_equal(whole, expected(np.int32(x * 4), np.int32(kernel * 4), None, **options)[0])


@pytest.mark.parametrize('form', FORMS)
def test_what_does_not_fit_is_refused_or_empty(form):
    """oneDNN would end the process."""
    x, kernel, options = case('3x3')
    with conv.lowering(form):
        with pytest.raises(ValueError, match='does not fit'):
            conv.conv(x[..., :3], kernel, **options)
        with pytest.raises(ValueError, match='2 groups'):
            conv.conv(x, kernel[:, :, :2, :5], **options | {'groups': 2})
        with pytest.raises(TypeError):
            conv.dense(jnp.asarray(x), jnp.asarray(kernel[0, 0][:3]))
        assert conv.conv(x[:, :2], kernel, **options | {'padding': ((0, 0), (0, 0))}).shape == (2, 0, 4, 6)
        cropped = conv.conv(x, kernel, **options | {'padding': ((-1, 1), (1, -2))})
    want = expected(x[:, 1:, :-2], kernel, None, **options | {'padding': ((0, 1), (1, 0))})[0]
    np.testing.assert_allclose(cropped, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('form', FORMS)
def test_dense_and_its_gradients(form):
    rng = np.random.default_rng(0)
    x, kernel, g = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, 5), (5, 4), (2, 3, 4)))
    with conv.lowering(form):
        y, vjp = jax.vjp(conv.dense, x, kernel)
        dx, dkernel = vjp(g)
        assert conv.dense(x[:0], kernel).shape == (0, 3, 4)
    np.testing.assert_allclose(y, x @ kernel, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, g @ kernel.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dkernel, np.einsum('abi,abo->io', x, g), rtol=1e-5, atol=1e-5)


def test_environment_chooses_the_form(monkeypatch):
    monkeypatch.setenv('CNN_LOWERING', 'plain')
    assert backend.form() == 'plain'
    monkeypatch.setenv('CNN_LOWERING', 'fastest')
    with pytest.raises(ValueError, match='fastest'):
        backend.form()


def test_no_calls_that_a_compilation_cache_could_not_hold(tmp_path):
    assert backend.form() != 'plain'
    before = jax.config.jax_compilation_cache_dir
    jax.config.update('jax_compilation_cache_dir', str(tmp_path))
    try:
        assert backend.form() == 'cpu'
    finally:
        jax.config.update('jax_compilation_cache_dir', before)

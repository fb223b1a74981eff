"""oneDNN's convolution and matrix product inside XLA's CPU backend: what PyTorch computes with, 1.5 to 3 times as fast.

Every x86-64 jaxlib carries oneDNN and runs the custom calls `__onednn$convolution` and `__onednn$matmul`; only the
compiler pass that would choose them is left out of the published builds. Here they are written down directly. Unlike
XLA's own convolution they keep their speed inside `lax.scan`, `lax.map` and `lax.while_loop`. XLA promises no stable
interface for them, so `available` is true only for the versions listed, and after both have agreed with NumPy.

Float32 only: what else oneDNN computes depends on the processor, and it ends the process where it cannot.
"""

import functools
import json
import platform

import jax
import jax.numpy as jnp
import numpy as np

Pair = tuple[int, int]

# jaxlib versions whose calls were tested (tests/ops/test_onednn.py): from the first, up to and without the last.
VERSIONS = ((0, 10), (0, 13))


def convolution(
    x, kernel, strides: Pair, padding: tuple[Pair, Pair], dilation: Pair, groups: int = 1, swapped: bool = False
) -> jax.Array:
    """As `cnn.ops.conv.conv`, float32; not differentiable by itself, `vmap` runs one member after the other.

    With `swapped` the kernel is `[kh, kw, C_out, C_in]`, for one group.
    """
    ins, outs = (3, 2) if swapped else (2, 3)
    image = {'dims': 4, 'data': {'batch_dim': 0, 'feature_dim': 3, 'spatial_dims': [1, 2]}}
    config = {
        'dims': 4,
        'input': image,
        'kernel': {'dims': 4, 'filter': {'input_feature_dim': ins, 'output_feature_dim': outs, 'spatial_dims': [0, 1]}},
        'output': image,
        'window': {
            'pad_left': [low for low, _ in padding],
            'pad_right': [high for _, high in padding],
            'strides': strides,
            'window_dilations': dilation,
        },
        'feature_groups': groups,
    }
    rows, cols = (
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(x.shape[1:3], padding, dilation, kernel.shape[:2], strides, strict=True)
    )
    shape = (x.shape[0], rows, cols, kernel.shape[outs])
    # oneDNN ends the process where it is asked for what it cannot do.
    if x.shape[3] != kernel.shape[ins] * groups or shape[3] % groups or min(min(p) for p in padding) < 0:
        raise ValueError(f'no convolution of {x.shape} by {kernel.shape} in {groups} groups with padding {padding}')
    if min(*x.shape, *kernel.shape, *shape) <= 0:
        return jnp.zeros([max(n, 0) for n in shape], jnp.float32)
    return _call('__onednn$convolution', shape, {'onednn_conv_config': config}, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def matmul(a: jax.Array, b: jax.Array, transpose_a: bool = False, transpose_b: bool = False) -> jax.Array:
    """Product of two float32 matrices, each transposed where asked; `vmap` runs one member after the other."""
    shape = (a.shape[1 if transpose_a else 0], b.shape[0 if transpose_b else 1])
    if a.shape[0 if transpose_a else 1] != b.shape[1 if transpose_b else 0]:
        raise ValueError(f'no product of {a.shape} and {b.shape}, transposed {transpose_a} and {transpose_b}')
    if 0 in (*a.shape, *b.shape):
        return jnp.zeros(shape, jnp.float32)
    config = {'transpose_a': transpose_a, 'transpose_b': transpose_b}
    return _call('__onednn$matmul', shape, {'onednn_matmul_config': config}, a, b)


def _matmul_bwd(transpose_a, transpose_b, saved, g):
    a, b = saved
    da = matmul(b, g, transpose_b, True) if transpose_a else matmul(g, b, False, not transpose_b)
    db = matmul(g, a, True, transpose_a) if transpose_b else matmul(a, g, not transpose_a, False)
    return da, db


matmul.defvjp(lambda a, b, ta, tb: (matmul(a, b, ta, tb), (a, b)), _matmul_bwd)


def _call(target, shape, config, *operands):
    call = jax.ffi.ffi_call(
        target,
        jax.ShapeDtypeStruct(shape, jnp.float32),
        custom_call_api_version=2,
        legacy_backend_config=json.dumps(config),
        vmap_method='sequential',
    )
    return call(*operands)


@functools.cache
def available() -> bool:
    """Whether this process may use the calls: the CPU backend, a version that is listed, and right answers."""
    version = tuple(int(part) for part in jax.lib.__version__.split('.')[:2])
    if platform.machine() not in ('x86_64', 'AMD64') or not VERSIONS[0] <= version < VERSIONS[1]:
        return False
    cpu = jax.local_devices(backend='cpu')[0]
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=s).astype(np.float32) for s in ((1, 5, 4, 3), (2, 2, 3, 5)))
    want = np.zeros((1, 5, 3, 5), np.float32)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))
    for i, j in np.ndindex(2, 2):
        want += padded[:, i : i + 5, j : j + 3] @ kernel[i, j]
    a = x.reshape(-1, 3)
    with jax.ensure_compile_time_eval(), jax.default_device(cpu):
        try:
            got = jax.jit(lambda x, k: convolution(x, k, (1, 1), ((1, 0), (0, 0)), (1, 1)))(x, kernel)
            product = jax.jit(lambda a: matmul(a, a, True))(a)
        except jax.errors.JaxRuntimeError:
            return False
    return np.allclose(got, want, atol=1e-5) and np.allclose(product, a.T @ a, atol=1e-4)

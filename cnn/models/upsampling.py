"""From a coarse map to a finer grid, exactly where its cells lie: what dense predictors are made of beside a trunk."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.models import layers
from cnn.ops import upsample

ALIGNMENTS = ('exact', 'reference', 'resize')
KINDS = ('fixed', 'learnt', 'learnt_per_class')


class Grid(NamedTuple):
    """Where the cells of a map lie: cell i is centred on input pixel `offset` + i `stride`, along either axis."""

    offset: float
    stride: float

    def behind(self, kernel: int, padding: int) -> 'Grid':
        """Of what a convolution of stride 1 makes of the map, with so many rows of zeros before it."""
        return Grid(self.offset + self.stride * ((kernel - 1) / 2 - padding), self.stride)

    def finer(self, factor: int, kernel: int) -> 'Grid':
        """Of what a transposed convolution of stride `factor` makes of the map, without padding."""
        stride = self.stride / factor
        return Grid(self.offset - stride * (kernel - 1) / 2, stride)

    def steps_to(self, other: 'Grid') -> float:
        """Cells of this grid from its first to the first of `other`."""
        return (other.offset - self.offset) / self.stride


def kernel_size(coarse: Grid, fine: Grid) -> int:
    """The bilinear kernel that carries one grid onto the other: 2 f taps for a factor f, or 2 f - 1.

    An even kernel's peak lies between two cells, an odd one's on a cell: which of them fits follows from the offsets.
    So the reference net has 64 taps behind VGG and 63 behind AlexNet.

    Raises:
      ValueError: where neither fits.
    """
    factor = _factor(coarse, fine)
    for size in (2 * factor, 2 * factor - 1):
        if coarse.finer(factor, size).steps_to(fine).is_integer():
            return size
    raise ValueError(f'no transposed convolution carries {coarse} onto {fine}; use upsampling=fixed')


def _factor(coarse: Grid, fine: Grid) -> int:
    factor = coarse.stride / fine.stride
    if not factor.is_integer():
        raise ValueError(f'{coarse} is not a whole number of times coarser than {fine}; use upsampling=fixed')
    return int(factor)


class Upsample(nn.Module):
    """Enlarges a map `[B, h, w, C]` from grid `coarse` to `size` cells of grid `fine`.

    Attributes:
      kind: 'fixed', linear interpolation without parameters; 'learnt', a transposed convolution between all classes, as
        in the reference; or 'learnt_per_class', of each class by itself. Both learnt ones start as 'fixed'.
      hold: beyond the outermost centres of cells their values go on; False lets them fade to zero, as the reference.
    """

    kind: str
    hold: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, coarse: Grid, fine: Grid, size: tuple[int, int]) -> jax.Array:
        layers.check_choice('upsampling', self.kind, KINDS)
        if self.kind == 'fixed':
            rows, columns = ((fine.offset + fine.stride * np.arange(n) - coarse.offset) / coarse.stride for n in size)
            return upsample.interpolate(x, rows, columns, hold=self.hold)
        factor, taps, classes = _factor(coarse, fine), kernel_size(coarse, fine), x.shape[-1]
        start = int(coarse.finer(factor, taps).steps_to(fine))
        firsts = (start, start)
        if self.hold:
            # Cells repeated beyond the map's ends, as far as the grid reaches.
            before = max(math.ceil((coarse.offset - fine.offset) / coarse.stride), 0)
            last = [fine.offset + fine.stride * (n - 1) for n in size]
            after = [
                max(math.ceil((end - coarse.offset) / coarse.stride) - (cells - 1), 0)
                for end, cells in zip(last, x.shape[1:3], strict=True)
            ]
            for axis, more in enumerate(after, 1):
                first, end = (jax.lax.slice_in_dim(x, at, at + 1, axis=axis) for at in (0, x.shape[axis] - 1))
                x = jnp.concatenate([first] * before + [x] + [end] * more, axis)
            firsts = (start + before * factor,) * 2
        shape = (taps, taps, classes) + ((classes,) if self.kind == 'learnt' else ())
        kernel = self.param('kernel', bilinear_kernel, shape, jnp.float32).astype(x.dtype)
        return upsample.placed(upsample.enlarge(x, kernel, factor), firsts, size)


class Decoder(nn.Module):
    """Score maps, coarse to fine, added cell on cell and enlarged to an image's pixels.

    Attributes:
      upsampling: a kind of `Upsample`.
      alignment: one of ALIGNMENTS; see `fcn.create`.
    """

    upsampling: str = 'fixed'
    alignment: str = 'exact'

    @nn.compact
    def __call__(self, scores: Sequence[tuple[jax.Array, Grid]], size: tuple[int, int]) -> jax.Array:
        """`[B, *size, C]` of maps `[B, h, w, C]`, each with the grid of its cells in the image."""
        x, grid = scores[0]
        for skip, fine in scores[1:]:
            x, grid = self._fuse(x, grid, skip, fine)
        if self.alignment != 'resize':
            return self._up(grid, Grid(0, 1))(x, grid, Grid(0, 1), size)
        # As PyTorch's `interpolate` without aligned corners: cells are equal parts of the image, whatever they see.
        cells = zip(x.shape[1:3], size, strict=True)
        return upsample.interpolate(x, *((np.arange(pixels) + 0.5) * n / pixels - 0.5 for n, pixels in cells))

    def _up(self, coarse: Grid, fine: Grid) -> Upsample:
        name = f'up{coarse.stride:.0f}to{fine.stride:.0f}'
        return Upsample(self.upsampling, hold=self.alignment != 'reference', name=name)

    def _fuse(self, x: jax.Array, grid: Grid, skip: jax.Array, fine: Grid) -> tuple[jax.Array, Grid]:
        if self.alignment != 'reference':
            return self._up(grid, fine)(x, grid, fine, skip.shape[1:3]) + skip, fine
        # The reference keeps all of the enlarged map, and crops the skip's, which its padding has made larger.
        factor, kernel = _factor(grid, fine), kernel_size(grid, fine)
        own = grid.finer(factor, kernel)
        size = tuple((n - 1) * factor + kernel for n in x.shape[1:3])
        crop = -int(own.steps_to(fine))
        return self._up(grid, own)(x, grid, own, size) + upsample.placed(skip, (crop, crop), size), own


def bilinear_kernel(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """An initialiser: each class interpolates itself and adds nothing to the others."""
    taps = upsample.bilinear_taps(shape[0])
    kernel = np.outer(taps, taps)[:, :, None]
    kernel = kernel[..., None] * np.eye(shape[2]) if len(shape) == 4 else np.repeat(kernel, shape[2], 2)
    return jnp.asarray(kernel, dtype)
